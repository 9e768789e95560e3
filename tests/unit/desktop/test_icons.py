"""The icons: seven shapes that differ at every size, colours with contrast, committed files that are the drawn ones."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

from edge_connector.core.resources import resource_path
from edge_connector.core.status import State
from edge_connector.desktop import icon_store, icons
from edge_connector.desktop.icon_drawing import SIZES, draw, main, package_files, rgba
from edge_connector.desktop.icons import Ground, svg

LIGHT, DARK = (255, 255, 255), (30, 30, 30)


def alpha(state: State, size: int, *, frame: int = 0) -> Image.Image:
    """The shape alone; a panel's picture is the same with a halo."""
    return draw(state, size, Ground.WINDOW_LIGHT, frame=frame).getchannel("A")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Pixels that differ, counted by how much."""
    return sum(ImageChops.difference(one, other).tobytes()) / 255


@pytest.mark.parametrize("size", SIZES)
def test_every_two_states_differ_by_shape_alone(size: int) -> None:
    pictures = {state: alpha(state, size) for state in State}
    for one, other in itertools.combinations(State, 2):
        # 2 % of the field: 5 whole pixels of 256 at the smallest size.
        assert difference(pictures[one], pictures[other]) > 0.02 * size * size, (one, other)


@pytest.mark.parametrize("state", State)
def test_size_is_exact_and_the_mark_fills_it(state: State) -> None:
    for size in SIZES:
        picture = draw(state, size, Ground.PANEL_DARK)
        assert picture.size == (size, size)
        left, top, right, bottom = picture.getchannel("A").getbbox() or (0, 0, 0, 0)
        assert right - left >= 0.85 * size
        assert bottom - top >= 0.7 * size


@pytest.mark.parametrize("size", [16, 20, 22, 24, 32, 48])
@pytest.mark.parametrize("state", [State.WORKING, State.NEEDS_YOU, State.PAUSED, State.STOPPED])
def test_straight_strokes_are_sharp_in_panels(state: State, size: int) -> None:
    assert set(alpha(state, size).tobytes()) == {0, 255}


def test_all_but_the_badge_and_the_moon_are_symmetric() -> None:
    for state in (State.WORKING, State.NEEDS_YOU, State.PAUSED, State.STOPPED):
        picture = alpha(state, 64)
        assert difference(picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0, state


def test_dot_travels_from_left_to_right() -> None:
    stopped = alpha(State.STOPPED, 22)
    middles = []
    for frame in range(icons.FRAMES):
        dot = ImageChops.difference(alpha(State.CONNECTING, 22, frame=frame), stopped).getbbox()
        assert dot is not None
        middles.append((dot[0] + dot[2]) / 2)
    assert middles == sorted(set(middles))


@pytest.mark.parametrize("size", [16, 22, 24, 48])
@pytest.mark.parametrize("ground", [Ground.PANEL_LIGHT, Ground.PANEL_DARK])
def test_panel_that_is_not_what_it_seemed_still_shows_every_state(ground: Ground, size: int) -> None:
    for panel in (LIGHT, DARK, (128, 128, 128)):
        seen = []
        for state in State:
            points = flattened(draw(state, size, ground), panel).convert("RGB").tobytes()
            stands_out = bytes(
                contrast((points[i], points[i + 1], points[i + 2]), panel) >= 2.5 for i in range(0, len(points), 3)
            )
            assert sum(stands_out) > 0.12 * size * size, (state, panel)
            seen.append(stands_out)
        assert len(set(seen)) == 7


def test_panel_pictures_have_one_ink() -> None:
    for ground, colour in ((Ground.PANEL_LIGHT, icons.INK_LIGHT), (Ground.PANEL_DARK, icons.INK_DARK)):
        for state in State:
            assert solid_colours(draw(state, 32, ground)) == {colour}


def test_window_pictures_show_the_state_in_its_colour() -> None:
    for ground, palette in ((Ground.WINDOW_LIGHT, icons.ON_LIGHT), (Ground.WINDOW_DARK, icons.ON_DARK)):
        for state in State:
            accent = palette[icons.STATE_COLOUR[state]]
            assert solid_colours(draw(state, 64, ground)) == {palette["ink"], accent}, state


def solid_colours(picture: Image.Image) -> set[tuple[int, int, int]]:
    raw = picture.tobytes()
    return {(raw[i], raw[i + 1], raw[i + 2]) for i in range(0, len(raw), 4) if raw[i + 3] == 255}


def contrast(one: icons.Colour, other: icons.Colour) -> float:
    """WCAG 2.2 contrast ratio."""

    def luminance(colour: icons.Colour) -> float:
        parts = [c / 255 for c in colour]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", icons.ON_LIGHT)
def test_colours_stand_out_from_their_ground(name: str) -> None:
    least = 3.0  # shapes; amber on white is 4.2 and is never used for text
    assert contrast(icons.ON_LIGHT[name], LIGHT) >= least
    assert contrast(icons.ON_DARK[name], DARK) >= max(least, contrast(icons.ON_LIGHT[name], LIGHT) * 0.9)


def test_mark_stands_out_from_its_tile() -> None:
    assert contrast(icons.TILE_COLOUR, icons.INK_DARK) >= 4.5


@pytest.mark.parametrize("ground", Ground)
@pytest.mark.parametrize("state", State)
def test_svg_shows_the_same_picture_in_another_renderer(state: State, ground: Ground) -> None:
    image = QImage(512, 512, QImage.Format.Format_RGBA8888)
    image.fill(0)
    painter = QPainter(image)
    renderer = QSvgRenderer(svg(state, ground).encode())
    assert renderer.isValid()
    renderer.render(painter)
    painter.end()
    rendered = Image.frombytes("RGBA", (512, 512), bytes(image.constBits()))
    drawn = draw(state, 512, ground)
    for ground_colour in (LIGHT, DARK):
        one, other = (flattened(picture, ground_colour) for picture in (rendered, drawn))
        # Only the edges may differ: less than one point in a hundred.
        assert difference(one.convert("L"), other.convert("L")) < 0.01 * 512 * 512


def flattened(picture: Image.Image, colour: icons.Colour) -> Image.Image:
    under = Image.new("RGBA", picture.size, (*colour, 255))
    return Image.alpha_composite(under, picture)


def test_committed_files_are_the_drawn_ones() -> None:
    folder = resource_path("icons")
    made = package_files()
    assert {path.name for path in folder.iterdir()} == made.keys()
    for name, content in made.items():
        committed = (folder / name).read_bytes()
        if name.endswith(".svg"):
            assert committed == content, name
        elif name == icon_store.FILE:
            assert icon_store.unpack(committed) == icon_store.unpack(content)
        else:
            # The pixels, not the bytes: another zlib packs them differently.
            with Image.open(io.BytesIO(content)) as drawn, Image.open(io.BytesIO(committed)) as kept:
                assert (drawn.size, drawn.tobytes()) == (kept.size, kept.tobytes()), name


def test_command_writes_the_files_and_the_installers_pictures(tmp_path: Path) -> None:
    assert main([str(tmp_path / "plain")]) == 0
    assert {path.name for path in (tmp_path / "plain").iterdir()} == package_files().keys()
    assert main([str(tmp_path / "all"), "--installers"]) == 0
    with Image.open(tmp_path / "all" / "edge-connector.ico") as ico:
        assert {(16, 16), (32, 32), (48, 48), (256, 256)} <= set(ico.info["sizes"])
    with Image.open(tmp_path / "all" / "edge-connector.icns") as icns:
        assert {size[0] for size in icns.info["sizes"]} >= {32, 128, 256, 512}


def test_no_grey_veil_outside_the_mark() -> None:
    picture = alpha(State.STOPPED, 16)
    left, top, right, bottom = picture.getbbox() or (0, 0, 0, 0)
    assert (left, top, 16 - right, 16 - bottom) == (1, 2, 1, 2)


@pytest.mark.parametrize("ground", Ground)
def test_kept_pictures_are_the_drawn_ones(ground: Ground) -> None:
    for state in State:
        for size in icon_store.sizes_of(ground):
            assert icon_store.kept(state, size, ground) == rgba(state, size, ground), (state, size)
    size = icon_store.sizes_of(ground)[0]
    frames = {icon_store.kept(State.CONNECTING, size, ground, frame=frame) for frame in range(icons.FRAMES)}
    assert len(frames) == icons.FRAMES


def test_a_size_that_is_not_kept_is_drawn() -> None:
    assert icon_store.kept(State.WORKING, 17, Ground.PANEL_DARK) is None
    assert icon_store.kept(State.WORKING, 16, Ground.PANEL_DARK, frame=2) is not None


def test_the_tray_and_the_window_need_no_drawing_library() -> None:
    """Pillow takes 4 MB and a tenth of the start."""
    program = (
        "import sys; from edge_connector.desktop import app; from edge_connector.desktop.window import main_window"
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}; print('PIL' in sys.modules, 'aiohttp' in sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ended.stdout.split() == ["False", "False"]
