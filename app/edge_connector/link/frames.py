"""The `websockets` client connection with a short way for the usual message: no queue, no task and no future for each.

The library dials, opens, closes and reads whatever is unusual; whole text messages are read and written here.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets import frames
from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Response
from websockets.protocol import OPEN

from edge_connector.wire.websocket import FrameCutter, Mask, masked_text_frame

apply_mask: Mask = frames.apply_mask  # type: ignore[attr-defined]
"""The library's, in C where that was built."""
_KEYS = 64
_MAX_HEAD = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"


class FrameConnection(ClientConnection):
    """A connection whose messages are delivered as they arrive."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cutter = FrameCutter(self._deliver, self._other, max_bytes=self.protocol.max_message_size or 2**63)
        self._take: Callable[[bytes], None] | None = None
        self._early: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._head: bytes | None = b""
        """What came of the answer to the upgrade; None once the library has it."""
        self._is_framed = False
        self._overdue: asyncio.TimerHandle | None = None
        self._fragments: list[bytes] = []
        self._keys = b""

    # ---- in

    def data_received(self, data: bytes) -> None:
        if self._is_framed:
            self._cutter.feed(data)
            return
        if self._head is None:
            super().data_received(data)
            return
        # The answer to the upgrade ends where frames begin, and both may come at once.
        self._head += data
        end = self._head.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        if end >= len(_END_OF_HEAD) or len(self._head) > _MAX_HEAD:
            data, self._head = self._head, None
            super().data_received(data[:end])
            self._is_framed = self.protocol.state is OPEN
            if end < len(data):
                self.data_received(data[end:])

    def _other(self, data: bytes) -> bool:
        super().data_received(data)
        if self.protocol.state is OPEN:
            return True
        if self._overdue is None and self.close_timeout is not None:
            # The server closes the connection next; one that does not is not waited for.
            self._overdue = self.loop.call_later(self.close_timeout, self.transport.abort)
        return False

    def process_event(self, event: Frame | Any) -> None:
        if isinstance(event, Response) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            whole, self._fragments = b"".join(self._fragments), []
            self._deliver(whole)

    def _deliver(self, message: bytes) -> None:
        if self._take is not None:
            self._take(message)
        else:
            self._early.append(message)
            self._news.set()

    def deliver_to(self, take: Callable[[bytes], None]) -> None:
        """Give each message to `take` from now on, first those that have arrived."""
        self._take = take
        while self._early:
            take(self._early.popleft())

    async def next_frame(self) -> bytes | None:
        """The next message while there is no `deliver_to`; None at the end of the connection."""
        while not self._early:
            if self.connection_lost_waiter.done():
                return None
            self._news.clear()
            await self._news.wait()
        return self._early.popleft()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._overdue is not None:
            self._overdue.cancel()
        self._news.set()

    # ---- out

    @property
    def is_writable(self) -> bool:
        """Whether the connection is open and its peer reads."""
        return self.protocol.state is OPEN and not self.paused and not self.transport.is_closing()

    def write(self, payload: bytes) -> None:
        """Send one text message, now."""
        keys = self._keys
        if not keys:
            # RFC 6455, section 5.3: unpredictable; asked of the system for many frames at once.
            keys = os.urandom(4 * _KEYS)
        self._keys = keys[4:]
        self.transport.write(masked_text_frame(payload, keys[:4], apply_mask))
