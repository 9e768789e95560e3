"""Draws the icons with Pillow, and writes the files that ship with the program.

The program itself seldom needs it: `icon_store` has the pictures of every panel and window, drawn here beforehand.

    python -m edge_connector.desktop.icon_drawing resources/icons               # what ships
    python -m edge_connector.desktop.icon_drawing build/icons --installers      # and .ico and .icns
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

from edge_connector.core.status import State
from edge_connector.desktop import icon_store
from edge_connector.desktop.icons import (
    HALO_OPACITY,
    HALOS,
    NAME,
    TILE_COLOUR,
    TILE_INSET,
    Ground,
    Ink,
    Point,
    colour_of,
    grown_by,
    halo_of,
    shapes_of,
    svg,
    tile_of,
)

SIZES = (16, 20, 22, 24, 32, 48, 64, 128, 256, 512)
PACKAGE_SIZES = (16, 24, 32, 48, 64, 128, 256)
"""The sizes a desktop file's icon is installed in."""


def draw(state: State, size: int, ground: Ground, *, frame: int = 0) -> Image.Image:
    """The picture, RGBA with a transparent ground, supersampled."""
    factor = max(2, min(8, 2048 // size))
    big = Image.new("RGBA", (size * factor, size * factor))
    brush = ImageDraw.Draw(big)
    offset = 0.0
    inner: float = size
    if ground is Ground.TILE:
        _fill(brush, tile_of(size), (*TILE_COLOUR, 255), factor, 0.0)
        offset = math.floor(size * TILE_INSET)
        inner = size - 2 * offset
    shapes = shapes_of(state, inner, frame=frame)
    for shape in shapes:
        colour = colour_of(shape.ink, state, ground)
        rgba = (*colour, 255)
        if shape.ink is Ink.CUT:
            rgba = (*TILE_COLOUR, 255) if ground is Ground.TILE else (*colour, 0)
        _fill(brush, shape.points, rgba, factor, offset)
    if ground in HALOS:
        under = Image.new("RGBA", big.size)
        brush = ImageDraw.Draw(under)
        for points in halo_of(shapes, size):
            _fill(brush, points, (*HALOS[ground], round(HALO_OPACITY * 255)), factor, 0.0)
        big = Image.alpha_composite(under, big)
    return big.reduce(factor)


def _fill(
    brush: ImageDraw.ImageDraw,
    points: Sequence[Point],
    rgba: tuple[int, int, int, int],
    factor: int,
    offset: float,
) -> None:
    # Pillow paints the pixels that an edge goes through too: half a pixel less on each side keeps edges in their place.
    scaled = grown_by([((x + offset) * factor, (y + offset) * factor) for x, y in points], -0.5)
    brush.polygon([(x - 0.5, y - 0.5) for x, y in scaled], fill=rgba)


@lru_cache(maxsize=256)
def rgba(state: State, size: int, ground: Ground, *, frame: int = 0) -> bytes:
    """The picture's pixels, four bytes each, without the cost of a file format (Pillow loads five for its first)."""
    return draw(state, size, ground, frame=frame).tobytes()


@lru_cache(maxsize=256)
def png(state: State, size: int, ground: Ground, *, frame: int = 0) -> bytes:
    """The picture as a PNG file's content."""
    content = io.BytesIO()
    draw(state, size, ground, frame=frame).save(content, "PNG", optimize=True)
    return content.getvalue()


# ---- files


def package_files() -> dict[str, bytes]:
    """The files that ship with the program, by name."""
    files = {f"{NAME}-{size}.png": png(State.WORKING, size, Ground.TILE) for size in PACKAGE_SIZES}
    files[f"{NAME}.svg"] = svg(State.WORKING, Ground.TILE).encode()
    files |= {f"state-{state}.svg": svg(state, Ground.WINDOW_LIGHT).encode() for state in State}
    files[icon_store.FILE] = icon_store.pack(rgba)
    return files


def installer_files() -> dict[str, bytes]:
    """What the installers of Windows and macOS want."""
    pictures = {size: draw(State.WORKING, size, Ground.TILE) for size in SIZES}
    ico, icns = io.BytesIO(), io.BytesIO()
    small = [picture for size, picture in pictures.items() if size <= 256]
    small[-1].save(ico, "ICO", sizes=[picture.size for picture in small], append_images=small[:-1])
    wanted = [pictures[size] for size in (32, 64, 128, 256)]
    pictures[512].save(icns, "ICNS", append_images=wanted)
    return {f"{NAME}.ico": ico.getvalue(), f"{NAME}.icns": icns.getvalue()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files into a folder."""
    parser = argparse.ArgumentParser(prog="python -m edge_connector.desktop.icon_drawing", description=main.__doc__)
    parser.add_argument("out", type=Path, help="the folder; it is made when it is not there")
    parser.add_argument("--installers", action="store_true", help="write .ico and .icns too")
    options = parser.parse_args(arguments)
    files = package_files() | (installer_files() if options.installers else {})
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (options.out / name).write_bytes(content)
    sys.stdout.write(f"{len(files)} files in {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
