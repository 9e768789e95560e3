"""One WebSocket of the platform: frames, heartbeats and its end. What a message means is a `Peer`'s business.

The coroutine of the ASGI server is the writer, a task of its own reads. Everything that is sent within one turn of the
loop leaves together. Parts of large results leave one by one, when nothing else waits.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from edge_connector.core.tasks import TaskOwner
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


class Connection:
    """An accepted WebSocket with its session."""

    def __init__(self, receive: Receive, send: Send, drained: Drained, *, address: str, tasks: TaskOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self.address = address
        self.session = PlatformSession(now=self._loop.time())
        self.last_received = self._loop.time()
        self.queued_bytes = 0
        """What was given to `send` and `count` and has not reached the socket."""
        self.peer: Peer | None = None
        self._receive = receive
        self._send = send
        self._drained = drained
        self._tasks = tasks
        self._wake = asyncio.Event()
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
            self._wake.set()

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
        """Something may have to be sent."""
        self._wake.set()

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
            frames = session.frames_to_send()
            for frame in frames:
                await send({"type": "websocket.send", "text": frame.decode()})
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
        receive, session, clock = self._receive, self.session, self._loop.time
        try:
            while self._close is None:
                event = await receive()
                if event["type"] != "websocket.receive":
                    code, reason = event.get("code", 1005), event.get("reason") or ""
                    self._gone = reason or ("connection lost" if code in (1005, 1006) else f"closed with {code}")
                    return
                frame = event.get("text")
                self.last_received = now = clock()
                for message in session.receive(event["bytes"] if frame is None else frame, now=now):
                    if self.peer is not None:
                        self.peer.handle(message)
                    elif isinstance(message, m.Hello):
                        self.peer = await on_hello(self, message)
                if session.has_output:
                    self._wake.set()
                    if session.queued > MAX_OUTBOX_MESSAGES:
                        self._cut_off()
        except ProtocolError as error:
            log.info("connection refused address=%s code=%d reason=%s", self.address, error.code, error.reason)
            self.request_close(error.code, error.reason)
        except Exception:
            log.exception("connection failed address=%s", self.address)
            self.request_close(CloseCode.INTERNAL, "the platform failed; its log has the cause")
        finally:
            self._wake.set()

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

    def end_at_expiry(self, seconds_left: Callable[[], float]) -> None:
        """Close once the credentials have expired.

        Args:
            seconds_left: until then; infinite when they never expire. Asked again now and then, because the clock that
                credentials go by may be set, and goes on while a machine sleeps.
        """
        left = seconds_left()
        if left <= 0:
            log.info("session token expired address=%s", self.address)
            self.request_close(CloseCode.REVOKED, "the session token has expired")
        elif left != math.inf and not self.is_closing:
            self._expiry = self._loop.call_later(min(left, EXPIRY_CHECK_S), self.end_at_expiry, seconds_left)

    def last_received_wall(self) -> float:
        """Unix seconds of the last frame."""
        return time.time() - (self._loop.time() - self.last_received)


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
