"""What runtime and worker say to each other: msgspec arrays in JSON, each after its length as four big-endian bytes.

Both ends are this program in one version, so nothing is negotiated. Arguments and results ride along as raw JSON.
On the second socket of a worker, the control line, the runtime writes only the 8-byte sequence numbers of cancelled
calls; its end of file means that the runtime is gone.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec
from msgspec import Raw

HEADER = struct.Struct(">I")
SEQUENCE = struct.Struct(">Q")
MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Above the largest argument document and result: only a broken peer sends more."""


MAX_ARGUMENT_BYTES = 32 * 1024 * 1024
"""Above what the wire lets through, below what a frame may hold."""
NO_DETAIL = Raw(b"null")
"""msgspec cannot decode `Raw | None`, so null stands for: none."""


class FrameError(Exception):
    """The bytes are no frames: the peer is broken and has to go."""


class Frame(msgspec.Struct, array_like=True, gc=False):
    """Base of all frames."""


class Init(Frame, tag=1):
    """First frame to a worker. `skip` names modules that took a worker down while they were imported."""

    kind: str
    implementations: str
    scratch: str
    memory_bytes: int
    max_result_bytes: int
    log_file: str
    platform_url: str
    mark: str
    skip: list[str]


class Call(Frame, tag=2):
    """Run a tool; answered by one `Done` or `Fail` with the same `seq`."""

    seq: int
    id: str
    tool: str
    arguments: Raw
    remaining_s: float
    user: str
    organization: str
    deployment: str
    agent: str


class Cancel(Frame, tag=3):
    """Cancel an async call. Sync calls are cancelled over the control line."""

    seq: int


class Stop(Frame, tag=4):
    """No more calls: clean up and exit."""


class ToolLine(Frame, tag=10):
    """One tool in `Ready`."""

    name: str
    title: str
    description: str
    parameters: Raw
    result: Raw
    risk: str
    repeat: str
    timeout_s: float | None
    source: str
    is_async: bool


class ProblemLine(Frame, tag=11):
    """One problem in `Ready`."""

    code: str
    name: str
    message: str
    hint: str
    traceback: str


class Loading(Frame, tag=12):
    """This module is imported next; if the worker dies now, the runtime knows whose fault it was."""

    module: str


class Ready(Frame, tag=13):
    """The worker serves."""

    tools: list[ToolLine]
    problems: list[ProblemLine]


class Done(Frame, tag=14):
    """The call succeeded."""

    seq: int
    result: Raw


class Fail(Frame, tag=15):
    """The call gave no result. `kind` is a value of `calls.OutcomeKind`."""

    seq: int
    kind: str
    code: str
    message: str
    hint: str = ""
    detail: Raw = NO_DETAIL
    traceback: str = ""

    def detail_or_none(self) -> Raw | None:
        """The detail, if the tool gave one."""
        return None if bytes(self.detail) == b"null" else self.detail


class Progress(Frame, tag=16):
    """How far a call is; -1 when unknown."""

    seq: int
    fraction: float
    message: str


class LogLine(Frame, tag=17):
    """A line of a tool's logger; `seq` 0 is the worker itself."""

    seq: int
    level: int
    message: str


ToWorker = Init | Call | Cancel | Stop
FromWorker = Done | Fail | Progress | LogLine | Loading | Ready

_encoder = msgspec.json.Encoder()
_decode_raw = msgspec.json.Decoder(Raw).decode
decode_to_worker = msgspec.json.Decoder(ToWorker).decode
decode_from_worker = msgspec.json.Decoder(FromWorker).decode


def one_value(arguments: Raw | bytes) -> Raw:
    """The arguments as exactly one JSON value: anything else would break the frame they travel in.

    Raises:
        ValueError: they are no JSON, or too large (`msgspec.DecodeError` is one).
    """
    if memoryview(arguments).nbytes > MAX_ARGUMENT_BYTES:
        raise ValueError(f"they are larger than {MAX_ARGUMENT_BYTES} bytes")
    return _decode_raw(arguments)


def append(buffer: bytearray, frame: Frame) -> None:
    """Add the frame with its length to `buffer`.

    Raises:
        FrameError: it is larger than `MAX_FRAME_BYTES`; the buffer is as before.
    """
    start = len(buffer)
    buffer += b"\0\0\0\0"
    _encoder.encode_into(frame, buffer, -1)
    length = len(buffer) - start - 4
    if length > MAX_FRAME_BYTES:
        del buffer[start:]
        raise FrameError(f"a frame of {length} bytes is larger than {MAX_FRAME_BYTES}")
    HEADER.pack_into(buffer, start, length)


def encode(frame: Frame) -> bytearray:
    """The frame with its length, alone."""
    buffer = bytearray()
    append(buffer, frame)
    return buffer


class FrameSplitter:
    """Cuts a byte stream back into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now, without their lengths.

        Raises:
            FrameError: a length is beyond the limit.
        """
        source: Any = data
        if self._rest:
            self._rest += data
            source = self._rest
        frames: list[bytes] = []
        position, end = 0, len(source)
        while end - position >= 4:
            (length,) = HEADER.unpack_from(source, position)
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame announces {length} bytes")
            if end - position - 4 < length:
                break
            frames.append(bytes(source[position + 4 : position + 4 + length]))
            position += 4 + length
        if source is self._rest:
            del self._rest[:position]
        elif position < end:
            self._rest += data[position:]
        return frames
