"""Frames are found in a stream however it is cut, unmasked, and spoilt so that a receiver has to notice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode

from edge_connector.cli.drill.frames import CLOSE, TEXT, FrameReader, broken, close_frame


def serialized(payload: bytes, *, mask: bool, opcode: Opcode = Opcode.TEXT) -> bytes:
    """A frame as the WebSocket library writes it."""
    return LibraryFrame(opcode, payload).serialize(mask=mask)


@given(
    payloads=st.lists(st.one_of(st.binary(max_size=300), st.just(b"x" * 70_000)), max_size=4),
    mask=st.booleans(),
    size=st.integers(1, 9_000),
)
def test_frames_come_out_whole_however_the_stream_is_cut(payloads: list[bytes], mask: bool, size: int) -> None:
    stream = b"".join(serialized(payload, mask=mask) for payload in payloads)
    reader = FrameReader()
    found = [frame for at in range(0, len(stream), size) for frame in reader.feed(stream[at : at + size])]
    assert [frame.payload for frame in found] == payloads
    assert b"".join(frame.raw for frame in found) == stream
    assert all(frame.final and frame.opcode == TEXT and bool(frame.mask) is mask for frame in found)


@pytest.mark.parametrize("mask", [True, False])
@given(message=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_a_broken_frame_is_never_json(mask: bool, message: dict[str, str]) -> None:
    (frame,) = FrameReader().feed(serialized(json.dumps(message).encode(), mask=mask))
    (spoilt,) = FrameReader().feed(broken(frame))
    with pytest.raises(UnicodeDecodeError):
        json.loads(spoilt.payload)


def test_an_empty_frame_is_broken_in_its_header() -> None:
    (frame,) = FrameReader().feed(serialized(b"", mask=False))
    assert broken(frame)[0] & 0x70 and len(broken(frame)) == len(frame.raw)


def test_a_close_frame_is_what_the_library_writes() -> None:
    (frame,) = FrameReader().feed(close_frame(4503, "moving"))
    assert frame.opcode == CLOSE and not frame.mask
    assert frame.raw == serialized(b"\x11\x97moving", mask=False, opcode=Opcode.CLOSE)
    (long,) = FrameReader().feed(close_frame(1011, "x" * 500))
    assert len(long.payload) <= 125
