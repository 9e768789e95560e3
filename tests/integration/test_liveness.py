"""Proof, sleep and doubt: the real runtime and the real platform, with a machine that is played."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_connector.core.errors import NotConnected
from edge_connector.core.status import LinkPhase, State
from edge_connector.net.wakeup import Gap, GapKind, Reading
from edge_connector.platform_server.fleet import Link
from edge_connector.platform_server.tool_rpc.calls import CallRouter
from edge_connector.runtime.app import ConnectorRuntime
from edge_connector.wire import messages as m
from tests.support.real_connector import WORKING, environment, running_connector
from tests.support.real_platform import RunningPlatform, result_of, running_platform
from tests.support.system_bus import SystemBus, played_logind, private_system_bus
from tests.support.waiting import eventually

TOOLS = """
import asyncio
from pathlib import Path
from edge_connector.tools import tool

@tool(risk="read", repeat="read")
async def until_told(path: str) -> str:
    while not Path(path).exists():
        await asyncio.sleep(0.01)
    return "told"
"""

needs_bus = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"
)


@pytest.fixture
def system_bus(tmp_path: Path) -> Iterator[SystemBus]:
    with private_system_bus(tmp_path) as bus:
        yield bus


@asynccontextmanager
async def paired(tmp_path: Path) -> AsyncIterator[tuple[RunningPlatform, ConnectorRuntime]]:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy("edge")
        variables = environment(platform.rpc_url, edge.id, edge.secret)
        async with running_connector(tmp_path / "connector", variables, tools=TOOLS) as runtime:
            yield platform, runtime


async def refusal(platform: RunningPlatform) -> str:
    """Why a call is refused now."""
    with pytest.raises(NotConnected) as refused:
        await platform.call("echo", {"message": 1})
    assert refused.value.code == "connector_unavailable"
    return refused.value.message


def hasten(runtime: ConnectorRuntime, period_s: float) -> None:
    """Let the periods of the proof be shorter."""
    prober = runtime._liveness.prober
    prober._period_s, prober._valid_s, prober._suspect_s = period_s, 2 * period_s, period_s
    prober.tools_changed()


# ---- sleep


@needs_bus
async def test_a_suspend_is_told_calls_end_at_once_and_what_ran_is_delivered_after_the_wake_up(
    tmp_path: Path, system_bus: SystemBus
) -> None:
    told = tmp_path / "told"
    async with played_logind(system_bus) as logind, paired(tmp_path) as (platform, runtime):
        await logind.until_held()
        running = asyncio.create_task(platform.call("until_told", {"path": str(told)}))
        await eventually(lambda: runtime.desk.open, what="the call to run")
        await logind.prepare_for_sleep(True)
        await logind.until_released()
        # The machine may sleep now: everything that follows is already so.
        assert runtime.board.state is State.ASLEEP
        assert runtime.board.snapshot().link.phase is LinkPhase.IDLE
        assert "deployment 'edge' is asleep since 2" in await refusal(platform)
        assert not running.done(), "an open call stays open until its deadline"
        told.touch()
        await eventually(lambda: runtime.desk.unconfirmed == 1, what="the outcome waits for the link")
        await logind.prepare_for_sleep(False)
        assert result_of(await running) == "told"
        await eventually(lambda: runtime.board.state in WORKING, what="working again")
        await logind.until_held()
        assert runtime.board.problems == []


@needs_bus
async def test_a_pause_outlasts_a_sleep(tmp_path: Path, system_bus: SystemBus) -> None:
    async with played_logind(system_bus) as logind, paired(tmp_path) as (platform, runtime):
        await logind.until_held()
        runtime.pause.start(None)
        await eventually(lambda: runtime._link.facts.phase is LinkPhase.IDLE, what="the pause")
        assert "is paused since 2" in await refusal(platform)
        await logind.prepare_for_sleep(True)
        await logind.until_released()
        await logind.prepare_for_sleep(False)
        await logind.until_held()
        assert (runtime.board.state, runtime._link.facts.phase) == (State.PAUSED, LinkPhase.IDLE)
        runtime.pause.end("test")
        await eventually(lambda: runtime.board.state in WORKING, what="working again")


async def test_a_sleep_that_nobody_ends_is_ended_by_the_machine_that_runs(tmp_path: Path) -> None:
    async with paired(tmp_path) as (_, runtime):
        liveness = runtime._liveness
        await liveness.fall_asleep()
        assert runtime.board.state is State.ASLEEP
        # As if the announcement lay a minute back.
        assert liveness._asleep_since is not None
        liveness._asleep_since -= 61
        liveness._look()
        await eventually(lambda: runtime.board.state in WORKING, what="working again")


async def test_a_sleep_seen_by_the_clocks_dials_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with paired(tmp_path) as (_, runtime):
        liveness = runtime._liveness
        session = runtime.board.snapshot().link.session_id
        liveness._look()
        slept = liveness._reading
        liveness._reading = Reading(slept.monotonic, slept.asleep - 3600, slept.wall - 3600)
        liveness._look()
        await eventually(lambda: runtime.board.snapshot().link.session_id not in ("", session), what="a new session")
        await eventually(lambda: runtime.board.state in WORKING, what="working again")
        again = runtime.board.snapshot().link.session_id
        liveness._look()
        assert (
            runtime.board.snapshot().link.session_id,
            caplog.text.count("Disconnected from platform server cause="),
        ) == (again, 1)
        assert "Disconnected from platform server cause=disconnected detail=the machine slept for 3600 s" in caplog.text


# ---- doubt


async def test_a_process_that_stood_still_keeps_the_link_that_proves_itself(tmp_path: Path) -> None:
    told = tmp_path / "told"
    async with paired(tmp_path) as (platform, runtime):
        running = asyncio.create_task(platform.call("until_told", {"path": str(told)}))
        await eventually(lambda: runtime.desk.open, what="the call to run")
        before, session = runtime._liveness.prober.proven_wall, runtime.board.snapshot().link.session_id
        _stand_still(runtime)
        await eventually(lambda: runtime._liveness.prober.proven_wall != before, what="a proof at once")
        told.touch()
        assert result_of(await running) == "told"
        assert runtime.board.snapshot().link.session_id == session


async def test_a_process_that_stood_still_gives_the_link_up_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paired(tmp_path) as (_, runtime):
        session = runtime.board.snapshot().link.session_id
        monkeypatch.setattr(CallRouter, "probe", lambda self, link, nonce: None)
        runtime._liveness.prober._suspect_s = 0.2
        _stand_still(runtime)
        await eventually(lambda: runtime.board.snapshot().link.session_id not in ("", session), what="a new session")
        assert "not_proven" in [problem.code for problem in runtime.board.problems]
        monkeypatch.undo()
        runtime._liveness.prober.tools_changed()
        await eventually(lambda: runtime.board.problems == [], what="a proof takes the problem down")


def _stand_still(runtime: ConnectorRuntime) -> None:
    liveness = runtime._liveness
    liveness._on_gap(Gap(GapKind.STALLED, 30.0), liveness._reading)


# ---- proof


async def test_a_reload_of_the_tools_is_proven_at_once(tmp_path: Path) -> None:
    async with paired(tmp_path) as (_, runtime):
        before = runtime._liveness.prober.proven_wall
        await runtime.executor.reload()
        await eventually(lambda: runtime._liveness.prober.proven_wall != before, what="a proof of the new workers")


async def test_a_probe_that_gets_lost_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    async with paired(tmp_path) as (platform, runtime):
        session = runtime.board.snapshot().link.session_id
        running = asyncio.create_task(platform.call("until_told", {"path": str(told)}))
        await eventually(lambda: runtime.desk.open, what="the call to run")
        lost: list[str] = []
        answer = CallRouter.probe

        def lose_one(self: CallRouter, link: Link, nonce: str) -> None:
            if lost:
                answer(self, link, nonce)
            else:
                lost.append(nonce)

        monkeypatch.setattr(CallRouter, "probe", lose_one)
        before = runtime._liveness.prober.proven_wall
        hasten(runtime, 1.0)
        await eventually(lambda: runtime._liveness.prober.proven_wall != before, what="the proof after the lost one")
        told.touch()
        assert lost and result_of(await running) == "told"
        assert runtime.board.snapshot().link.session_id == session


async def test_two_periods_without_proof_dial_again_and_harm_no_running_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    async with paired(tmp_path) as (platform, runtime):
        session = runtime.board.snapshot().link.session_id
        running = asyncio.create_task(platform.call("until_told", {"path": str(told)}))
        await eventually(lambda: runtime.desk.open, what="the call to run")
        monkeypatch.setattr(CallRouter, "probe", lambda self, link, nonce: None)
        hasten(runtime, 0.3)
        await eventually(lambda: runtime.board.snapshot().link.session_id not in ("", session), what="a new session")
        assert "not_proven" in [problem.code for problem in runtime.board.problems]
        monkeypatch.undo()
        hasten(runtime, 30)
        await eventually(lambda: runtime.board.state is State.WORKING, what="proven again, problem gone")
        told.touch()
        assert result_of(await running) == "told"


async def test_tools_that_answer_no_probe_are_told_and_the_link_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paired(tmp_path) as (platform, runtime):
        session = runtime.board.snapshot().link.session_id
        numbers = iter(range(1000))

        def ask_in_vain(self: CallRouter, link: Link, nonce: str) -> None:
            link.send(m.Call(id=f"probe_x{next(numbers)}", tool="no such tool", remaining_ms=1000, probe=nonce))

        monkeypatch.setattr(CallRouter, "probe", ask_in_vain)
        hasten(runtime, 0.2)
        await eventually(
            lambda: "tools_not_proven" in [problem.code for problem in runtime.board.problems], what="the problem"
        )
        assert runtime.board.snapshot().link.session_id == session, "dialling again would cure nothing"
        assert result_of(await platform.call("echo", {"message": 1})) == {"message": 1}
        monkeypatch.undo()
        hasten(runtime, 30)
        await eventually(lambda: runtime.board.state is State.WORKING, what="proven, problem gone")
        assert runtime.board.snapshot().link.session_id == session


# ---- the four truths


async def test_the_four_truths_are_in_the_status(tmp_path: Path) -> None:
    async with paired(tmp_path) as (_, runtime):
        status = runtime.board.snapshot()
        assert status.process.pid > 0
        assert status.link.phase is LinkPhase.OPEN
        assert status.authorised.accepted
        assert status.proven.at and status.proven.age_s is not None and status.proven.age_s < 60
        assert "proven" in status.sentence


async def test_nobody_watches_so_no_status_is_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired(tmp_path) as (_, runtime):
        watching = runtime.watch_status()
        assert (await anext(watching))["state"] in WORKING
        await watching.aclose()  # type: ignore[attr-defined]
        await eventually(lambda: runtime.board._feed is None or not runtime.board._feed.is_watched, what="nobody")
        made: list[int] = []
        monkeypatch.setattr(runtime.board, "snapshot", lambda: made.append(1))
        for _ in range(3):
            runtime.board.changed("test")
            runtime._liveness._look()
        await asyncio.sleep(0.3)
        assert made == []
