"""uvicorn's WebSocket with a short way for the usual message: no queue, no event, no pause of reading for each.

uvicorn opens and closes the connection and reads whatever is unusual. An application that finds this object in its
scope may take over what comes: from then on each message is given to it as it arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import frames
from websockets.protocol import OPEN

from edge_connector.wire.parts import PART_BYTES
from edge_connector.wire.websocket import FrameCutter, Mask, text_frame

EXTENSION = "edge_connector.frames"
"""Key of this object in the extensions of the scope."""
apply_mask: Mask = frames.apply_mask  # type: ignore[attr-defined]
"""The library's, in C where that was built."""


class Frames(Protocol):
    """What the application sees of the connection."""

    @property
    def is_writable(self) -> bool:
        """Whether a frame may be written now: the connection is open, and the peer reads."""
        ...

    def write(self, payload: bytes) -> None:
        """Send one text message, now."""
        ...

    def take_over(self, on_text: Callable[[bytes], None], on_event: Callable[[Any], None]) -> None:
        """Deliver what comes from now on, and what came and was not received yet.

        Args:
            on_text: takes each whole text message.
            on_event: takes any other ASGI event: fragmented and binary messages, the end.
        """
        ...


class _Deliver:
    """Stands for uvicorn's queue of events once the application has taken over."""

    def __init__(self, on_event: Callable[[Any], None]) -> None:
        self.put_nowait = on_event


class FrameProtocol(WebSocketsSansIOProtocol):
    """One connection; `Frames` for its application."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_text: Callable[[bytes], None] | None = None
        self._cutter = FrameCutter(self._text, self._other, max_bytes=self.config.ws_max_size, unmask=apply_mask)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # With the smallest part in its buffer it is paused until nothing is left.
        self.transport.set_write_buffer_limits(high=PART_BYTES[0], low=0)

    # ---- in

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated:
            self._cutter.feed(data)
        else:
            super().data_received(data)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            # The application starts with the next turn of the loop.
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[EXTENSION] = self

    def _text(self, payload: bytes) -> None:
        if self._on_text is not None:
            self._on_text(payload)
        else:
            self._message({"type": "websocket.receive", "bytes": payload})

    def _message(self, event: Any) -> None:
        self.queue.put_nowait(event)
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _other(self, data: bytes) -> bool:
        super().data_received(data)
        return self.conn.state is OPEN and self.conn.parser_exc is None

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        if self._on_text is not None:
            self._go_on_reading()

    def _go_on_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def take_over(self, on_text: Callable[[bytes], None], on_event: Callable[[Any], None]) -> None:
        waiting: asyncio.Queue[Any] = self.queue
        self.queue = _Deliver(on_event)  # type: ignore[assignment]
        self._on_text = on_text
        while not waiting.empty():
            on_event(waiting.get_nowait())
        self._go_on_reading()

    # ---- out

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set() and not self.close_sent and not self.transport.is_closing()

    def write(self, payload: bytes) -> None:
        self.transport.write(text_frame(payload))
