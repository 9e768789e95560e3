"""One life of the link: handshake, registration, then frames both ways until it ends. `supervisor` dials again.

All queued messages of one loop turn leave in one frame, and nothing here starts a task for a message. Parts of large
results leave one by one, whenever nothing else waits and the network has taken what came before.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from edge_connector.core.clock import Clock
from edge_connector.link.transport import LinkDown, WebSocketTransport, down_from_code
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import ProtocolError
from edge_connector.wire.session import ConnectorSession, Phase

log = logging.getLogger(__name__)

MAX_QUEUED_PROGRESS = 1_000
"""Progress is dropped beyond this many queued messages: it is news, not a record."""


class LinkHandler(Protocol):
    """What the link needs from the runtime. All methods run on the loop and must not block."""

    def registration(self) -> tuple[list[m.ToolSpec], m.RuntimeInfo, m.BundleInfo | None]:
        """What to register now."""
        ...

    def status(self) -> m.Status:
        """The status to report now."""
        ...

    def on_welcome(self, welcome: m.Welcome) -> None:
        """The platform accepted the credentials."""
        ...

    def on_registered(self, registered: m.Registered) -> None:
        """The platform took the tools; calls may come."""
        ...

    def on_message(self, message: m.Message) -> None:
        """A call, cancel, receipt, bundle announcement or webhook receipt."""
        ...


class LinkConnection:
    """Runs one dialled transport."""

    def __init__(self, transport: WebSocketTransport, hello: m.Hello, handler: LinkHandler, clock: Clock) -> None:
        self._transport = transport
        self._handler = handler
        self._clock = clock
        self._session = ConnectorSession(hello, now=clock.monotonic())
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._flush_due = False
        self._is_writing = False
        """The writer has frames in hand: nothing may overtake them."""
        self._failure: asyncio.Future[Exception] = self._loop.create_future()
        self._new_terms = asyncio.Event()
        self._status_due = False
        self.drain: m.Drain | None = None
        self.opened_at: float | None = None
        """Monotonic moment of the first `registered`; None until then."""

    @property
    def is_open(self) -> bool:
        """Whether calls and outcomes can pass."""
        return self._session.phase is Phase.OPEN

    @property
    def round_trip_s(self) -> float | None:
        """Seconds of the last heartbeat's round trip."""
        return self._session.round_trip_s

    def send(self, message: m.Message) -> bool:
        """Queue a message; False when the session is not open and it was not taken."""
        if self._session.phase is not Phase.OPEN:
            return False
        if type(message) is m.Progress and self._session.queued > MAX_QUEUED_PROGRESS:
            return True
        self._session.send(message)
        self._flush_soon()
        return True

    def _flush_soon(self) -> None:
        """At the end of this turn of the loop, everything that is queued leaves."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._is_writing or self._status_due or self._session.has_parts or not self._transport.is_writable:
            self._wake.set()
        else:
            self._transport.write(self._session.frames_to_send())

    def send_status(self) -> None:
        """Report the status now, if the platform knows us."""
        if self._session.phase in (Phase.OPEN, Phase.WELCOMED):
            self._status_due = True
            self._wake.set()

    def register(self) -> None:
        """Register the tools again, after they changed."""
        if self._session.phase in (Phase.OPEN, Phase.WELCOMED):
            self._register()

    async def run(self) -> LinkDown:
        """Serve until the link is down; returns why. Cancelling it closes the socket in order."""
        ended: list[LinkDown] = []
        try:
            # They never return: the group ends by the first LinkDown, or by cancellation.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name="link.read")
                group.create_task(self._watch(), name="link.watch")
                group.create_task(self._write(), name="link.write")
                group.create_task(self._keep_time(), name="link.time")
        except* LinkDown as downs:
            ended.extend(_leaves(downs))
        self._session.close()
        return ended[0]

    async def close(self, reason: str) -> None:
        """Send what is queued, then close with code 1000."""
        frames = self._session.frames_to_send()
        self._session.close()
        try:
            await self._transport.send(frames)
        except LinkDown:
            return
        await self._transport.close(CloseCode.GOING_AWAY, reason)

    async def _read(self) -> None:
        self._wake.set()
        self._transport.deliver_to(self._take)
        error = await self._failure
        if isinstance(error, ProtocolError):
            await self._transport.close(error.code, error.reason)
            raise down_from_code(error.code, error.reason, by_us=True) from error
        raise error

    async def _watch(self) -> None:
        raise await self._transport.ended()

    def _take(self, frame: bytes) -> None:
        """One frame from the platform; what is wrong with it ends `_read`."""
        session = self._session
        try:
            for message in session.receive(frame, now=self._clock.monotonic()):
                self._dispatch(message)
        except Exception as error:
            if not self._failure.done():
                self._failure.set_result(error)
        if session.has_output:
            self._flush_soon()

    def _dispatch(self, message: m.Message) -> None:
        match message:
            case m.Welcome():
                log.debug("< welcome session=%s", message.session_id)
                self._new_terms.set()
                self._handler.on_welcome(message)
                self._register()
            case m.Registered():
                if self.opened_at is None:
                    self.opened_at = self._clock.monotonic()
                self._handler.on_registered(message)
            case m.Drain():
                log.info("platform is draining reason=%s", message.reason or "not given")
                self.drain = message
            case _:
                self._handler.on_message(message)

    def _register(self) -> None:
        tools, runtime, bundle = self._handler.registration()
        self._session.register(tools, runtime=runtime, bundle=bundle, now=self._clock.monotonic())
        self._session.send(self._handler.status())
        self._wake.set()

    async def _write(self) -> None:
        session = self._session
        while True:
            if session.has_parts:
                # Let in what arrived, and out what it brought, before the next part.
                await asyncio.sleep(0)
            else:
                await self._wake.wait()
            self._wake.clear()
            if self._status_due:
                self._status_due = False
                session.send(self._handler.status())
            self._is_writing = True
            await self._transport.send(session.frames_to_send())
            if session.has_parts and not self._wake.is_set() and (part := session.next_part()) is not None:
                began = self._clock.monotonic()
                await self._transport.send((part,))
                session.parts.left_within(self._clock.monotonic() - began)
            self._is_writing = False

    async def _keep_time(self) -> None:
        while True:
            self._new_terms.clear()
            wait_s = max(self._session.next_wakeup() - self._clock.monotonic(), 0.001)
            try:
                async with asyncio.timeout(wait_s):
                    # The welcome may shorten what was to be waited for.
                    await self._new_terms.wait()
            except TimeoutError:
                pass
            try:
                beat = self._session.tick(now=self._clock.monotonic())
            except ProtocolError as error:
                await self._transport.close(error.code, error.reason)
                raise down_from_code(error.code, error.reason, by_us=True) from error
            if beat:
                self._session.send(self._handler.status())
                self._wake.set()


def _leaves(group: BaseExceptionGroup[LinkDown]) -> list[LinkDown]:
    found: list[LinkDown] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
