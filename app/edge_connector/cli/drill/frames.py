"""WebSocket frames as bytes in a stream (RFC 6455, section 5.2), for a proxy that looks inside without taking part."""

from __future__ import annotations

import struct
from dataclasses import dataclass

TEXT = 0x1
CLOSE = 0x8


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was sent.

    Attributes:
        raw: all its bytes.
        header: how many of them come before the payload.
        mask: the four masking bytes; empty from a server.
    """

    raw: bytes
    header: int
    opcode: int
    final: bool
    mask: bytes

    @property
    def payload(self) -> bytes:
        """The payload, unmasked."""
        body = self.raw[self.header :]
        if not self.mask:
            return body
        key = self.mask * (len(body) // 4 + 1)
        masked = int.from_bytes(body, "big") ^ int.from_bytes(key[: len(body)], "big")
        return masked.to_bytes(len(body), "big")


class FrameReader:
    """Cuts a stream into frames; what is not whole yet waits."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, header = buffer[1] & 0x7F, 2
        if length >= 126:
            width = 2 if length == 126 else 8
            header += width
            if len(buffer) < header:
                return None
            length = int.from_bytes(buffer[2:header], "big")
        masked = 4 if buffer[1] & 0x80 else 0
        header += masked
        if len(buffer) < header + length:
            return None
        mask = bytes(buffer[header - masked : header])
        raw = bytes(buffer[: header + length])
        del buffer[: header + length]
        return Frame(raw, header, raw[0] & 0x0F, bool(raw[0] & 0x80), mask)


def close_frame(code: int, reason: str) -> bytes:
    """A close frame of a server; the reason is cut to what a control frame holds."""
    body = struct.pack("!H", code) + reason.encode()[:120]
    return bytes((0x80 | CLOSE, len(body))) + body


def broken(frame: Frame) -> bytes:
    """The frame with its first payload byte no longer ASCII: never valid JSON, so the receiver has to notice.

    A flipped byte in the middle may give other, valid text; to notice that is the business of TLS.
    """
    raw = bytearray(frame.raw)
    if len(raw) > frame.header:
        raw[frame.header] ^= 0x80
    else:
        raw[0] ^= 0x70
    return bytes(raw)
