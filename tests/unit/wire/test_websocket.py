"""The short way for text frames: the same messages as the library reads, however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from edge_connector.wire.websocket import FrameCutter, masked_text_frame, text_frame

KEY = b"\x01\x02\x03\x04"


class Reader:
    """What a cutter gives out, in order."""

    def __init__(self, *, masked: bool = False, max_bytes: int = 2**20, over_after: bytes = b"") -> None:
        self.given: list[tuple[str, bytes]] = []
        self._over_after = over_after
        self.cutter = FrameCutter(
            lambda text: self.given.append(("text", text)),
            self._other,
            max_bytes=max_bytes,
            unmask=apply_mask if masked else None,
        )

    def _other(self, data: bytes) -> bool:
        self.given.append(("other", data))
        return not self._over_after or not data.startswith(self._over_after)


def library_frame(opcode: Opcode, data: bytes, *, fin: bool = True, masked: bool = False) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=masked, extensions=[])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_frames_are_those_of_the_library(size: int) -> None:
    payload = b"x" * size
    assert text_frame(payload) == library_frame(Opcode.TEXT, payload)
    own = Reader(masked=True)
    own.cutter.feed(masked_text_frame(payload, KEY, apply_mask))
    own.cutter.feed(library_frame(Opcode.TEXT, payload, masked=True))
    assert own.given == [("text", payload)] * 2


messages = st.lists(
    st.one_of(
        st.tuples(st.just(Opcode.TEXT), st.binary(max_size=300)),
        st.tuples(st.just(Opcode.BINARY), st.binary(max_size=300)),
        st.tuples(st.just(Opcode.PING), st.binary(max_size=125)),
    ),
    max_size=12,
)


@given(messages, st.booleans(), st.lists(st.integers(0, 4000), max_size=20))
def test_any_cut_gives_the_same_frames_in_the_same_order(
    sent: list[tuple[Opcode, bytes]], masked: bool, cuts: list[int]
) -> None:
    frames = [library_frame(opcode, data, masked=masked) for opcode, data in sent]
    stream = b"".join(frames)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = Reader(masked=masked)
    for start, end in itertools.pairwise(places):
        reader.cutter.feed(stream[start:end])
    assert reader.given == [
        ("text", data) if opcode is Opcode.TEXT else ("other", frame)
        for (opcode, data), frame in zip(sent, frames, strict=True)
    ]


def test_a_message_in_fragments_is_the_librarys_and_text_follows_after_it() -> None:
    frames = [
        library_frame(Opcode.TEXT, b"a", fin=False),
        library_frame(Opcode.PING, b"p"),
        library_frame(Opcode.CONT, b"b", fin=False),
        library_frame(Opcode.CONT, b"c"),
    ]
    reader = Reader()
    reader.cutter.feed(b"".join(frames) + text_frame(b"d"))
    assert reader.given == [*(("other", frame) for frame in frames), ("text", b"d")]


def test_a_whole_text_inside_a_fragmented_message_is_left_to_the_library_to_refuse() -> None:
    reader = Reader()
    first = library_frame(Opcode.BINARY, b"a", fin=False)
    reader.cutter.feed(first + text_frame(b"b"))
    assert reader.given == [("other", first), ("other", text_frame(b"b"))]


@pytest.mark.parametrize(
    "broken",
    [
        masked_text_frame(b"masked by a server", KEY, apply_mask),
        b"\x81\x7f\x00\x00\x00\x00\x10\x00\x00\x01" + b"x" * 10,
        b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_must_not_be_is_handed_over_with_all_that_follows(broken: bytes) -> None:
    reader = Reader()
    reader.cutter.feed(text_frame(b"good") + broken)
    reader.cutter.feed(text_frame(b"late"))
    assert reader.given[0] == ("text", b"good")
    assert all(kind == "other" for kind, _ in reader.given[1:])
    assert b"".join(data for _, data in reader.given[1:]) == broken + text_frame(b"late")


def test_an_unmasked_frame_of_a_client_is_handed_over() -> None:
    reader = Reader(masked=True)
    reader.cutter.feed(text_frame(b"unmasked"))
    assert reader.given == [("other", text_frame(b"unmasked"))]


def test_nothing_is_read_behind_the_end() -> None:
    close = library_frame(Opcode.CLOSE, b"\x03\xe8")
    reader = Reader(over_after=close[:1])
    reader.cutter.feed(text_frame(b"a") + close + text_frame(b"b"))
    reader.cutter.feed(text_frame(b"c"))
    assert reader.given == [("text", b"a"), ("other", close), ("other", text_frame(b"b")), ("other", text_frame(b"c"))]


def test_a_long_frame_in_many_pieces_is_put_together_once() -> None:
    payload = bytes(range(256)) * 2000
    stream = text_frame(payload)
    reader = Reader()
    for start in range(0, len(stream), 1000):
        reader.cutter.feed(stream[start : start + 1000])
    assert reader.given == [("text", payload)]
