"""Bytes as frames: of the protocol, and between runtime and worker."""

from __future__ import annotations

import json

import msgspec
from msgspec import Raw

from edge_connector.core.depth import deeper_than
from edge_connector.tools import frames
from edge_connector.wire import codec
from edge_connector.wire import messages as m
from edge_connector.wire.codec import FrameDecoder, ProtocolError, encode_frames
from edge_connector.wire.session import CallerSession, ConnectorSession, PlatformSession, Session
from tests.fuzz.target import JSON, Target
from tests.unit.wire.samples import SAMPLES, encoded

DECODERS: tuple[FrameDecoder[m.Message], ...] = (
    codec.from_connector,
    codec.from_caller,
    codec.to_connector,
    codec.to_caller,
)


def wire_codec(data: bytes) -> None:
    """Frames of all four directions, as bytes and as text: messages that can be sent on, or a ProtocolError."""
    for decoder in DECODERS:
        for frame in (data, data.decode(errors="surrogateescape")):
            try:
                messages = decoder.decode(frame)
            except ProtocolError as error:
                assert len(error.reason.encode()) <= 123
                continue
            back = [message for frame in encode_frames(messages) for message in decoder.decode(frame)]
            assert [type(message) for message in back] == [type(message) for message in messages]


def _platform_end(role: m.Role) -> Session:
    session = PlatformSession(now=0.0)
    session.receive(encoded(m.Hello(versions=[m.VERSION], role=role)), now=0.0)
    session.accept(SAMPLES["welcome"], now=0.0)  # type: ignore[arg-type]
    return session


def _sessions() -> list[Session]:
    hello = m.Hello(versions=[m.VERSION], role=m.Role.CONNECTOR)
    connector = ConnectorSession(hello, now=0.0)
    connector.receive(encoded(SAMPLES["welcome"]), now=0.0)
    ends = [ConnectorSession(hello, now=0.0), connector, CallerSession(hello, now=0.0), PlatformSession(now=0.0)]
    return [*ends, _platform_end(m.Role.CONNECTOR), _platform_end(m.Role.CALLER)]


def wire_session(data: bytes) -> None:
    """Lines of frames into sessions of every kind and phase: messages or a ProtocolError, which closes; no growth."""
    for session in _sessions():
        waiting = session.queued
        for number, frame in enumerate(data.split(b"\n")):
            try:
                taken = session.receive(frame, now=float(number))
            except ProtocolError:
                assert session.phase == "closed" and session.receive(frame, now=float(number)) == []
                break
            assert len(taken) <= len(frame)
        assert session.queued - waiting <= len(data)
        session.frames_to_send()


def worker_frames(data: bytes) -> None:
    """The stream between runtime and worker: frames, FrameError or msgspec's refusal; at most what came is kept."""
    splitter = frames.FrameSplitter()
    found: list[bytes] = []
    try:
        for start in range(0, len(data), 7):
            found += splitter.feed(data[start : start + 7])
    except frames.FrameError:
        pass
    assert sum(map(len, found)) + len(splitter._rest) <= len(data)
    for payload in found:
        for decode in (frames.decode_from_worker, frames.decode_to_worker):
            try:
                decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass


def json_depth(data: bytes) -> None:
    """The depth told from the bytes is that of the document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if data[:3] == b"\xef\xbb\xbf" or b"\0" in data:  # json.loads guesses encodings, the protocol has one
        return
    for limit in (0, 1, 2, 5):
        assert deeper_than(data, limit) is (_depth(document) > limit)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


_FRAMES = tuple(encoded(message) for message in SAMPLES.values())

TARGETS: dict[str, Target] = {
    "wire_codec": Target(wire_codec, (*_FRAMES, b"[" + b",".join(_FRAMES[:4]) + b"]", b'{"type":"new"}', *JSON)),
    "wire_session": Target(wire_session, (*_FRAMES, b"\n".join(_FRAMES), b"\n".join(reversed(_FRAMES)), b"")),
    "worker_frames": Target(
        worker_frames,
        (
            bytes(frames.encode(frames.Done(1, Raw(b'{"a":1}')))) * 3,
            bytes(frames.encode(frames.Progress(1, 0.5, "x"))),
            b"\xff\xff\xff\xff{}",
            b"\0\0\0\2{}",
            b"\0\0\0\0",
        ),
    ),
    "json_depth": Target(json_depth, (*JSON, rb'{"\\":"[[[\"{","x":[{"y":[]}]}')),
}  # fmt: skip
