"""The ledger between a real platform and a real runtime: cut links, dead workers, restarts, repeated calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.runtime.app import ConnectorRuntime
from edge_connector.wire import messages as m
from tests.support.real_connector import environment, running_connector
from tests.support.real_platform import RunningPlatform, result_of, running_platform
from tests.support.scripted_platform import ScriptedPlatform
from tests.support.waiting import eventually

TOOLS = """
import os, signal, time
from pathlib import Path
from edge_connector.tools import tool

def _wait(path: str) -> str:
    with open(path + ".runs", "a") as file:
        file.write("run\\n")
    while not Path(path).exists():
        time.sleep(0.01)
    return "done"

@tool(repeat="once")
def wait_once(path: str) -> str:
    return _wait(path)

@tool(risk="read", repeat="read")
def wait_read(path: str) -> str:
    return _wait(path)

def _die(path: str, times: int) -> str:
    with open(path + ".runs", "a") as file:
        file.write("run\\n")
    if len(Path(path + ".runs").read_text().splitlines()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"

@tool(repeat="once")
def die_once(path: str, times: int) -> str:
    return _die(path, times)

@tool(repeat="repeatable")
def die_repeatable(path: str, times: int) -> str:
    return _die(path, times)

@tool(risk="read", repeat="read", secrets=("password",))
def sign_in(user: str, password: str) -> str:
    return user
"""


def runs(path: Path) -> int:
    """How often a tool ran for this file."""
    try:
        return len(path.with_name(path.name + ".runs").read_text().splitlines())
    except FileNotFoundError:
        return 0


@asynccontextmanager
async def connected(platform: RunningPlatform, home: Path, edge: api.NewDeployment) -> AsyncIterator[ConnectorRuntime]:
    given = environment(platform.rpc_url, edge.id, edge.secret)
    async with running_connector(home, given, tools=TOOLS) as runtime:
        yield runtime


async def ledger_of(runtime: ConnectorRuntime, call_id: str) -> dict[str, Any]:
    return await runtime.ledger.answer("calls.show", {"id": call_id})


@pytest.mark.parametrize(("tool", "attempts"), [("wait_once", 1), ("wait_read", 2)])
async def test_a_result_that_came_while_the_link_was_cut_is_delivered(tmp_path: Path, tool: str, attempts: int) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        async with connected(platform, tmp_path / "home", edge) as runtime:
            gate = tmp_path / "gate"
            waiting = asyncio.create_task(platform.call(tool, {"path": str(gate)}, timeout_ms=30_000))
            await eventually(lambda: runs(gate), what="the tool runs")
            await runtime._link.hold("cut")
            gate.touch()
            await eventually(lambda: runtime.desk.open == 0, what="the tool to finish")
            assert runtime.desk.unconfirmed == 1
            runtime._link.release("cut")
            reply = await waiting
            assert (result_of(reply), reply.attempts, runs(gate)) == ("done", attempts, 1)
            await eventually(lambda: runtime.desk.unconfirmed == 0, what="the receipt")
            kept = await ledger_of(runtime, reply.id)
            assert (kept["state"], kept["outcome"], kept["attempt"]) == ("confirmed", "succeeded", 1)
            assert (await runtime.ledger.verify()).intact
            assert runtime.board.snapshot().ledger.calls == 1


async def test_a_result_survives_the_process_that_could_not_deliver_it(tmp_path: Path) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        gate = tmp_path / "gate"
        async with connected(platform, tmp_path / "home", edge) as runtime:
            waiting = asyncio.create_task(platform.call("wait_once", {"path": str(gate)}, timeout_ms=30_000))
            await eventually(lambda: runs(gate), what="the tool runs")
            await runtime._link.hold("cut")
            gate.touch()
            await eventually(lambda: runtime.desk.open == 0, what="the tool to finish")
        assert not waiting.done()
        async with connected(platform, tmp_path / "home", edge) as runtime:
            reply = await waiting
            assert (result_of(reply), runs(gate)) == ("done", 1)
            await eventually(lambda: runtime.desk.unconfirmed == 0, what="the receipt")


@pytest.mark.parametrize(
    ("tool", "times", "outcome", "attempts"),
    [
        ("die_once", 9, "interrupted", 1),
        ("die_repeatable", 1, "succeeded", 2),
        ("die_repeatable", 9, "interrupted", 3),
    ],
)
async def test_only_what_may_be_repeated_is_called_again_after_its_worker_died(
    tmp_path: Path, tool: str, times: int, outcome: str, attempts: int
) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        async with connected(platform, tmp_path / "home", edge) as runtime:
            path = tmp_path / "file"
            reply = await platform.call(tool, {"path": str(path), "times": times}, timeout_ms=30_000)
            assert (reply.outcome, reply.attempts, runs(path)) == (outcome, attempts, attempts)
            assert reply.outcome == "succeeded" or (reply.error is not None and reply.error.code == "worker_died")

            async def kept() -> bool:
                shown = await platform.client.call(ops.GET_CALL, path={"id": reply.id})
                return (shown.outcome, shown.attempts) == (outcome, attempts)

            await eventually(kept, what="the attempts in the history")
            events = (await ledger_of(runtime, reply.id))["events"]
            assert max(event.get("attempt", 0) for event in events) == attempts
            assert (await runtime.ledger.verify()).intact


async def test_a_repeated_id_gets_its_outcome_after_a_restart_and_does_not_run(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    gate.touch()
    async with ScriptedPlatform() as platform:
        given = environment(platform.url, "dep_test", "secret-of-the-deployment")
        for number, tool in ((1, "wait_once"), (2, "wait_once"), (3, "wait_once")):
            async with running_connector(home, given, tools=TOOLS, until_working=False):
                session = await platform.open_session(number)
                await session.call(tool, {"path": str(gate)}, call_id="call_same")
                outcome = await session.outcome("call_same")
                assert isinstance(outcome, m.Result) and bytes(outcome.result) == b'"done"'
        assert runs(gate) == 1


async def test_a_read_that_comes_again_after_a_restart_gets_its_outcome_too(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    gate.touch()
    async with ScriptedPlatform() as platform:
        given = environment(platform.url, "dep_test", "secret-of-the-deployment")
        for number in (1, 2):
            async with running_connector(home, given, tools=TOOLS, until_working=False):
                session = await platform.open_session(number)
                await session.call("wait_read", {"path": str(gate)}, call_id="call_same")
                assert isinstance(await session.outcome("call_same"), m.Result)
        assert runs(gate) == 1


async def test_outcomes_without_receipt_are_sent_by_the_next_process_until_confirmed(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", tmp_path / "gate"
    gate.touch()
    async with ScriptedPlatform() as platform:
        given = environment(platform.url, "dep_test", "secret-of-the-deployment")
        async with running_connector(home, given, tools=TOOLS, until_working=False):
            session = await platform.open_session(1)
            session.give_receipts = False
            await session.call("wait_once", {"path": str(gate)}, call_id="call_1")
            await session.outcome("call_1")
        async with running_connector(home, given, tools=TOOLS, until_working=False) as runtime:
            session = await platform.open_session(2)
            assert isinstance(await session.outcome("call_1"), m.Result)
            await eventually(lambda: runtime.desk.unconfirmed == 0, what="the receipt")
        async with running_connector(home, given, tools=TOOLS, until_working=False) as runtime:
            session = await platform.open_session(3)
            await session.call("echo", {"message": 1}, call_id="call_2")
            await session.outcome("call_2")
            assert session.outcomes("call_1") == []
            assert runs(gate) == 1


async def test_secrets_of_a_tool_are_not_in_the_ledger(tmp_path: Path) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        async with connected(platform, tmp_path / "home", edge) as runtime:
            reply = await platform.call("sign_in", {"user": "ann", "password": "open sesame"})
            kept = await ledger_of(runtime, reply.id)
            assert kept["arguments"] == {"user": "ann", "password": "[hidden]"}
            refused = await platform.call("sign_in", {"user": "ann", "pasword": "open sesame"})
            assert refused.outcome == "refused"
            kept = await ledger_of(runtime, refused.id)
            assert kept["arguments"] == {"user": "ann", "pasword": "[hidden]"}
    for file in (tmp_path / "home").glob("calls.sqlite3*"):
        assert b"open sesame" not in file.read_bytes()


async def test_without_a_ledger_reads_go_on_and_once_tools_are_refused(tmp_path: Path) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        home = tmp_path / "home"
        (home / "calls.sqlite3").mkdir(parents=True)
        async with connected(platform, home, edge) as runtime:
            gate = tmp_path / "gate"
            gate.touch()
            refused = await platform.call("wait_once", {"path": str(gate)})
            assert (refused.outcome, runs(gate)) == ("refused", 0)
            assert refused.error is not None and refused.error.code == "ledger_unavailable"
            assert result_of(await platform.call("wait_read", {"path": str(gate)})) == "done"
            problems = {problem.code: problem for problem in runtime.board.snapshot().problems}
            assert "calls.sqlite3" in problems["ledger_unavailable"].fix
            assert runtime.board.snapshot().ledger.problem
            (home / "calls.sqlite3").rmdir()
            await eventually(lambda: not runtime.board.snapshot().ledger.problem, what="the ledger to work")
            assert result_of(await platform.call("wait_once", {"path": str(gate)})) == "done"
            assert not [problem for problem in runtime.board.snapshot().problems if problem.code.startswith("ledger")]


async def test_the_command_socket_answers_for_the_ledger(tmp_path: Path) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        async with connected(platform, tmp_path / "home", edge) as runtime:
            reply = await platform.call("echo", {"message": 1})
            handle = runtime.commands.handle
            assert [call["id"] for call in (await handle("calls.list", {}))["calls"]] == [reply.id]
            assert (await handle("calls.show", {"id": reply.id}))["arguments"] == {"message": 1}
            page = await handle("calls.export", {})
            assert page["rows"][0]["call"] == reply.id
            assert msgspec.json.encode(page)
            report = await handle("calls.verify", {})
            assert report["intact"] and report["calls"] == 1
            assert (await handle("calls.verify", {"head": "0" * 63 + "1"}))["intact"] is False
            local = await handle("call", {"tool": "echo", "arguments": {"message": 2}})
            assert (await handle("calls.show", {"id": local["id"]}))["source"] == "local"
            await eventually(lambda: runtime.desk.unconfirmed == 0, what="the receipt")
            document = await handle("calls.show", {"id": local["id"]})
            assert (document["state"], document["outcome"]) == ("finished", "succeeded")
