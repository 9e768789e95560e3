"""Large results between the real runtime and the real platform: whole, in time, and never in the way of small calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from edge_connector.platform_server.tool_rpc import endpoint
from edge_connector.runtime.app import ConnectorRuntime
from edge_connector.wire import messages as m
from edge_connector.wire.session import PlatformSession
from tests.support import peers
from tests.support.real_connector import environment, running_connector
from tests.support.real_platform import RunningPlatform, result_of, running_platform
from tests.support.waiting import eventually

TOOLS = """
from edge_connector.tools import tool

@tool(risk="read", repeat="read")
def big(size: int, character: str = "x") -> str:
    return character * size
"""
MB = 1_000_000


class Frames:
    """What the platform's sessions receive, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts = 0
        self.largest = 0
        receive = PlatformSession.receive

        def counted(session: PlatformSession, frame: bytes | str, *, now: float) -> list[m.Message]:
            text = frame if isinstance(frame, str) else frame.decode()
            self.largest = max(self.largest, len(text))
            self.parts += text.startswith('{"type":"result.part"')
            return receive(session, frame, now=now)

        monkeypatch.setattr(PlatformSession, "receive", counted)


@asynccontextmanager
async def paired(tmp_path: Path, **variables: str) -> AsyncIterator[tuple[RunningPlatform, ConnectorRuntime]]:
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        # Nobody listens there: these results do not go by reference.
        given = {"PLATFORM_API_URL": "http://127.0.0.1:9", **variables}
        given = environment(platform.rpc_url, edge.id, edge.secret, **given)
        async with running_connector(tmp_path / "connector", given, tools=TOOLS) as runtime:
            yield platform, runtime


@pytest.mark.parametrize("size", [MB, 7 * MB])
async def test_small_calls_end_while_large_results_travel_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    frames = Frames(monkeypatch)
    async with paired(tmp_path) as (platform, runtime):
        large = [
            asyncio.create_task(platform.call("big", {"size": size, "character": c})) for c in "aü"[: 8 * MB // size]
        ]
        small = 0
        await eventually(lambda: frames.parts > 0, what="a part")
        while frames.parts and not all(task.done() for task in large):
            assert result_of(await platform.call("echo", {"message": small})) == {"message": small}
            small += 1
        for task, character in zip(large, "aü", strict=False):
            assert result_of(await task) == character * size
        assert small > (1 if size > MB else 0)
        assert frames.parts > 10
        assert frames.largest < 200_000
        await eventually(lambda: runtime.desk.unconfirmed == 0, what="a receipt for each")
        assert runtime.board.snapshot().link.reconnects == 0


async def test_an_older_platform_gets_it_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FEATURES", [m.FEATURE_PROBE])
    frames = Frames(monkeypatch)
    async with paired(tmp_path) as (platform, _):
        assert result_of(await platform.call("big", {"size": MB})) == "x" * MB
        assert frames.parts == 0 and frames.largest > MB


async def test_a_link_lost_between_parts_starts_them_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Frames(monkeypatch)
    async with paired(tmp_path) as (platform, runtime):
        call = asyncio.create_task(platform.call("big", {"size": 7 * MB}))
        await eventually(lambda: frames.parts > 3, what="a few parts", interval_s=0.0)
        assert not call.done()
        runtime._link.redial("test")
        assert result_of(await call) == "x" * 7 * MB
        assert runtime.board.snapshot().link.reconnects == 1
        await eventually(lambda: runtime.desk.unconfirmed == 0, what="its receipt")


@pytest.mark.parametrize("in_parts", [True, False])
async def test_the_platform_refuses_what_is_too_large_and_keeps_the_session(tmp_path: Path, in_parts: bool) -> None:
    """A connector that does not keep to the limit of its platform."""
    size = m.MAX_RESULT_BYTES + 1

    def answer(call: m.Call) -> m.Message:
        arguments = msgspec.json.decode(call.arguments)
        return m.Result(id=call.id, result=Raw(b'"' + b"x" * (arguments["size"] - 2) + b'"'))

    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        authorization = peers.pair(edge.id, edge.secret)
        async with peers.connector(platform.rpc_url, authorization, answer=answer) as peer:
            peer.session._splits = in_parts
            refused = await platform.call("echo", {"size": size})
            assert refused.error is not None
            assert (refused.outcome, refused.error.code) == ("failed", "result_too_large")
            assert len(result_of(await platform.call("echo", {"size": size - 1}))) == size - 3
            assert len(peer.of(m.Welcome)) == 1 and peer.socket.close_code is None
            receipts = [call_id for receipt in peer.of(m.Receipt) for call_id in receipt.ids]
            assert refused.id in receipts


@pytest.mark.parametrize("features", [(m.FEATURE_PARTS,), ()])
async def test_a_caller_gets_large_results_in_the_way_it_can(tmp_path: Path, features: tuple[str, ...]) -> None:
    def answer(call: m.Call) -> m.Message:
        return m.Result(id=call.id, result=Raw(b'"' + b"x" * 3 * MB + b'"')) if call.tool == "big" else peers.echo(call)

    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        tools = [peers.tool(), peers.tool("big")]
        async with (
            peers.connector(platform.rpc_url, peers.pair(edge.id, edge.secret), tools=tools, answer=answer),
            peers.caller(platform.rpc_url, f"Bearer {platform.server_token}", features=features) as caller,
        ):
            for call_id in ("a", "b"):
                await caller.call(call_id, "big", {})
            await caller.call("small", "echo", {"n": 1})
            for call_id in ("a", "b"):
                outcome: Any = await caller.until(m.Result, call_id)
                assert bytes(outcome.result) == b'"' + b"x" * 3 * MB + b'"'
            assert (caller.largest_frame < 200_000) is bool(features)
            await caller.until(m.Result, "small")


async def test_arguments_too_large_are_refused_before_they_reach_the_link(tmp_path: Path) -> None:
    async with paired(tmp_path) as (platform, runtime):
        fits = "x" * (8 * 1024 * 1024 - 1000)
        assert result_of(await platform.call("echo", {"message": fits[: 4 * MB]})) == {"message": fits[: 4 * MB]}
        async with peers.caller(platform.rpc_url, f"Bearer {platform.server_token}") as caller:
            await caller.call("large", "echo", {"message": fits + "x" * 2000})
            failure = await caller.until(m.Failure, "large")
            assert (failure.outcome, failure.error.code) == (m.Outcome.REFUSED, "invalid_arguments")
            assert "8388608 bytes" in failure.error.message
        assert runtime.board.snapshot().link.reconnects == 0
