"""One WebSocket of the platform: frames, heartbeats and its end. What a message means is a `Peer`'s business.

Everything that is sent within one turn of the loop leaves together. While the peer reads, that needs no task: callbacks
of the loop write frames and take them in. The coroutine of the ASGI server writes what has to wait, and the end; a task
of its own reads the hello. Parts of large results leave one by one, when nothing else waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_server.tool_rpc.websocket import Frames
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import ProtocolError
from edge_connector.wire.session import PlatformSession

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 3.0
MAX_OUTBOX_BYTES = 64 * 1024 * 1024
"""What may wait for a peer that does not read; with more the session is closed."""
MAX_OUTBOX_MESSAGES = 100_000
"""The same for the messages that the session queues by itself, such as acknowledgements of heartbeats."""
MAX_PROGRESS_BYTES = 256 * 1024
"""Progress is not worth waiting for: behind so much it is dropped."""
MESSAGE_BYTES = 128
"""What a message counts for besides its long fields."""
EXPIRY_CHECK_S = 30.0
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Drained = Callable[[], Awaitable[Any]]
"""Returns when the server's buffer is empty."""


class Peer(Protocol):
    """Who is behind a connection after its hello."""

    def handle(self, message: m.Message) -> None:
        """One message, in order; must not block."""
        ...

    def before_flush(self) -> None:
        """The last chance to add messages to what is about to be sent."""
        ...

    def closed(self, reason: str) -> None:
        """The connection has ended; called once."""
        ...


@dataclass(frozen=True, slots=True)
class Socket:
    """A WebSocket of the ASGI server.

    Attributes:
        frames: the short way, where the server has one; everything goes by `receive` and `send` else.
    """

    receive: Receive
    send: Send
    drained: Drained
    frames: Frames | None = None


class Connection:
    """An accepted WebSocket with its session."""

    def __init__(self, socket: Socket, *, address: str, tasks: TaskOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self.address = address
        self.session = PlatformSession(now=self._loop.time())
        self.last_received = self._loop.time()
        self.queued_bytes = 0
        """What was given to `send` and `count` and has not reached the socket."""
        self.peer: Peer | None = None
        self._receive = socket.receive
        self._send = socket.send
        self._drained = socket.drained
        self._frames = socket.frames
        self._tasks = tasks
        self._wake = asyncio.Event()
        self._flush_due = False
        self._is_writing = False
        """The writer has frames in hand: nothing may overtake them."""
        self._limit: asyncio.Timeout | None = None
        self._close: tuple[int, str] | None = None
        self._gone: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def run(self, on_hello: Callable[[Connection, m.Hello], Awaitable[Peer]]) -> None:
        """Returns when the connection has ended.

        Args:
            on_hello: decides about the peer; raises `ProtocolError` to refuse it.
        """
        reader = self._tasks.spawn(self._read(on_hello), name="reader")
        self._arm()
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._write()
        except TimeoutError:
            log.info("peer did not take the close frame address=%s", self.address)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._expiry is not None:
                self._expiry.cancel()
            self.session.close()
            reader.cancel()
            if self.peer is not None:
                self.peer.closed(self._end_reason())

    def _end_reason(self) -> str:
        if self._close is not None:
            return self._close[1]
        return self._gone or "connection lost"

    # ---- out

    def send(self, message: m.Message) -> None:
        """Queue a message for the end of this turn of the loop; nothing happens once the connection is closing.

        Progress is dropped when much waits already, and the connection is closed when too much does.
        """
        if self._close is None and self._gone is None:
            if type(message) is m.Progress and self.queued_bytes > MAX_PROGRESS_BYTES:
                return
            session = self.session
            if session.splits:
                in_parts = session.parts.bytes
                session.send(message)
                # What leaves in parts is counted there, for as long as it waits.
                self.count(_weight(message) if session.parts.bytes <= in_parts else 0)
                if session.parts.bytes > MAX_OUTBOX_BYTES:
                    self._cut_off()
            else:
                session.send(message)
                self.count(_weight(message))
            self.wake()

    def count(self, size: int) -> None:
        """Note that about `size` bytes more wait to be sent; too many end the connection."""
        self.queued_bytes += size
        if self.queued_bytes > MAX_OUTBOX_BYTES:
            self._cut_off()

    def _cut_off(self) -> None:
        if not self.is_closing:
            waiting = self.queued_bytes + self.session.parts.bytes
            log.warning("peer does not read address=%s queued_bytes=%d", self.address, waiting)
            self.request_close(CloseCode.TOO_MANY, "too much waits to be read by the peer")

    def wake(self) -> None:
        """Something may have to be sent, at the end of this turn of the loop."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        frames = self._frames
        if frames is None or self._is_writing or self.is_closing or self.session.parts.bytes or not frames.is_writable:
            self._wake.set()
            return
        if self.peer is not None:
            self.peer.before_flush()
        self.queued_bytes = 0
        for frame in self.session.frames_to_send():
            frames.write(frame)

    def request_close(self, code: int, reason: str) -> None:
        """Send what is queued, then a close frame; idempotent, the first reason counts."""
        if self._close is None and self._gone is None:
            self._close = (int(code), reason.encode()[:120].decode(errors="ignore"))
            self._wake.set()
            if self._limit is not None:
                # A peer that does not read would hold the writer for ever.
                self._limit.reschedule(self._loop.time() + CLOSE_TIMEOUT_S)

    @property
    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self._close is not None or self._gone is not None

    async def _write(self) -> None:
        session, send, wake = self.session, self._send, self._wake
        while True:
            if session.splits and session.parts.bytes and self._close is None:
                # Let in what arrived, and out what it brought, before the next part.
                await asyncio.sleep(0)
            else:
                await wake.wait()
            wake.clear()
            if self._gone is not None:
                return
            if self.peer is not None:
                self.peer.before_flush()
            taken = self.queued_bytes
            self._is_writing = True
            for frame in session.frames_to_send():
                await send({"type": "websocket.send", "text": frame.decode()})
            self._is_writing = False
            self.queued_bytes -= taken
            if session.splits and session.parts.bytes and not wake.is_set():
                await self._send_part()
            if self._close is not None:
                while session.parts.bytes:
                    await self._send_part()
                code, reason = self._close
                await send({"type": "websocket.close", "code": code, "reason": reason})
                return

    async def _send_part(self) -> None:
        part = self.session.next_part()
        if part is not None:
            began = self._loop.time()
            await self._send({"type": "websocket.send", "text": part.decode()})
            await self._drained()
            self.session.parts.left_within(self._loop.time() - began)

    # ---- in

    async def _read(self, on_hello: Callable[[Connection, m.Hello], Awaitable[Peer]]) -> None:
        """Until the hello was answered, or to the end where there is no shorter way."""
        try:
            while not self.is_closing:
                event = await self._receive()
                if self.peer is not None or event["type"] != "websocket.receive":
                    self._take_event(event)
                    continue
                for message in self._messages(_frame_of(event)):
                    if isinstance(message, m.Hello):
                        self.peer = await on_hello(self, message)
                if self.session.has_output:
                    self.wake()
                if self._frames is not None and self.peer is not None:
                    self._frames.take_over(self._take, self._take_event)
                    return
        except Exception as error:
            self._fail(error)
        finally:
            self._wake.set()

    def _take_event(self, event: Any) -> None:
        if event["type"] == "websocket.receive":
            self._take(_frame_of(event))
            return
        code, reason = event.get("code", 1005), event.get("reason") or ""
        self._gone = reason or ("connection lost" if code in (1005, 1006) else f"closed with {code}")
        self._wake.set()

    def _take(self, frame: bytes | str) -> None:
        """One frame of a known peer."""
        session, peer = self.session, self.peer
        if self.is_closing or peer is None:
            return
        try:
            for message in self._messages(frame):
                peer.handle(message)
            if session.has_output:
                self.wake()
                if session.queued > MAX_OUTBOX_MESSAGES:
                    self._cut_off()
        except Exception as error:
            self._fail(error)

    def _messages(self, frame: bytes | str) -> list[m.Message]:
        self.last_received = now = self._loop.time()
        return self.session.receive(frame, now=now)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, ProtocolError):
            log.info("connection refused address=%s code=%d reason=%s", self.address, error.code, error.reason)
            self.request_close(error.code, error.reason)
        else:
            log.error("connection failed address=%s", self.address, exc_info=error)
            self.request_close(CloseCode.INTERNAL, "the platform failed; its log has the cause")

    # ---- time

    def new_terms(self) -> None:
        """The welcome may have shortened what the timer waits for."""
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self.session.next_wakeup(), self._tick)

    def _tick(self) -> None:
        try:
            if self.session.tick(now=self._loop.time()):
                self._wake.set()
        except ProtocolError as error:
            log.info("connection ended address=%s code=%d reason=%s", self.address, error.code, error.reason)
            self.request_close(error.code, error.reason)
            return
        self._arm()

    def end_at_expiry(self, seconds_left: Callable[[], float], reason: str = "the session token has expired") -> None:
        """Close once the credentials have expired; asked again, the new terms count.

        Args:
            seconds_left: until then; infinite when they never expire. Asked again now and then, because the clock that
                credentials go by may be set, and goes on while a machine sleeps.
        """
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        left = seconds_left()
        if left <= 0:
            log.info("credentials expired address=%s", self.address)
            self.request_close(CloseCode.REVOKED, reason)
        elif left != math.inf and not self.is_closing:
            self._expiry = self._loop.call_later(min(left, EXPIRY_CHECK_S), self.end_at_expiry, seconds_left, reason)

    def last_received_wall(self) -> float:
        """Unix seconds of the last frame."""
        return time.time() - (self._loop.time() - self.last_received)


def _frame_of(event: Any) -> bytes | str:
    text: str | None = event.get("text")
    return event["bytes"] if text is None else text


def _weight(message: m.Message) -> int:
    """About how many bytes `message` takes on the wire; exact for what may be large."""
    if isinstance(message, m.Call):
        return MESSAGE_BYTES + len(memoryview(message.arguments))
    if isinstance(message, m.Result):
        return MESSAGE_BYTES + len(message.id) + len(memoryview(message.result))
    if isinstance(message, m.Failure):
        return MESSAGE_BYTES + len(message.id) + error_bytes(message.error)
    if isinstance(message, m.Progress):
        return MESSAGE_BYTES + len(message.id) + len(message.message)
    if isinstance(message, m.Accepted | m.WebhookReceipt):
        return MESSAGE_BYTES + len(message.id)
    return MESSAGE_BYTES


def error_bytes(error: m.CallError) -> int:
    """About how many bytes an error takes."""
    return len(error.message) + len(error.hint) + len(memoryview(error.detail))
