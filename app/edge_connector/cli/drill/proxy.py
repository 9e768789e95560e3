"""A proxy that misbehaves when told to: it sits before a platform and cuts, freezes, delays, slows, corrupts, refuses.

    proxy = FaultProxy("127.0.0.1", 3001)
    await proxy.start()                  # connectors dial ws://127.0.0.1:<proxy.port>
    proxy.cut(reset=True)
    proxy.lift()                         # everything passes again
    await proxy.stop()

Each fault meets the connections of the moment; `freeze`, `delay`, `slow` and `refuse` meet new ones too, until `lift`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Literal

from edge_connector.cli.drill.frames import CLOSE, TEXT, Frame, FrameReader, broken, close_frame
from edge_connector.core.tasks import TaskOwner

log = logging.getLogger(__name__)

Way = Literal["up", "down"]
"""`up`: from whoever dialled to the platform; `down`: back."""

CHUNK = 64 * 1024
MAX_HEAD = 64 * 1024
SLICE_S = 0.05
"""A slowed connection gets its bytes in pieces of so many seconds."""
CLOSE_WAIT_S = 2.0
BAD_GATEWAY = b"<html><body><h1>%d Bad Gateway</h1></body></html>"

Tap = Callable[[Way, bytes], None]


class FaultProxy:
    """Listens on a free port of the loopback and passes everything on to one address.

    Attributes:
        dialled: how many connections came so far.
        refused: how many of them were answered with an HTTP status by the proxy itself.
    """

    def __init__(self, host: str, port: int, *, tap: Tap | None = None) -> None:
        """`tap` sees the payload of each whole WebSocket text message, before it is passed on or spoilt."""
        self.upstream = (host, port)
        self.tap = tap
        self.dialled = 0
        self.refused = 0
        self.status: int | None = None
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._passages: set[_Passage] = set()
        self._tasks = TaskOwner("fault-proxy")
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Returns when it listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Cut everything and stop listening."""
        if self._server is not None:
            self._server.close()
        self.cut(reset=True)
        await self._tasks.close()
        if self._server is not None:
            await self._server.wait_closed()
        # The transports that were cut close in the next turn of the loop.
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "the proxy is not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open(self) -> int:
        """Connections that are passed on now, half-open ones included."""
        return len(self._passages)

    # ---- faults

    def cut(self, *, reset: bool) -> None:
        """End all connections at both ends, by RST or by FIN."""
        for passage in list(self._passages):
            passage.cut(reset=reset)

    def tear(self) -> None:
        """Pass on the first half of the next message to whoever dialled, then reset both ends."""
        for passage in self._passages:
            passage.tear = True

    def half_open(self) -> None:
        """From now on nothing passes and nobody is told: the peer is gone without a FIN."""
        for passage in self._passages:
            passage.dead = True

    def corrupt(self, way: Way) -> None:
        """Spoil the next message that goes this way."""
        for passage in self._passages:
            passage.spoil.add(way)

    def close_with(self, code: int, reason: str = "") -> None:
        """Close as if the platform did it, with a WebSocket close code; the platform sees its peer vanish."""
        for passage in list(self._passages):
            passage.close_with(code, reason)

    def freeze(self) -> None:
        """Read and pass nothing until `lift`; the connections stay."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Hold everything back for so long."""
        self.delay_s = seconds

    def slow(self, bytes_per_s: float) -> None:
        """Pass no more than so many bytes a second, each way of each connection."""
        self.bytes_per_s = bytes_per_s

    def refuse(self, status: int) -> None:
        """Answer new connections with an HTTP status, as a gateway does whose upstream is away."""
        self.status = status

    def lift(self) -> None:
        """End what lasts: freeze, delay, slow, refuse."""
        self.status, self.delay_s, self.bytes_per_s = None, 0.0, None
        self._flowing.set()

    # ---- service

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        passage = _Passage(self, reader, writer)
        self._passages.add(passage)
        task = self._tasks.spawn(passage.run(), name="passage")
        passage.task = task
        try:
            await asyncio.wait({task})
        finally:
            self._passages.discard(passage)

    async def flow(self) -> None:
        """Wait while frozen."""
        await self._flowing.wait()


class _Passage:
    """One connection and its other half."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._down = (reader, writer)
        self._up: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._close: bytes | None = None
        """The close frame that ends it, once one was asked for."""
        self._writing_down = False
        self.task: asyncio.Task[None] | None = None
        self.tear = False
        self.dead = False
        self.spoil: set[Way] = set()

    async def run(self) -> None:
        try:
            head = await _head(self._down[0])
            if self._proxy.status is not None:
                await self._refuse(self._proxy.status)
                return
            self._up = await asyncio.open_connection(*self._proxy.upstream)
            framed = b"upgrade: websocket" in head.lower()
            self._up[1].write(head)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump("up", framed=framed), name="fault-proxy.up")
                both.create_task(self._pump("down", framed=framed), name="fault-proxy.down")
        except* OSError:
            pass
        finally:
            self._end(reset=True)

    async def _refuse(self, status: int) -> None:
        self._proxy.refused += 1
        body = BAD_GATEWAY % status
        self._down[1].write(
            b"HTTP/1.1 %d Bad Gateway\r\nServer: fault-proxy\r\nContent-Type: text/html\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (status, len(body), body)
        )
        self._down[1].write_eof()
        # Until the other side has read it: a reset would take the answer back.
        async with asyncio.timeout(CLOSE_WAIT_S):
            while await self._down[0].read(CHUNK):
                pass

    async def _pump(self, way: Way, *, framed: bool) -> None:
        assert self._up is not None, "pumps run between two ends"
        source, sink = (self._down[0], self._up[1]) if way == "up" else (self._up[0], self._down[1])
        frames = _Frames(way, self._proxy.tap) if framed else None
        proxy = self._proxy
        while True:
            await proxy.flow()
            data = await source.read(CHUNK)
            if proxy.delay_s:
                await asyncio.sleep(proxy.delay_s)
            await proxy.flow()
            if self.dead:
                if not data:
                    # Gone without a word: the other end hears nothing of it.
                    await asyncio.Event().wait()
                continue
            if not data:
                if self._close is None and not sink.is_closing():
                    sink.write_eof()
                return
            for piece in [data] if frames is None else frames.take(data):
                await self._pass(way, sink, piece)

    async def _pass(self, way: Way, sink: asyncio.StreamWriter, piece: Frame | bytes) -> None:
        is_text = isinstance(piece, Frame) and piece.opcode == TEXT
        if self._close is not None:
            if way == "up" and isinstance(piece, Frame) and piece.opcode == CLOSE:
                # The answer to our close frame: a server ends the connection then.
                self._down[1].close()
        elif isinstance(piece, bytes):
            await self._write(way, sink, piece)
        elif is_text and way == "down" and self.tear:
            await self._write(way, sink, piece.raw[: len(piece.raw) // 2])
            self.cut(reset=True)
        elif is_text and way in self.spoil:
            self.spoil.discard(way)
            await self._write(way, sink, broken(piece))
        else:
            await self._write(way, sink, piece.raw)

    async def _write(self, way: Way, sink: asyncio.StreamWriter, data: bytes) -> None:
        self._writing_down = way == "down" or self._writing_down
        while data:
            rate = self._proxy.bytes_per_s
            size = len(data) if rate is None else max(int(rate * SLICE_S), 1)
            sink.write(data[:size])
            await sink.drain()
            if rate is not None:
                await asyncio.sleep(SLICE_S)
            data = data[size:]
        if way == "down":
            self._writing_down = False
            if self._close is not None:
                sink.write(self._close)

    # ---- ends

    def cut(self, *, reset: bool) -> None:
        self._end(reset=reset)
        if self.task is not None:
            self.task.cancel()

    def close_with(self, code: int, reason: str) -> None:
        if self._close is not None:
            return
        self._close = close_frame(code, reason)
        if not self._writing_down:
            # Else it follows the frame that is on its way.
            self._down[1].write(self._close)
        if self._up is not None:
            _abort(self._up[1])

    def _end(self, *, reset: bool) -> None:
        for _, writer in filter(None, (self._down, self._up)):
            if reset:
                _abort(writer)
            else:
                writer.close()


class _Frames:
    """One direction of an upgraded connection: the HTTP head as bytes, then frames."""

    def __init__(self, way: Way, tap: Tap | None) -> None:
        self._way: Way = way
        self._tap = tap
        self._head: bytes | None = b"" if way == "down" else None
        self._reader: FrameReader | None = FrameReader()
        """None after a refusal, whose body has no frames."""
        self._message = b""

    def take(self, data: bytes) -> list[Frame | bytes]:
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return []
            self._head = None
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                self._reader = None
            return [head + end, *self._frames(data)]
        return self._frames(data)

    def _frames(self, data: bytes) -> list[Frame | bytes]:
        if self._reader is None:
            return [data] if data else []
        found = self._reader.feed(data)
        for frame in found:
            self._look(frame)
        return list(found)

    def _look(self, frame: Frame) -> None:
        if self._tap is None or frame.opcode not in (0, TEXT):
            return
        self._message += frame.payload
        if frame.final:
            message, self._message = self._message, b""
            self._tap(self._way, message)


async def _head(reader: asyncio.StreamReader) -> bytes:
    """All of an HTTP head that has arrived; a body may follow."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
        data = await reader.read(CHUNK)
        if not data:
            raise ConnectionResetError("closed before its request")
        head += data
    return head


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: SO_LINGER with zero seconds, see socket(7)."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.transport.abort()
