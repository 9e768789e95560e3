"""Frames to messages and back. A frame is one message (JSON object) or a batch (JSON array of messages)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.messages import (
    FromCaller,
    FromConnector,
    Message,
    ToCaller,
    ToConnector,
)

M = TypeVar("M", bound=Message)

BATCH_BYTES = 64 * 1024
"""A batch is closed at this size, so that a small message never waits behind a megabyte of others in the same frame."""


class ProtocolError(Exception):
    """The peer broke the protocol; close the session with `code` and `reason`."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode(errors="replace")[:120].decode(errors="ignore")
        """A close frame carries at most 123 bytes of reason (RFC 6455, section 5.5)."""


class _Envelope(msgspec.Struct):
    type: str


class FrameDecoder(Generic[M]):
    """Decodes what one side of the protocol may receive."""

    def __init__(self, union: Any) -> None:
        members = union.__args__
        self._known = {member.__struct_config__.tag for member in members}
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(union | list[union])
        self._single: msgspec.json.Decoder[Any] = msgspec.json.Decoder(union)
        self._raw_batch = msgspec.json.Decoder(list[Raw])
        self._envelope = msgspec.json.Decoder(_Envelope)

    def decode(self, frame: bytes | str) -> list[M]:
        """The messages in `frame`; those of unknown type are left out.

        Raises:
            ProtocolError: not JSON, not a message, or a known message with a wrong or missing field.
        """
        try:
            if isinstance(frame, bytes) and not frame.isascii():
                # Raw parts are passed on unread, so this is the only place that sees bad UTF-8 in them.
                frame.decode()
            decoded = self._decoder.decode(frame)
            return decoded if isinstance(decoded, list) else [decoded]
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolError(CloseCode.MALFORMED, f"frame is not JSON: {error}") from error
        try:
            return self._decode_slowly(frame)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ProtocolError(CloseCode.MALFORMED, f"frame is not JSON: {error}") from error
        except RecursionError as error:
            raise ProtocolError(CloseCode.MALFORMED, "frame is nested too deeply") from error

    def _decode_slowly(self, frame: bytes | str) -> list[M]:
        try:
            parts = self._raw_batch.decode(frame)
        except msgspec.ValidationError:
            parts = [Raw(frame.encode() if isinstance(frame, str) else frame)]
        found: list[M] = []
        for part in parts:
            try:
                kind = self._envelope.decode(part).type
            except msgspec.ValidationError as error:
                raise ProtocolError(CloseCode.MALFORMED, f"message without a type: {error}") from error
            if kind not in self._known:
                continue
            try:
                found.append(self._single.decode(part))
            except msgspec.ValidationError as error:
                raise ProtocolError(CloseCode.MALFORMED, f"{kind}: {error}") from error
        return found


from_connector: FrameDecoder[Message] = FrameDecoder(FromConnector)
from_caller: FrameDecoder[Message] = FrameDecoder(FromCaller)
to_connector: FrameDecoder[Message] = FrameDecoder(ToConnector)
to_caller: FrameDecoder[Message] = FrameDecoder(ToCaller)

_encode = msgspec.json.Encoder().encode


def encode_frames(messages: Iterable[Message]) -> list[bytes]:
    """The messages as few frames as `BATCH_BYTES` allows, in order, UTF-8 JSON."""
    frames: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for message in messages:
        data = _encode(message)
        if batch and size + len(data) > BATCH_BYTES:
            frames.append(_join(batch))
            batch, size = [], 0
        batch.append(data)
        size += len(data) + 1
    if batch:
        frames.append(_join(batch))
    return frames


def _join(batch: list[bytes]) -> bytes:
    return batch[0] if len(batch) == 1 else b"[" + b",".join(batch) + b"]"
