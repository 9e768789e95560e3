"""The client's connection against a server that sends what is unusual."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from edge_connector.link.transport import DialTarget, LinkDown, WebSocketTransport, dial
from edge_connector.wire.websocket import FrameCutter, text_frame

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False, extensions=[])


@asynccontextmanager
async def dialled(*writes: bytes, then: Serve | None = None) -> AsyncIterator[WebSocketTransport]:
    """A connection to a server that answers the upgrade with `writes`, the first in the same segment as the answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + GUID).digest())
        answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: test\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        writer.write(answer + (writes[0] if writes else b""))
        for data in writes[1:]:
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(data)
        if then is not None:
            await then(reader, writer)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = DialTarget(f"ws://127.0.0.1:{port}", "test", {}, None, 1000, "test")
    transport = await dial(target)
    try:
        yield transport
    finally:
        transport.abort()
        await transport.ended()
        server.close()
        await server.wait_closed()


async def received(transport: WebSocketTransport, count: int) -> list[bytes]:
    async with asyncio.timeout(20):
        return [await transport.receive() for _ in range(count)]


async def test_frames_that_come_with_the_answer_to_the_upgrade_are_not_lost() -> None:
    stream = text_frame(b"one") + text_frame(b"two") + text_frame(b"three")
    async with dialled(stream[:7], stream[7:9], stream[9:]) as transport:
        assert await received(transport, 3) == [b"one", b"two", b"three"]


async def test_fragments_and_binary_messages_are_messages_and_pings_are_answered() -> None:
    ponged = asyncio.Event()

    async def await_pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(2)
        key, data = await reader.readexactly(4), await reader.readexactly(head[1] & 0x7F)
        if head[0] == 0x8A and apply_mask(data, key) == b"still there?":
            ponged.set()

    stream = (
        text_frame(b"1")
        + frame(Opcode.TEXT, b"2", fin=False)
        + frame(Opcode.PING, b"still there?")
        + frame(Opcode.CONT, b"3")
        + frame(Opcode.BINARY, b"4")
        + text_frame(b"5")
    )
    async with dialled(stream, then=await_pong) as transport:
        assert await received(transport, 4) == [b"1", b"23", b"4", b"5"]
        async with asyncio.timeout(20):
            await ponged.wait()


async def test_messages_go_to_their_taker_in_order_also_the_early_ones() -> None:
    async with dialled(text_frame(b"early"), text_frame(b"late")) as transport:
        taken: list[bytes] = []
        done = asyncio.Event()

        def take(message: bytes) -> None:
            taken.append(message)
            if message == b"late":
                done.set()

        transport.deliver_to(take)
        async with asyncio.timeout(20):
            await done.wait()
        assert taken == [b"early", b"late"]


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (text_frame(b"x" * 2000), 1009),
        (b"\xc1\x01x", 1002),
        (b"\x83\x01x", 1002),
        (b"\x81\x81\x00\x00\x00\x00x", 1002),
        (frame(Opcode.TEXT, b"x", fin=False) + text_frame(b"y"), 1002),
    ],
)
async def test_violations_end_the_connection_with_the_librarys_code(broken: bytes, code: int) -> None:
    async with dialled(text_frame(b"good") + broken + text_frame(b"never")) as transport:
        assert await received(transport, 1) == [b"good"]
        async with asyncio.timeout(20):
            down = await transport.ended()
        assert down.code == code
        with pytest.raises(LinkDown):
            await transport.receive()


async def test_what_is_written_is_masked_text() -> None:
    got: list[bytes] = []
    done = asyncio.Event()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cutter = FrameCutter(got.append, lambda other: False, max_bytes=10**6, unmask=apply_mask)
        while len(got) < 70:
            cutter.feed(await reader.read(65536))
        done.set()

    async with dialled(then=read) as transport:
        assert transport.is_writable
        sent = [b"%d" % number * 40 for number in range(70)]
        transport.write(sent)
        async with asyncio.timeout(20):
            await done.wait()
        assert got == sent
