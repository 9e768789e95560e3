"""The pictures that panels and windows ask for, drawn at build time: showing one takes no drawing library.

The file holds one zlib stream for each state, frame and ground, with its pictures in all sizes one after the other,
RGBA; the lengths of the streams come first, as unsigned 32-bit integers. Other sizes are drawn when they are asked for.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import Protocol

from edge_connector.core.resources import resource_path
from edge_connector.core.status import State
from edge_connector.desktop.icons import FRAMES, Ground

FILE = "states.rgba"
PANEL_SIZES = (16, 20, 22, 24, 32, 48, 64)
"""Panels at 100 % to 300 %."""
TILE_SIZES = (16, 24, 32, 48, 64, 128)
"""The window's frame, task switchers and notifications."""
MARKS_PX = (22, 37)
"""Beside the state line of a page, and of the overview."""
RATIOS = (1.0, 1.25, 1.5, 1.75, 2.0)
MARK_SIZES = tuple(sorted({round(points * ratio) for points in MARKS_PX for ratio in RATIOS}))


class Draw(Protocol):
    """Makes the pixels of a picture, four bytes each."""

    def __call__(self, state: State, size: int, ground: Ground, *, frame: int = 0) -> bytes: ...


def sizes_of(ground: Ground) -> tuple[int, ...]:
    """The sizes that are kept for a ground."""
    if ground is Ground.TILE:
        return TILE_SIZES
    return PANEL_SIZES if ground in (Ground.PANEL_LIGHT, Ground.PANEL_DARK) else MARK_SIZES


def _keys() -> list[tuple[State, int, Ground]]:
    """State, frame and ground of each stream, in the order of the file; only what connects moves."""
    frames = {state: range(FRAMES if state is State.CONNECTING else 1) for state in State}
    return [(state, frame, ground) for state in State for frame in frames[state] for ground in Ground]


def pack(draw: Draw) -> bytes:
    """The content of the file."""
    streams = [
        zlib.compress(b"".join(draw(state, size, ground, frame=frame) for size in sizes_of(ground)), 9)
        for state, frame, ground in _keys()
    ]
    return struct.pack(f"<{len(streams)}I", *map(len, streams)) + b"".join(streams)


def unpack(content: bytes) -> dict[tuple[State, int, Ground, int], bytes]:
    """Every picture of the file's content, by state, frame, ground and size."""
    found = {}
    for state, frame, ground in _keys():
        pixels = zlib.decompress(_stream(content, (state, frame, ground)))
        for size in sizes_of(ground):
            place = _place(size, ground)
            found[state, frame, ground, size] = pixels[place : place + 4 * size * size]
    return found


def kept(state: State, size: int, ground: Ground, *, frame: int = 0) -> bytes | None:
    """The pixels of a picture, or None when this size is not kept."""
    if size not in sizes_of(ground):
        return None
    pixels = _pixels(state, frame if state is State.CONNECTING else 0, ground)
    place = _place(size, ground)
    return pixels[place : place + 4 * size * size]


@lru_cache(maxsize=4)
def _pixels(state: State, frame: int, ground: Ground) -> bytes:
    content = resource_path(f"icons/{FILE}").read_bytes()
    return zlib.decompress(_stream(content, (state, frame, ground)))


def _stream(content: bytes, key: tuple[State, int, Ground]) -> bytes:
    keys = _keys()
    lengths = struct.unpack_from(f"<{len(keys)}I", content)
    number = keys.index(key)
    start = 4 * len(keys) + sum(lengths[:number])
    return content[start : start + lengths[number]]


def _place(size: int, ground: Ground) -> int:
    """Where the picture of a size begins in its stream."""
    return sum(4 * smaller * smaller for smaller in sizes_of(ground) if smaller < size)
