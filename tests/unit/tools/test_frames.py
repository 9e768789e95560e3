"""Frames survive any cut of the stream, and nothing else passes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from edge_connector.tools import frames


@given(st.lists(st.text(max_size=50), min_size=1, max_size=8), st.lists(st.integers(1, 40), min_size=1))
def test_any_cut_of_the_stream_gives_the_same_frames(messages: list[str], sizes: list[int]) -> None:
    stream = bytearray()
    for number, message in enumerate(messages):
        frames.append(stream, frames.Progress(number, 0.5, message))
    splitter, found, position, turn = frames.FrameSplitter(), [], 0, 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(bytes(stream[position : position + size]))
        position, turn = position + size, turn + 1
    decoded = [frames.decode_from_worker(payload) for payload in found]
    assert decoded == [frames.Progress(number, 0.5, message) for number, message in enumerate(messages)]


def test_raw_json_passes_unchanged() -> None:
    (payload,) = frames.FrameSplitter().feed(bytes(frames.encode(frames.Done(7, Raw(b'{"a": [1,  2]}')))))
    frame = frames.decode_from_worker(payload)
    assert isinstance(frame, frames.Done) and bytes(frame.result) == b'{"a": [1,  2]}'


def test_a_detail_object_passes() -> None:
    (payload,) = frames.FrameSplitter().feed(
        bytes(frames.encode(frames.Fail(1, "failed", "c", "m", "", Raw(b'{"a":1}'))))
    )
    frame = frames.decode_from_worker(payload)
    assert isinstance(frame, frames.Fail) and bytes(frame.detail) == b'{"a":1}'


def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(frames.FrameError):
        frames.FrameSplitter().feed(b"\xff\xff\xff\xff")
    with pytest.raises(msgspec.DecodeError):
        frames.decode_from_worker(b"[99]")
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 100)
    buffer = bytearray(b"before")
    with pytest.raises(frames.FrameError):
        frames.append(buffer, frames.Progress(1, 0.0, "x" * 200))
    assert buffer == b"before"


def test_arguments_are_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bytes(frames.one_value(b' {"a":1} ')).strip() == b'{"a":1}'
    for text in (b"", b"{", b"1 2", b"{}],["):
        with pytest.raises(ValueError):
            frames.one_value(text)
    monkeypatch.setattr(frames, "MAX_ARGUMENT_BYTES", 3)
    with pytest.raises(ValueError, match="larger"):
        frames.one_value(b'"long"')
