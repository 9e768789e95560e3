"""Each fault of the proxy, seen by a plain WebSocket client and server at its two ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidMessage, InvalidStatus

from edge_connector.cli.drill.proxy import FaultProxy, Way
from tests.support.waiting import eventually


@dataclass
class Ends:
    """A proxy with a server behind it that echoes and records."""

    proxy: FaultProxy
    received: list[str | bytes] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    tapped: list[tuple[Way, bytes]] = field(default_factory=list)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ClientConnection]:
        """A client that came through the proxy."""
        url = f"ws://127.0.0.1:{self.proxy.port}/tools?x=1"
        client = await connect(url, compression=None, ping_interval=None, close_timeout=1, proxy=None)
        try:
            yield client
        finally:
            self.proxy.lift()
            self.proxy.cut(reset=True)
            await client.close()

    async def echo(self, client: ClientConnection, text: str) -> str | bytes:
        """Send a text and wait for it to come back."""
        await client.send(text)
        async with asyncio.timeout(10):
            return await client.recv()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends: Ends

    async def echo(socket: ServerConnection) -> None:
        try:
            async for message in socket:
                ends.received.append(message)
                await socket.send(message)
        except ConnectionClosed:
            pass
        finally:
            await socket.wait_closed()
            ends.closed.append(socket.close_code or 0)

    async with serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=1) as server:
        proxy = FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1])
        ends = Ends(proxy)
        proxy.tap = lambda way, message: ends.tapped.append((way, message))
        await proxy.start()
        yield ends
        await proxy.stop()
        assert proxy.open == 0


async def test_everything_passes_both_ways_and_the_tap_sees_it(ends: Ends) -> None:
    async with ends.client() as client:
        long = "ä" * 200_000
        assert await ends.echo(client, "one") == "one"
        assert await ends.echo(client, long) == long
        await client.close(1000, "done")
        await eventually(lambda: ends.closed == [1000], what="the server to see the close frame")
    assert ends.tapped == [(way, text.encode()) for text in ("one", long) for way in ("up", "down")]
    await eventually(lambda: ends.proxy.open == 0, what="the passage to end")


@pytest.mark.parametrize("reset", [True, False])
async def test_cut_ends_both_ends(ends: Ends, reset: bool) -> None:
    async with ends.client() as client:
        await ends.echo(client, "x")
        ends.proxy.cut(reset=reset)
        with pytest.raises(ConnectionClosedError) as ended:
            await client.recv()
        assert isinstance(ended.value.__cause__, ConnectionResetError) is reset
        await eventually(lambda: ends.closed == [1006], what="the server to notice")


async def test_half_open_tells_nobody_and_passes_nothing(ends: Ends) -> None:
    async with ends.client() as client:
        await ends.echo(client, "x")
        ends.proxy.half_open()
        await client.send("into the void")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.recv()
        assert ends.received == ["x"] and ends.closed == [] and ends.proxy.open == 1
        async with ends.client() as second:
            assert await ends.echo(second, "a new connection passes") == "a new connection passes"


async def test_freeze_holds_until_lifted_and_loses_nothing(ends: Ends) -> None:
    async with ends.client() as client:
        await ends.echo(client, "x")
        ends.proxy.freeze()
        for number in range(20):
            await client.send(str(number))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.recv()
        ends.proxy.lift()
        assert [await client.recv() for _ in range(20)] == [str(number) for number in range(20)]


async def test_delay_and_slow_take_their_time(ends: Ends) -> None:
    async with ends.client() as client:
        ends.proxy.delay(0.1)
        started = time.monotonic()
        assert await ends.echo(client, "later") == "later"
        assert time.monotonic() - started >= 0.2
        ends.proxy.lift()
        ends.proxy.slow(100_000)
        started = time.monotonic()
        assert await ends.echo(client, "x" * 20_000) == "x" * 20_000
        assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("way", ["up", "down"])
async def test_corrupt_spoils_one_message_and_the_receiver_notices(ends: Ends, way: Way) -> None:
    async with ends.client() as client:
        await ends.echo(client, "x")
        ends.proxy.corrupt(way)
        await client.send("{}")
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
        # RFC 6455, section 8.1: a text that is not UTF-8 fails the connection with 1007.
        close = ended.value.rcvd if way == "up" else ended.value.sent
        assert close is not None and close.code == 1007


async def test_tear_ends_in_the_middle_of_a_message(ends: Ends) -> None:
    async with ends.client() as client:
        ends.proxy.tear()
        await client.send("half of this")
        with pytest.raises(ConnectionClosedError):
            await client.recv()
        await eventually(lambda: ends.closed == [1006], what="the server to notice")
        assert ends.received == ["half of this"]


async def test_close_with_is_the_platforms_close_to_the_client_and_a_loss_to_the_platform(ends: Ends) -> None:
    async with ends.client() as client:
        await ends.echo(client, "x")
        ends.proxy.close_with(4503, "moving")
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
        assert ended.value.rcvd is not None and (ended.value.rcvd.code, ended.value.rcvd.reason) == (4503, "moving")
        await eventually(lambda: ends.closed == [1006], what="the server to lose its peer")


async def test_refuse_answers_the_upgrade_with_a_status(ends: Ends) -> None:
    ends.proxy.refuse(502)
    with pytest.raises(InvalidStatus) as refused:
        async with ends.client():
            pass
    assert refused.value.response.status_code == 502
    assert (ends.proxy.dialled, ends.proxy.refused) == (1, 1)
    ends.proxy.lift()
    async with ends.client() as client:
        assert await ends.echo(client, "x") == "x"


async def test_an_upstream_that_is_not_there_is_a_lost_connection(ends: Ends) -> None:
    ends.proxy.upstream = ("127.0.0.1", 9)
    with pytest.raises(InvalidMessage):
        async with ends.client():
            pass


async def test_plain_http_passes_too(ends: Ends) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{ends.proxy.port}/") as reply:
        assert reply.status == 426
