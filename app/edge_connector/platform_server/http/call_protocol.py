"""The HTTP protocol of the API port: plain calls are answered right here, everything else by uvicorn, unchanged.

A plain call is a `POST /api/v1/calls` with a small body of known length, good credentials and no wish beyond its
result. It needs no ASGI scope, task or future: the bytes that arrive become a call, and its end becomes bytes. Whatever
is unusual or wrong about a request is handed to uvicorn as it came, so there is one place for errors and rare cases.

A request's head is read by llhttp once for each connection; one that comes again byte for byte means the same again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools

from edge_connector.platform_api.operations import CREATE_CALL
from edge_connector.platform_server.http.call_endpoint import CallEndpoint, ended_body
from edge_connector.platform_server.http.hosts import HostCheck
from edge_connector.platform_server.http.patience import PatientProtocol
from edge_connector.platform_server.tool_rpc.calls import PendingCall

MAX_PLAIN_BYTES = 64 * 1024
"""Of a body, and of what may wait behind an open call; larger bodies are uvicorn's."""
REQUEST_LINE = f"{CREATE_CALL.method} {CREATE_CALL.path} HTTP/1.1\r\n".encode()
_END = b"\r\n\r\n"
_OTHER_BUSINESS = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"idempotency-key"})
"""Headers that ask for more than a plain call."""
_ONCE = frozenset({b"host", b"authorization", b"content-length"})


class _Head:
    """Collects what llhttp reads (RFC 9112)."""

    def __init__(self) -> None:
        self.is_plain = True
        self.found: dict[bytes, bytes] = {}
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header that matters."""
        name = name.lower()
        if name in _OTHER_BUSINESS or (name in _ONCE and name in self.found):
            self.is_plain = False
        self.found[name] = value
        self.headers.append((name, value))


class CallFront:
    """What the protocols of all connections share: the endpoint of calls and the check of Host and Origin."""

    def __init__(self, endpoint: CallEndpoint, hosts: HostCheck) -> None:
        self.start = endpoint.start_plain
        self._hosts = hosts

    def read(self, head: bytes) -> tuple[bytes, int] | None:
        """Authorization and length of the body of a plain call; None when it is not plain.

        Args:
            head: from the request line up to and including the empty line.
        """
        collected = _Head()
        parser = httptools.HttpRequestParser(collected)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        found = collected.found
        if not collected.is_plain or not parser.should_keep_alive():
            return None
        if self._hosts.refusal(collected.headers, CREATE_CALL.method) is not None:
            return None
        length = found.get(b"content-length", b"")
        if not length.isdigit() or int(length) > MAX_PLAIN_BYTES:
            return None
        return found.get(b"authorization", b""), int(length)


class CallProtocol(PatientProtocol):
    """One connection. Between two requests it looks at what comes; within a request of uvicorn it only passes on."""

    def __init__(self, *args: Any, front: CallFront, **options: Any) -> None:
        super().__init__(*args, **options)
        self._front = front
        self._head = b""
        self._authorization = b""
        self._length = 0
        self._in_message = False
        """uvicorn's parser is in the middle of a request."""
        self._open = False
        """A plain call has no outcome yet; what comes meanwhile waits."""
        self._held = bytearray()
        """The beginning of a plain call, or what waits behind an open one."""
        self._needed = 0
        """Bytes of the plain call in `_held`; 0 when that is not known."""
        self._close_after = False
        self._used_at = 0.0

    @property
    def is_busy(self) -> bool:
        return self._open or super().is_busy

    @property
    def has_asked(self) -> bool:
        return bool(self._head) or super().has_asked

    # ---- in

    def data_received(self, data: bytes) -> None:
        if self._open or self._held:
            self._held += data
            if self._open:
                if len(self._held) > MAX_PLAIN_BYTES:
                    self.flow.pause_reading()
                return
            if len(self._held) < self._needed:
                return
            data = bytes(self._held)
            self._held.clear()
        if self._in_message or (self.cycle is not None and not self.cycle.response_complete):
            super().data_received(data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """A request begins."""
        end = data.find(_END) + len(_END) if data.startswith(REQUEST_LINE) else 0
        if end < len(_END) or not self._recognise(data[:end]):
            super().data_received(data)
            return
        size = end + self._length
        if len(data) < size:
            self._held += data
            self._needed = size
            return
        self._needed = 0
        self._open = True
        self.idle_since = None
        try:
            started = self._front.start(self._authorization, data[end:size], self._answer)
        except BaseException:
            self._open = False
            raise
        if not started:
            self._open = False
            super().data_received(data)
        elif len(data) > size:
            self._held += data[size:]
            if not self._open:
                self.loop.call_soon(self._next)

    def _recognise(self, head: bytes) -> bool:
        if head == self._head:
            return True
        read = self._front.read(head)
        if read is None:
            return False
        self._head = head
        self._authorization, self._length = read
        return True

    def _next(self) -> None:
        """Go on with what waited."""
        if self._held and not self._open and not self.flow.write_paused and not self.transport.is_closing():
            self.flow.resume_reading()
            data = bytes(self._held)
            self._held.clear()
            self._take(data)

    def on_message_begin(self) -> None:
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    # ---- out

    def _answer(self, call: PendingCall) -> None:
        self._open = False
        transport = self.transport
        if transport.is_closing():
            return
        body = ended_body(call)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        if self._close_after:
            transport.write(head + b"connection: close\r\n\r\n" + body)
            transport.close()
            return
        transport.write(head + b"\r\n" + body)
        self._used_at = self.loop.time()
        self.idle_since = None
        if self.timeout_keep_alive_task is None:
            self._watch_idleness(self.timeout_keep_alive)
        if self._held:
            self.loop.call_soon(self._next)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._next()

    # ---- the end

    def _watch_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        # One timer looks now and then: a new one for each call would cost more than the rest of this class.
        self.timeout_keep_alive_task = None
        left = self._used_at + self.timeout_keep_alive - self.loop.time()
        if self._open:
            self._watch_idleness(self.timeout_keep_alive)
        elif left > 0:
            self._watch_idleness(left)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        if self._open:
            self._close_after = True
        else:
            super().shutdown()


def call_protocol(front: CallFront) -> Callable[..., CallProtocol]:
    """What uvicorn makes a connection's protocol with."""

    def make(*args: Any, **options: Any) -> CallProtocol:
        return CallProtocol(*args, front=front, **options)

    return make
