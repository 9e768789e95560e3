"""The real runtime and the real platform in one process: what a caller gets, whatever the tool does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blockbuster import BlockingError, blockbuster_ctx
from msgspec import Raw

from edge_connector.core.errors import NotConnected
from edge_connector.core.status import RuntimeStatus, State, status_schema
from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.runtime.app import ConnectorRuntime
from tests.support.real_connector import WORKING, environment, running_connector
from tests.support.real_platform import RunningPlatform, result_of, running_platform
from tests.support.waiting import eventually

TOOLS = """
import asyncio, time
from edge_connector.tools import ToolContext, tool

@tool(risk="read", repeat="read")
async def pause(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds

@tool(risk="read", repeat="read")
def block(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

@tool(risk="read", repeat="read")
def who(context: ToolContext) -> dict[str, str]:
    return {"user": context.user, "agent": context.agent, "organization": context.organization,
            "deployment": context.deployment}

@tool(risk="read", repeat="read")
def nested(depth: int) -> list:
    value = []
    for _ in range(depth):
        value = [value]
    return value

@tool(risk="read", repeat="read")
def big(size: int) -> str:
    return "x" * size

@tool(risk="read", repeat="read")
async def strange_progress(context: ToolContext) -> int:
    for fraction in (float("nan"), float("inf"), -5.0, 7.0, 0.5):
        context.progress(fraction, "working")
    await asyncio.sleep(0.2)
    return 1
"""


class Pair:
    """A platform and a connector of one of its deployments."""

    def __init__(self, platform: RunningPlatform, runtime: ConnectorRuntime, deployment: str) -> None:
        self.platform = platform
        self.runtime = runtime
        self.deployment = deployment

    async def call(self, tool: str, arguments: Any = None, **fields: Any) -> api.Call:
        """Call a tool and wait for its outcome."""
        raw = Raw(msgspec.json.encode(arguments if arguments is not None else {}))
        request = api.CallRequest(tool=tool, arguments=raw, deployment=self.deployment, **fields)
        return await self.platform.client.call(ops.CREATE_CALL, request, timeout_s=40)


@asynccontextmanager
async def paired(tmp_path: Path, **variables: str) -> AsyncIterator[Pair]:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        given = environment(platform.rpc_url, edge.id, edge.secret, **variables)
        async with running_connector(tmp_path / "connector", given, tools=TOOLS) as runtime:
            yield Pair(platform, runtime, edge.id)


async def test_proof_goes_the_whole_way_and_the_status_says_so(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        status = pair.runtime.board.snapshot()
        assert status.state is State.WORKING
        assert (status.proven.kind, status.authorised.accepted, status.link.phase) == ("platform", True, "open")
        assert status.proven.round_trip_ms is not None
        decoded = msgspec.json.decode(msgspec.json.encode(status), type=RuntimeStatus)
        assert decoded.process.pid == status.process.pid
        properties = status_schema()["$defs"]["RuntimeStatus"]["properties"]  # type: ignore[index]
        assert set(properties) == set(msgspec.to_builtins(status))
        shown = await pair.platform.deployment(pair.deployment)
        assert (shown.status, shown.active_connectors, shown.connectors[0].online) == ("Active", 1, True)
        await eventually(lambda: _proof_age(pair), what="the proof on the platform's page")


async def _proof_age(pair: Pair) -> bool:
    shown = await pair.platform.deployment(pair.deployment)
    return shown.connectors[0].state == "working" and shown.connectors[0].proof_age_ms >= 0


async def test_context_reaches_the_tool(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        reply = await pair.call("who", agent="helper", user="ann@example.org")
        assert result_of(reply) == {
            "user": "ann@example.org",
            "agent": "helper",
            "organization": pair.platform.organization_id,
            "deployment": pair.deployment,
        }


async def test_many_calls_at_once_each_have_one_outcome(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        replies = await asyncio.gather(*(pair.call("echo", {"message": number}) for number in range(200)))
        assert [result_of(reply) for reply in replies] == [{"message": number} for number in range(200)]
        assert len({reply.id for reply in replies}) == 200
        await eventually(lambda: pair.runtime.desk.unconfirmed == 0, what="a receipt for each")
        assert pair.runtime.board.snapshot().calls.outcomes["succeeded"] >= 200


async def test_full_queue_is_a_refusal_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with paired(tmp_path, EC_TOOL_CONCURRENCY="2", EC_TOOL_QUEUE="2") as pair:
        replies = await asyncio.gather(*(pair.call("pause", {"seconds": 0.3}) for _ in range(10)))
        outcomes = [reply.outcome for reply in replies]
        assert (outcomes.count("succeeded"), outcomes.count("refused")) == (4, 6)
        refused = next(reply.error for reply in replies if reply.outcome == "refused")
        assert refused is not None and refused.code == "busy"


@pytest.mark.parametrize(("depth", "outcome"), [(50, "succeeded"), (2_000, "failed")])
async def test_deeply_nested_results_never_break_the_link(tmp_path: Path, depth: int, outcome: str) -> None:
    async with paired(tmp_path) as pair:
        reply = await pair.call("nested", {"depth": depth})
        assert reply.outcome == outcome
        if reply.error:
            assert reply.error.code == "result_not_json"
        assert result_of(await pair.call("echo", {"message": 1})) == {"message": 1}
        assert pair.runtime.board.snapshot().link.reconnects == 0


async def test_large_result_comes_whole_and_a_too_large_one_is_named(tmp_path: Path) -> None:
    async with paired(tmp_path, EC_TOOL_MAX_RESULT_KB="2048") as pair:
        assert len(result_of(await pair.call("big", {"size": 1_500_000}))) == 1_500_000
        reply = await pair.call("big", {"size": 3_000_000})
        assert reply.error is not None and (reply.outcome, reply.error.code) == ("failed", "result_too_large")
        assert pair.runtime.board.snapshot().link.reconnects == 0


async def test_progress_without_a_number_is_harmless(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        assert result_of(await pair.call("strange_progress")) == 1
        assert pair.runtime.board.snapshot().link.reconnects == 0


@pytest.mark.parametrize("tool", ["pause", "block"])
async def test_deadline_of_the_call_is_kept_on_both_sides(tmp_path: Path, tool: str) -> None:
    async with paired(tmp_path) as pair:
        reply = await pair.call(tool, {"seconds": 30}, timeout_ms=300)
        assert reply.error is not None and (reply.outcome, reply.error.code) == ("timed_out", "timed_out")
        await eventually(lambda: pair.runtime.desk.open == 0, what="the call to be over here too")


async def test_result_finished_while_the_link_was_down_is_delivered(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        waiting = asyncio.create_task(pair.call("pause", {"seconds": 0.5}))
        await eventually(lambda: pair.runtime.desk.open, what="the call to run")
        await pair.runtime._link.hold("test: the link goes away")
        await eventually(lambda: pair.runtime.desk.unconfirmed == 1, what="an outcome that could not be sent")
        with pytest.raises(NotConnected) as refusal:
            await pair.call("echo", {"message": 1})
        assert refusal.value.message.startswith("connector unavailable")
        pair.runtime._link.release("test: the link goes away")
        assert result_of(await waiting) == 0.5
        await eventually(lambda: pair.runtime.desk.unconfirmed == 0, what="its receipt")


async def test_pause_finishes_what_runs_and_resume_works_again(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        waiting = asyncio.create_task(pair.call("pause", {"seconds": 0.4}))
        await eventually(lambda: pair.runtime.desk.open, what="the call to run")
        pair.runtime.pause.start(3600)
        assert pair.runtime.board.state is State.PAUSED
        assert result_of(await waiting) == 0.4
        await eventually(lambda: not pair.runtime._link.is_open, what="the link to be closed")
        with pytest.raises(NotConnected) as refusal:
            await pair.call("echo", {"message": 1})
        assert "paused" in refusal.value.message
        assert pair.runtime.board.snapshot().paused is not None
        pair.runtime.pause.end("test")
        await eventually(lambda: pair.runtime.board.state in WORKING, what="working again")
        assert result_of(await pair.call("echo", {"message": 1})) == {"message": 1}


async def test_a_problem_reaches_the_platform_at_once(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        pair.runtime.board.raise_problem("tool_problem", key="tool:test", detail="A test made this.")

        async def shown() -> bool:
            connector = (await pair.platform.deployment(pair.deployment)).connectors[0]
            return connector.state == "working_with_problems" and connector.problems[0].code == "tool_problem"

        await eventually(shown, what="the problem on the platform", deadline_s=5)
        pair.runtime.board.clear_problems(prefix="tool:")


async def test_default_time_of_the_connector_holds_for_calls_without_one(tmp_path: Path) -> None:
    async with paired(tmp_path, EC_TOOL_TIMEOUT_S="0.3") as pair:
        reply = await pair.call("pause", {"seconds": 30})
        assert reply.outcome == "timed_out"
        tools = await pair.platform.client.call(ops.LIST_TOOLS)
        assert {tool.timeout_ms for tool in tools.tools if tool.name == "pause"} == {300}


async def test_reload_serves_new_code_while_the_old_call_finishes(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        waiting = asyncio.create_task(pair.call("pause", {"seconds": 1.0}))
        await eventually(lambda: pair.runtime.desk.open, what="the call to run")
        tools = tmp_path / "connector" / "custom-implementations" / "tools"
        (tools / "later.py").write_text(
            "from edge_connector.tools import tool\n\n@tool\ndef later() -> int:\n    return 5\n"
        )
        await pair.runtime.executor.reload()
        names = pair.platform.tool_names

        async def offered() -> bool:
            return "later" in await names()

        await eventually(offered, what="the new tool on the platform")
        assert result_of(await pair.call("later")) == 5
        assert result_of(await waiting) == 1.0


async def test_nothing_blocks_the_loop_while_calls_are_served(tmp_path: Path) -> None:
    async with paired(tmp_path) as pair:
        with blockbuster_ctx() as guard:
            # Both log to a handler of the test runner; writing a log line is a short local write by design.
            for name in ("io.TextIOWrapper.write", "io.BufferedWriter.write"):
                if name in guard.functions:
                    guard.functions[name].deactivate()
            replies = await asyncio.gather(*(pair.call("echo", {"message": number}) for number in range(50)))
            await pair.call("block", {"seconds": 0.05})
            with pytest.raises(BlockingError):
                time.sleep(0.001)  # the guard sees what it is there for
        assert all(reply.outcome == "succeeded" for reply in replies)
