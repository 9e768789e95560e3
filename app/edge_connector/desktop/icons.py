"""The mark and its seven states, designed in one parametric source: shapes, their colours, and both as SVG.

It decides nothing about when a state is shown, and knows neither Qt nor Pillow: `icon_drawing` makes pictures of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge_connector.core.status import State

FRAMES = 3
"""Places where the travelling dot of `connecting` stands."""
NAME = "edge-connector"
GRID = 16
"""The mark is designed on a field of 16 x 16 units."""
SNAPPED_UP_TO = 64
"""Up to this size edges lie on whole pixels; above, nobody sees the difference."""
ARC_STEPS = 24

Point = tuple[float, float]
Colour = tuple[int, int, int]


INK_LIGHT: Colour = (0x1F, 0x23, 0x28)
INK_DARK: Colour = (0xF2, 0xF4, 0xF6)


class Ground(StrEnum):
    """What the picture will stand on, and so its colours."""

    PANEL_LIGHT = "panel-light"
    """One ink, for a light panel."""
    PANEL_DARK = "panel-dark"
    """One ink, for a dark panel."""
    WINDOW_LIGHT = "window-light"
    WINDOW_DARK = "window-dark"
    TILE = "tile"
    """On a ground of its own: launchers and installers."""


HALOS = {Ground.PANEL_LIGHT: INK_DARK, Ground.PANEL_DARK: INK_LIGHT}
"""Around a panel's mark, in the colour the panel should have: not seen there, but where the guess was wrong (Xfce's
default is a dark panel over light windows), it is what keeps the mark readable."""
HALO_UNITS = 0.7
HALO_OPACITY = 0.8


class Ink(StrEnum):
    """What a part of the mark is painted with."""

    MARK = "mark"
    ACCENT = "accent"
    """What tells the states apart."""
    CUT = "cut"
    """Taken away from what was painted before."""


TILE_COLOUR: Colour = (0x15, 0x65, 0xC0)
ON_LIGHT: dict[str, Colour] = {
    "ink": INK_LIGHT,
    "green": (0x2E, 0x7D, 0x32),
    "amber": (0xB2, 0x6A, 0x00),
    "red": (0xB3, 0x26, 0x1E),
    "blue": (0x15, 0x65, 0xC0),
}
ON_DARK: dict[str, Colour] = {
    "ink": INK_DARK,
    "green": (0x66, 0xBB, 0x6A),
    "amber": (0xF0, 0xA0, 0x30),
    "red": (0xF2, 0x8B, 0x82),
    "blue": (0x82, 0xB8, 0xF5),
}
STATE_COLOUR: dict[State, str] = {
    State.WORKING: "green",
    State.WORKING_WITH_PROBLEMS: "amber",
    State.CONNECTING: "blue",
    State.NEEDS_YOU: "red",
    State.ASLEEP: "ink",
    State.PAUSED: "ink",
    State.STOPPED: "ink",
}


def colour_of(ink: Ink, state: State, ground: Ground) -> Colour:
    """The colour of a part; on panels and tiles everything has the one that stands out."""
    match ground:
        case Ground.PANEL_LIGHT:
            return INK_LIGHT
        case Ground.PANEL_DARK | Ground.TILE:
            return INK_DARK
    palette = ON_LIGHT if ground is Ground.WINDOW_LIGHT else ON_DARK
    return palette[STATE_COLOUR[state] if ink is Ink.ACCENT else "ink"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A filled polygon and what it is painted with, in units of the picture's pixels."""

    ink: Ink
    points: tuple[Point, ...]


# ---- geometry


def shapes_of(state: State, size: float, *, frame: int = 0) -> tuple[Shape, ...]:
    """The mark in one state on a field of `size` x `size`, in the order of painting."""
    field = _Field(size)
    brackets = [Shape(Ink.MARK, points) for points in (field.bracket(mirrored=False), field.bracket(mirrored=True))]
    return (*brackets, *_sign(state, field, frame))


def _sign(state: State, field: _Field, frame: int) -> tuple[Shape, ...]:
    """What stands between the brackets."""
    match state:
        case State.WORKING:
            return (Shape(Ink.ACCENT, field.bar()),)
        case State.WORKING_WITH_PROBLEMS:
            return (
                Shape(Ink.CUT, field.triangle(grown=1.1)),
                Shape(Ink.ACCENT, field.bar()),
                Shape(Ink.CUT, field.triangle(grown=0.55)),
                Shape(Ink.ACCENT, field.triangle()),
            )
        case State.CONNECTING:
            centre = 8 + (frame % FRAMES - FRAMES // 2) * 2.5
            return (Shape(Ink.ACCENT, field.disc(centre, 8, 1.9)),)
        case State.NEEDS_YOU:
            return tuple(Shape(Ink.ACCENT, points) for points in field.exclamation())
        case State.ASLEEP:
            return (Shape(Ink.ACCENT, field.crescent(8.2, 8, 4)),)
        case State.PAUSED:
            return tuple(Shape(Ink.ACCENT, points) for points in field.pause())
        case State.STOPPED:
            return ()


class _Field:
    """The design on a field of `size`; strokes lie on whole pixels where that shows."""

    def __init__(self, size: float) -> None:
        self.size = size
        self.unit = size / GRID
        self.snapped = size <= SNAPPED_UP_TO
        self.stroke = max(self._at(2), 2) if self.snapped else self._at(2)
        # An even bar in an even field is centred without a blurred edge.
        self.bar_stroke = self.stroke + (self.stroke % 2 if self.snapped else 0)

    def _at(self, units: float) -> float:
        length = units * self.unit
        return float(math.floor(length + 0.5)) if self.snapped else length

    def bracket(self, *, mirrored: bool) -> tuple[Point, ...]:
        left, top, arm, stroke = self._at(0.6), self._at(2), self._at(3.4), self.stroke
        right, bottom = left + arm, self.size - top
        points = (
            (left, top), (right, top), (right, top + stroke), (left + stroke, top + stroke),
            (left + stroke, bottom - stroke), (right, bottom - stroke), (right, bottom), (left, bottom),
        )  # fmt: skip
        return tuple((self.size - x, y) for x, y in points) if mirrored else points

    def bar(self) -> tuple[Point, ...]:
        inner = self._at(0.6) + self.stroke
        top = (self.size - self.bar_stroke) / 2
        return _rectangle(inner, top, self.size - inner, top + self.bar_stroke)

    def pause(self) -> tuple[tuple[Point, ...], ...]:
        gap = max(math.floor(self.unit + 0.3), 1) if self.snapped else self.unit
        middle, top = self.size / 2, self._at(4)
        outer = gap + self.stroke
        return (
            _rectangle(middle - outer, top, middle - gap, self.size - top),
            _rectangle(middle + gap, top, middle + outer, self.size - top),
        )

    def exclamation(self) -> tuple[tuple[Point, ...], ...]:
        half = self.bar_stroke / 2
        middle, top = self.size / 2, self._at(2)
        foot = self.size - top
        gap = max(self._at(1.4), 1)
        return (
            _rectangle(middle - half, top, middle + half, foot - 2 * half - gap),
            _rectangle(middle - half, foot - 2 * half, middle + half, foot),
        )

    def triangle(self, *, grown: float = 0.0) -> tuple[Point, ...]:
        """In the lower right corner; `grown` by so many units on every side."""
        points = grown_by(((12.3, 9.4), (16.0, 16.0), (8.6, 16.0)), grown)
        return self._scaled(points)

    def disc(self, x: float, y: float, radius: float) -> tuple[Point, ...]:
        return self._scaled(_arc(x, y, radius, 0.0, 2 * math.pi, 2 * ARC_STEPS)[:-1])

    def crescent(self, x: float, y: float, radius: float) -> tuple[Point, ...]:
        """A disc without another one that covers its upper right."""
        bite, shift = radius * 0.86, radius * 0.52
        bx, by = x + shift * 0.80, y - shift * 0.60
        apart = math.hypot(bx - x, by - y)
        towards = math.atan2(by - y, bx - x)
        outer = math.acos((apart**2 + radius**2 - bite**2) / (2 * apart * radius))
        inner = math.acos((apart**2 + bite**2 - radius**2) / (2 * apart * bite))
        outside = _arc(x, y, radius, towards + outer, towards + 2 * math.pi - outer, 2 * ARC_STEPS)
        inside = _arc(bx, by, bite, towards + math.pi + inner, towards + math.pi - inner, ARC_STEPS)
        return self._scaled(outside + inside[1:-1])

    def _scaled(self, points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple((x * self.unit, y * self.unit) for x, y in points)


def _rectangle(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _arc(x: float, y: float, radius: float, start: float, end: float, steps: int) -> list[Point]:
    angles = [start + (end - start) * step / steps for step in range(steps + 1)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def grown_by(points: Sequence[Point], by: float) -> tuple[Point, ...]:
    """The polygon with every edge moved outwards; inwards when `by` is negative."""
    edges = list(zip(points, (*points[1:], points[0]), strict=True))
    turns = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges)
    normals = []
    for (x0, y0), (x1, y1) in edges:
        length = math.copysign(math.hypot(x1 - x0, y1 - y0), turns)
        normals.append(((y1 - y0) / length, (x0 - x1) / length))
    moved = []
    for (x, y), (ax, ay), (bx, by_) in zip(points, (normals[-1], *normals[:-1]), normals, strict=True):
        # A cusp's corner would fly away.
        reach = by / max(1 + ax * bx + ay * by_, 0.25)
        moved.append((x + (ax + bx) * reach, y + (ay + by_) * reach))
    return tuple(moved)


TILE_INSET = 0.15
"""Share of a tile that is margin on each side of the mark."""


def tile_of(size: float) -> tuple[Point, ...]:
    """A square with round corners."""
    margin, radius = size * 0.02, size * 0.2
    low, high = margin + radius, size - margin - radius
    corners = ((high, high, 0.0), (low, high, 0.5), (low, low, 1.0), (high, low, 1.5))
    arcs = (_arc(x, y, radius, turn * math.pi, (turn + 0.5) * math.pi, ARC_STEPS) for x, y, turn in corners)
    return tuple(point for arc in arcs for point in arc)


def halo_of(shapes: Sequence[Shape], size: float) -> list[tuple[Point, ...]]:
    """What stands a little out around every part, and fills what was cut."""
    grown = HALO_UNITS * size / GRID
    return [shape.points if shape.ink is Ink.CUT else grown_by(shape.points, grown) for shape in shapes]


# ---- as SVG


def svg(state: State, ground: Ground, *, frame: int = 0) -> str:
    """The same picture as SVG, on a field of 512 units."""
    size = 512.0
    body: list[str] = []
    offset = 0.0
    if ground is Ground.TILE:
        body.append(_path(tile_of(size), TILE_COLOUR, 0.0))
        offset = size * TILE_INSET
    masks: list[str] = []
    marks: list[str] = []
    shapes = shapes_of(state, size - 2 * offset, frame=frame)
    if ground in HALOS:
        halo = "".join(_path(points, HALOS[ground], 0.0) for points in halo_of(shapes, size))
        body.append(f'<g opacity="{HALO_OPACITY}">{halo}</g>')
    for shape in shapes:
        if shape.ink is not Ink.CUT:
            marks.append(_path(shape.points, colour_of(shape.ink, state, ground), offset))
            continue
        # A cut takes away from all that was painted before it.
        name = f"cut{len(masks)}"
        hole = _path(shape.points, (0, 0, 0), offset)
        masks.append(f'<mask id="{name}"><rect width="512" height="512" fill="#fff"/>{hole}</mask>')
        marks = [f'<g mask="url(#{name})">{"".join(marks)}</g>']
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512" viewBox="0 0 512 512">'
    return "\n".join([head, *masks, *body, *marks, "</svg>", ""])


def _path(points: Sequence[Point], colour: Colour, offset: float) -> str:
    steps = " ".join(f"{x + offset:.1f},{y + offset:.1f}" for x, y in points)
    return f'<path fill="#{bytes(colour).hex()}" d="M{steps}z"/>'
