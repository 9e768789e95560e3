"""Large results between the real runtime and the real platform: whole, in time, and never in the way of small calls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from edge_connector.core.errors import EdgeError
from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
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
    monkeypatch.setattr(endpoint, "DEPLOYMENT_FEATURES", [m.FEATURE_PROBE])
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
            peer.session.splits = in_parts
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


@asynccontextmanager
async def with_api(tmp_path: Path) -> AsyncIterator[tuple[RunningPlatform, ConnectorRuntime]]:
    """As `paired`, with a connector that knows the platform's HTTP API."""
    async with running_platform(tmp_path / "platform") as platform:
        edge = await platform.deploy()
        given = environment(platform.rpc_url, edge.id, edge.secret, PLATFORM_API_URL=platform.api_url)
        async with running_connector(tmp_path / "connector", given, tools=TOOLS) as runtime:
            yield platform, runtime


async def test_above_a_megabyte_it_goes_by_reference_and_beside_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = Frames(monkeypatch)
    async with with_api(tmp_path) as (platform, runtime):
        large = [asyncio.create_task(platform.call("big", {"size": 3 * MB, "character": c})) for c in "aü"]
        for number in range(20):
            assert result_of(await platform.call("echo", {"message": number})) == {"message": number}
        for task, character in zip(large, "aü", strict=True):
            assert result_of(await task) == character * 3 * MB
        assert runtime._uplink.large_results.brought == 2
        assert frames.parts == 0 and frames.largest < 100_000
        await eventually(lambda: runtime.desk.unconfirmed == 0, what="a receipt for each")
        assert not list((tmp_path / "platform" / "platform-data" / "results").iterdir())
        assert len(result_of(await platform.call("big", {"size": MB // 2}))) == MB // 2
        assert frames.parts > 0, "up to a megabyte it is not worth a request"


async def test_it_goes_in_parts_when_the_api_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_connector.platform_server.results.store.MAX_BYTES", 100)
    frames = Frames(monkeypatch)
    async with with_api(tmp_path) as (platform, runtime):
        assert result_of(await platform.call("big", {"size": 2 * MB})) == "x" * 2 * MB
        assert frames.parts > 0 and runtime._uplink.large_results.brought == 0


async def test_a_reference_to_nothing_fails_its_call(tmp_path: Path) -> None:
    def answer(call: m.Call) -> m.Message:
        return m.ResultReference(id=call.id, sha256="0" * 64, duration_ms=1.5)

    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with peers.connector(platform.rpc_url, peers.pair(edge.id, edge.secret), answer=answer) as peer:
            reply = await platform.call("echo", {})
            assert reply.error is not None and (reply.outcome, reply.error.code) == ("failed", "result_lost")
            await eventually(lambda: peer.of(m.Receipt), what="its receipt")


class Open:
    """A call that stays open, and who may bring its result."""

    def __init__(self, platform: RunningPlatform, call_id: str, deployment: str) -> None:
        self.platform = platform
        self.call_id = call_id
        self.deployment = deployment

    async def bring(self, data: bytes, *, authorization: str = "", sha256: str = "", call_id: str = "") -> None:
        client = self.platform.client_with(authorization or self.deployment)
        query = api.UploadQuery(sha256=sha256 or hashlib.sha256(data).hexdigest())
        await client.call(ops.UPLOAD_RESULT, content=data, path={"id": call_id or self.call_id}, query=query)


@asynccontextmanager
async def open_call(tmp_path: Path) -> AsyncIterator[tuple[Open, peers.ConnectorPeer]]:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        authorization = peers.pair(edge.id, edge.secret)
        async with peers.connector(platform.rpc_url, authorization, answer=lambda call: None) as peer:
            call = await platform.call("echo", {}, wait=False)
            yield Open(platform, call.id, authorization), peer


@pytest.mark.parametrize(
    ("data", "outcome", "code"),
    [
        (b'{"a": [1, 2]}', "succeeded", ""),
        (b'{"a"', "failed", "result_not_json"),
        (b'"\xff"', "failed", "result_not_json"),
    ],
)
async def test_what_was_brought_is_what_the_caller_gets(tmp_path: Path, data: bytes, outcome: str, code: str) -> None:
    async with open_call(tmp_path) as (opened, peer):
        await opened.bring(data)
        await peer.send(m.ResultReference(id=opened.call_id, sha256=hashlib.sha256(data).hexdigest()))
        await eventually(lambda: peer.of(m.Receipt), what="a receipt")
        call = await opened.platform.client.call(ops.GET_CALL, path={"id": opened.call_id})
        assert call.outcome == outcome
        assert (call.error.code if call.error else "") == code
        if outcome == "succeeded":
            assert isinstance(call.result, Raw) and msgspec.json.decode(call.result) == msgspec.json.decode(data)


async def test_only_the_deployment_of_an_open_call_brings_its_result(tmp_path: Path) -> None:
    async with open_call(tmp_path) as (opened, _):
        other = await opened.platform.deploy("other")
        refused: list[tuple[dict[str, str], str]] = [
            ({"authorization": peers.pair(other.id, other.secret)}, "unknown_call"),
            ({"authorization": opened.platform.server_token}, "forbidden"),
            ({"authorization": "Deployment dep_no:sec_no"}, "credentials_refused"),
            ({"call_id": "call_no"}, "unknown_call"),
            ({"sha256": "0" * 64}, "invalid_request"),
            ({"sha256": "x"}, "invalid_request"),
        ]
        for changed, code in refused:
            with pytest.raises(EdgeError) as caught:
                await opened.bring(b"1", **changed)
            assert caught.value.code == code, changed
        with pytest.raises(EdgeError) as caught:
            await opened.bring(b"1" * (m.MAX_RESULT_BYTES + 1))
        assert caught.value.code == "result_too_large"
        with pytest.raises(EdgeError) as caught:
            await opened.bring(b"")
        assert caught.value.code == "length_required"
