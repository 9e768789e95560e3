"""How long and how much a connection may send before it has said what it wants; nobody is known before that.

uvicorn waits for the head of a request for ever and keeps all of it. Here a connection that has no request under way is
closed after some time, whether it trickles or is silent, and a head beyond `MAX_HEAD_BYTES` ends it at once.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers; tokens have up to 16 KiB."""
FIRST_REQUEST_S = 20.0
"""From the connection, or the last answer's keep-alive, to the end of a request's head."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol of one connection, with bounds on what comes before a request is known."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self.idle_since: float | None = None
        """On the loop's clock, as `Patience` saw it; None before it looked, and from each request on."""

    @property
    def is_busy(self) -> bool:
        """Whether a request is known and not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def has_asked(self) -> bool:
        """Whether there was a request already."""
        return self.cycle is not None

    def data_received(self, data: bytes) -> None:
        """Count what belongs to no known request."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.is_busy and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head was short enough; the body has limits of its own."""
        self._head_bytes = 0
        self.idle_since = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows is the next head."""
        self._head_bytes = 0
        super().on_message_complete()


class Patience:
    """Closes connections that have had no request under way for too long."""

    def __init__(self, keep_alive_s: float, *, first_request_s: float = FIRST_REQUEST_S) -> None:
        """`keep_alive_s`: how long a connection may rest after an answer."""
        self._first_request_s = first_request_s
        self._later_request_s = keep_alive_s + first_request_s

    def look(self, connections: set[Any], now: float) -> int:
        """Close those of `connections` whose time is over; returns how many. Call it every few seconds.

        Args:
            connections: uvicorn's; WebSocket sessions among them have deadlines of their own.
            now: on the clock of the connections' loop.
        """
        closed = 0
        for connection in list(connections):
            if not isinstance(connection, PatientProtocol):
                continue
            if connection.is_busy:
                connection.idle_since = None
            elif connection.idle_since is None:
                connection.idle_since = now
            else:
                allowed = self._later_request_s if connection.has_asked else self._first_request_s
                if now - connection.idle_since > allowed:
                    connection.transport.abort()
                    closed += 1
        return closed
