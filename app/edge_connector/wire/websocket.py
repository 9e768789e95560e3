"""The usual WebSocket frame, read and written without ceremony: one whole text message (RFC 6455, section 5.2).

A library at each end opens and closes the connection and handles whatever is unusual: control frames, fragments, binary
messages, violations. It pays for its generality with most of a call's processor time. So frames are cut out of the
stream here; whole text messages go straight to their reader, every other frame to the library, byte for byte and in
order.
"""

from __future__ import annotations

from collections.abc import Callable

TEXT = 0x81
"""First byte of a text message in one frame: FIN and opcode 1."""
_FIN = _MASKED = 0x80
_BINARY = 2

Mask = Callable[[bytes, bytes], bytes]
"""Data and four bytes in, data masked or unmasked with them out."""


class FrameCutter:
    """Cuts what arrives into frames."""

    def __init__(
        self,
        on_text: Callable[[bytes], None],
        on_other: Callable[[bytes], bool],
        *,
        max_bytes: int,
        unmask: Mask | None = None,
    ) -> None:
        """Nothing has arrived yet.

        Args:
            on_text: takes the payload of a whole text message.
            on_other: takes the bytes of another frame, or of all that is left; False when the connection is over, so
                that it gets everything from then on.
            max_bytes: longer frames are left to `on_other` as they come, so that it can refuse them by their header.
            unmask: given at the end whose peer masks its frames.
        """
        self._on_text = on_text
        self._on_other = on_other
        self._max_bytes = max_bytes
        self._unmask = unmask
        self._rest = bytearray()
        self._needed = 0
        """How long `_rest` has to be at least to go on; 0 when that is not known yet."""
        self._in_fragments = False
        self._passes_all = False

    def feed(self, data: bytes) -> None:
        """Take in what arrived; the callbacks run before it returns."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        unmask = self._unmask
        position, end, needed = 0, len(data), 0
        while end - position >= 2:
            if self._passes_all:
                self._on_other(data[position:])
                return
            first, second = data[position], data[position + 1]
            length, key = second & 0x7F, position + 2
            if length >= 126:
                key += 2 if length == 126 else 8
                if end < key:
                    break
                length = int.from_bytes(data[position + 2 : key], "big")
            if length > self._max_bytes or (second >= _MASKED) != (unmask is not None):
                self._passes_all = True
                continue
            payload = key if unmask is None else key + 4
            after = payload + length
            if end < after:
                needed = after - position
                break
            if first == TEXT and not self._in_fragments:
                text = data[payload:after]
                self._on_text(text if unmask is None else unmask(text, data[key:payload]))
            else:
                if first & 0x0F <= _BINARY:
                    self._in_fragments = first < _FIN
                self._passes_all = not self._on_other(data[position:after])
            position = after
        self._needed = needed
        if position < end:
            self._rest += data[position:]


def text_frame(payload: bytes) -> bytes:
    """One text message as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def masked_text_frame(payload: bytes, key: bytes, mask: Mask) -> bytes:
    """One text message as a client sends it.

    Args:
        key: four bytes that nobody could predict (RFC 6455, section 5.3).
    """
    size = len(payload)
    if size < 126:
        head = bytes((TEXT, _MASKED | size))
    elif size < 65536:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x81\xff" + size.to_bytes(8, "big")
    return head + key + mask(payload, key)
