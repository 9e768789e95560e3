"""Small calls and heartbeats beside a large result on 2 Mbit/s, judged by what the same link does otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_connector.platform_server import app
from edge_connector.platform_server.http.application import HttpApplication
from edge_connector.platform_server.listening import EmbeddedServer, bind
from edge_connector.platform_server.tool_rpc import endpoint
from edge_connector.platform_server.tool_rpc.calls import CallRouter
from edge_connector.wire import messages as m
from edge_connector.wire.session import PlatformSession
from tests.support.commands import clean_environment
from tests.support.connector_process import running_connector
from tests.support.real_platform import RunningPlatform, result_of, running_platform
from tests.support.slow_link import SlowLink, slow_link
from tests.support.waiting import eventually

TOOLS = """
from edge_connector.tools import tool

@tool(risk="read", repeat="read")
def big(size: int) -> str:
    return "x" * size
"""
HEARTBEAT_S = 0.5


@pytest.fixture(scope="module")
def link() -> Iterator[SlowLink]:
    with slow_link("2mbit") as made:
        yield made


@dataclass
class Beats:
    """When the connector's heartbeats arrived."""

    arrived: list[float]
    parts: int = 0
    """Of large results."""

    def latest_s(self) -> float:
        """By how much the latest heartbeat was later than the quickest one, seconds."""
        offsets = [at - number * HEARTBEAT_S for number, at in enumerate(self.arrived)]
        return max(offsets) - min(offsets)


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Beats:
    """Short heartbeats, and when they arrive at the platform."""
    accept, receive = PlatformSession.accept, PlatformSession.receive
    seen = Beats([])

    def accept_short(session: PlatformSession, welcome: m.Welcome, *, now: float) -> None:
        accept(session, msgspec.structs.replace(welcome, heartbeat_s=HEARTBEAT_S), now=now)

    def receive_seen(session: PlatformSession, frame: bytes | str, *, now: float) -> list[m.Message]:
        text = frame if isinstance(frame, str) else frame.decode()
        seen.parts += text.startswith('{"type":"result.part"')
        seen.arrived += [now] * text.count('"type":"heartbeat","seq"')
        return receive(session, frame, now=now)

    monkeypatch.setattr(PlatformSession, "accept", accept_short)
    monkeypatch.setattr(PlatformSession, "receive", receive_seen)
    return seen


@asynccontextmanager
async def far_api(platform: RunningPlatform, link: SlowLink) -> AsyncIterator[str]:
    """The platform's HTTP API at the other end of the link as well; its address."""
    listener = link.bind_at_platform()
    address, port = listener.getsockname()
    server = EmbeddedServer(HttpApplication(platform.server._started()), listener, None, max_frame=1024)
    await server.start()
    try:
        yield f"http://{address}:{port}"
    finally:
        await server.stop()


@asynccontextmanager
async def far_connector(
    tmp_path: Path, link: SlowLink, monkeypatch: pytest.MonkeyPatch, *, with_api: bool = False
) -> AsyncIterator[RunningPlatform]:
    """A platform in this process with a connector at the other end of the slow link."""
    rpc_listener = link.bind_at_platform()

    def bind_far(host: str, port: int, *, flag: str) -> object:
        return rpc_listener if flag == "--rpc-port" else bind(host, port, flag=flag)

    monkeypatch.setattr(app, "bind", bind_far)
    address, port = rpc_listener.getsockname()
    tools = tmp_path / "home" / "custom-implementations" / "tools"
    tools.mkdir(parents=True)
    (tools / "given.py").write_text(TOOLS)
    async with (
        running_platform(tmp_path / "platform") as platform,
        far_api(platform, link) as api_url,
    ):
        edge = await platform.deploy()
        variables = clean_environment(
            TOOL_RPC_URL=f"ws://{address}:{port}",
            PLATFORM_API_URL=api_url if with_api else "http://127.0.0.1:9",
            DEPLOYMENT_ID=edge.id,
            DEPLOYMENT_SECRET=edge.secret,
        )
        async with running_connector(tmp_path / "home", variables, network=link.edge) as connector:
            await connector.until_state("working")
            yield platform


async def small_calls(platform: RunningPlatform, until: asyncio.Future[Any]) -> list[float]:
    """Seconds that each of a row of small calls took."""
    took = []
    while not until.done():
        began = time.perf_counter()
        assert result_of(await platform.call("echo", {"message": 1}, timeout_ms=60_000)) == {"message": 1}
        took.append(time.perf_counter() - began)
    return sorted(took)


async def beside_a_large_result(
    platform: RunningPlatform, size: int, *, has_begun: Callable[[], object]
) -> tuple[float, list[float]]:
    """Seconds from the beginning of the large result to its end, and those of the small calls beside it."""
    large = asyncio.create_task(platform.call("big", {"size": size}, timeout_ms=60_000))
    await eventually(has_begun, what="the large result begins to come")
    began = time.perf_counter()
    took = await small_calls(platform, large)
    assert len(result_of(await large)) == size
    return time.perf_counter() - began, took


async def test_small_calls_and_heartbeats_overtake_a_large_result(
    tmp_path: Path, link: SlowLink, beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with far_connector(tmp_path, link, monkeypatch) as platform:
        idle = await small_calls(platform, asyncio.ensure_future(asyncio.sleep(0.5)))
        beats.arrived.clear()
        large_s, took = await beside_a_large_result(platform, 2_000_000, has_begun=lambda: beats.parts)
        assert large_s > 6, "the link is not as slow as it should be"
        assert idle[len(idle) // 2] < large_s / 20
        assert len(took) >= 10
        assert took[len(took) // 2] < large_s / 10
        assert took[len(took) * 9 // 10] < large_s / 4
        assert len(beats.arrived) > large_s / HEARTBEAT_S / 2
        assert beats.latest_s() < large_s / 4


async def test_they_overtake_one_that_is_brought_over_http(
    tmp_path: Path, link: SlowLink, beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[str] = []
    expects = CallRouter.expects

    def expects_seen(router: CallRouter, deployment_id: str, call_id: str) -> bool:
        brought.append(call_id)
        return expects(router, deployment_id, call_id)

    monkeypatch.setattr(CallRouter, "expects", expects_seen)
    async with far_connector(tmp_path, link, monkeypatch, with_api=True) as platform:
        beats.arrived.clear()
        large_s, took = await beside_a_large_result(platform, 2_000_000, has_begun=lambda: brought)
        assert len(brought) == 1
        assert large_s > 6, "the link is not as slow as it should be"
        assert len(took) >= 10
        assert took[len(took) // 2] < large_s / 10
        assert took[len(took) * 9 // 10] < large_s / 4
        assert beats.latest_s() < large_s / 4


async def test_without_parts_they_wait_for_all_of_it(
    tmp_path: Path, link: SlowLink, beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judgement of the test before is able to fail."""
    monkeypatch.setattr(endpoint, "DEPLOYMENT_FEATURES", [m.FEATURE_PROBE])
    async with far_connector(tmp_path, link, monkeypatch) as platform:
        beats.arrived.clear()
        large_s, took = await beside_a_large_result(platform, 1_000_000, has_begun=lambda: True)
        assert took[-1] > large_s / 2
        assert beats.latest_s() > large_s / 2
