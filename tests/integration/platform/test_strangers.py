"""Connections of nobody known: silent, slow, endless. They are bounded, and calls go on beside them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_connector.platform_server import listening
from edge_connector.platform_server.http import patience
from edge_connector.platform_server.http.patience import MAX_HEAD_BYTES
from tests.support.peers import connector, pair
from tests.support.real_platform import running_platform

CALL = b"POST /api/v1/calls HTTP/1.1\r\nHost: localhost\r\n"


async def dial(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.partition("//")[2].partition(":")
    return await asyncio.open_connection(host, int(port))


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """What came until the other end closed."""
    try:
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return answer


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOOK_S", 0.05)
    monkeypatch.setattr(listening, "KEEP_ALIVE_S", 1)
    monkeypatch.setattr(patience.Patience.__init__, "__kwdefaults__", {"first_request_s": 0.3})


async def test_silent_and_slow_connections_end_and_calls_do_not(tmp_path: Path, hasty: None) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            strangers = []
            for url in (platform.api_url, platform.rpc_url):
                for beginning in (b"", b"GET /", CALL, CALL + b"Content-Length: 5\r\n\r\n{"):
                    stranger = await dial(url)
                    stranger[1].write(beginning)
                    strangers.append(stranger)

            async def trickle() -> None:
                """A header that never ends, a byte at a time, on a connection that had an answer before."""
                reader, writer = await dial(platform.api_url)
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.1\r\nX: ")
                strangers.append((reader, writer))
                try:
                    while not writer.is_closing():
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(0.02)
                except ConnectionError:
                    pass

            slow = asyncio.create_task(trickle())
            # The session that was let in stays.
            for _ in range(3):
                assert (await platform.call("echo", {"text": "x"})).outcome == "succeeded"
            async with asyncio.timeout(20):
                await slow
            # The last one sent a whole head and half a body without credentials: it is told so.
            answers = [await ended(*stranger) for stranger in strangers]
            assert answers[0] == answers[1] == answers[2] == b""
            assert (await platform.call("echo", {"text": "x"})).outcome == "succeeded"


@pytest.mark.parametrize("port", ["api_url", "rpc_url"])
@pytest.mark.parametrize("beginning", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n", CALL])
async def test_a_head_without_end_is_cut_off(tmp_path: Path, port: str, beginning: bytes) -> None:
    async with running_platform(tmp_path) as platform:
        reader, writer = await dial(getattr(platform, port))
        writer.write(beginning)
        line = b"x" * 1000 if not beginning.endswith(b"\r\n") else b"X: " + b"x" * 995 + b"\r\n"
        sent = 0
        try:
            while sent < 50 * MAX_HEAD_BYTES and not reader.at_eof() and not writer.is_closing():
                writer.write(line)
                await writer.drain()
                sent += len(line)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        answer = await ended(reader, writer)
        assert b" 200 " not in answer
        assert sent < 50 * MAX_HEAD_BYTES
