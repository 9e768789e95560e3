"""SIGTERM, SIGINT, a second signal and kill -9, with and without running calls."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from edge_connector.core.errors import NotConnected
from tests.e2e.access import Access, Fixed, result_of
from tests.support.connector_process import running_connector
from tests.support.processes import processes_in
from tests.support.waiting import eventually

HARD = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
GRACEFUL = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["SIGTERM", "SIGINT", "SIGHUP"]
)


def assert_nothing_left(fixed: Fixed) -> None:
    connector = fixed.process
    assert not connector.lock_file.exists()
    assert not connector.socket.exists()
    assert connector.left_processes() == []


@GRACEFUL
async def test_an_idle_connector_exits_at_once(access: Access, home: Path, number: signal.Signals) -> None:
    async with access.connector(home) as fixed:
        started = time.monotonic()
        assert await fixed.process.stop(number) == 0
        assert time.monotonic() - started < 3.0
        assert_nothing_left(fixed)
        found = await access.deployment(fixed.deployment.id)
        assert (found.status, found.active_connectors, found.connectors[0].online) == ("Inactive", 0, False)


@GRACEFUL
async def test_a_running_call_finishes_and_its_result_is_delivered(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        connector, gate = fixed.process, tmp_path / "gate"
        call_id = await fixed.begin_hold(gate)
        connector.send(number)
        status = await connector.until_state("stopped")
        assert status["draining"] and status["calls"]["running"] == 1
        assert (await connector.health("/healthz"))[0] == 503
        assert (await connector.health("/livez"))[0] == 200
        # No new work: the platform knows that it is leaving, and says so.
        with pytest.raises(NotConnected, match="connector unavailable"):
            await fixed.call("twice", {"text": "x"})
        assert connector.code is None
        gate.touch()
        assert result_of(await access.ended(call_id)) == "held"
        assert await connector.wait() == 0
        assert_nothing_left(fixed)


@pytest.mark.parametrize("tool", ["hold", "hold_async", "never_returns"])
async def test_a_call_longer_than_the_grace_ends_interrupted(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path, tool: str
) -> None:
    more = {"CUSTOM_IMPLEMENTATIONS_PATH": tool_folder, "EC_SHUTDOWN_GRACE_S": 0.3}
    async with access.connector(home, **more) as fixed:
        call_id = await fixed.begin_hold(tmp_path / "gate", tool=tool)
        assert await fixed.process.stop() == 0
        ended = await access.ended(call_id)
        assert ended.outcome == "interrupted" and ended.error is not None
        assert ended.error.code == "connector_stopping"
        assert_nothing_left(fixed)


@HARD
async def test_a_second_signal_stops_hard(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        connector = fixed.process
        call_id = await fixed.begin_hold(tmp_path / "gate", tool="never_returns")
        connector.send(number)
        await connector.until_state("stopped")
        started = time.monotonic()
        assert await connector.stop(number) == 130
        assert time.monotonic() - started < 5.0
        assert (await access.ended(call_id)).outcome == "interrupted"
        assert_nothing_left(fixed)


async def test_a_signal_while_it_starts_or_waits_for_the_platform_is_obeyed(access: Access, home: Path) -> None:
    environment = access.environment(await access.deploy("waits"), TOOL_RPC_URL="ws://127.0.0.1:9")
    async with running_connector(home, environment) as connector:
        await connector.until_problem("platform_unreachable")
        started = time.monotonic()
        assert await connector.stop() == 0
        assert time.monotonic() - started < 3.0
        assert not connector.lock_file.exists()


async def test_kill_nine_leaves_no_workers_and_the_next_start_works_at_once(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path
) -> None:
    deployment = await access.deploy("killed")
    environment = access.environment(deployment, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder)
    async with running_connector(home, environment) as first:
        await first.until_state("working")
        fixed = Fixed(first, deployment, access)
        call_id = await fixed.begin_hold(tmp_path / "gate", tool="hold_with_child", timeout_ms=4_000)
        child = int((tmp_path / "gate.child").read_text())
        assert any(line.startswith(f"{child}:") for line in first.left_processes())
        left_lock, left_socket = first.lock_file, first.socket
        assert await first.stop(signal.SIGKILL) == -signal.SIGKILL
        await eventually(lambda: not processes_in(home), what="workers and their children to end", deadline_s=5.0)
        assert left_lock.exists() and left_socket.exists()

        started = time.monotonic()
        async with running_connector(home, environment) as second:
            await second.until_state("working")
            assert time.monotonic() - started < 10.0
            assert second.lock["pid"] == second.pid
            assert result_of(await access.call("twice", {"text": "ab"}, deployment=deployment.id)) == "abab"
            ended = await access.ended(call_id)
            assert ended.outcome == "interrupted" and ended.error is not None
            assert ended.error.code == "outcome_unknown"
            assert await second.stop() == 0
            assert not left_lock.exists() and not left_socket.exists()


async def test_a_signal_while_tools_are_imported_is_obeyed_at_once(access: Access, home: Path) -> None:
    folder = home / "custom-implementations"
    folder.mkdir(parents=True)
    (folder / "slow.py").write_text("import time\n\ntime.sleep(300)\n")
    async with running_connector(home, access.environment(await access.deploy("slow"))) as connector:
        # Probes are answered while it starts.
        assert (await connector.health("/livez"))[0] == 200
        assert (await connector.health("/healthz"))[0] == 503
        await connector.until_log("credentials found")
        # So are commands: whoever waits for it can see that it is starting, and why.
        shown = await connector.command("status", "--json")
        assert (shown.code, shown.document["state"]) == (1, "connecting")
        assert (await connector.command("config", "set", "toolQueue", "3", "--json")).code == 0
        started = time.monotonic()
        assert await connector.stop() == 0
        assert time.monotonic() - started < 5.0
        assert not connector.lock_file.exists()
        assert connector.left_processes() == []
