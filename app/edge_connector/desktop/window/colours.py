"""The few colours of the look on the ground that the palette has now, light or dark.

They only support words and shapes; everything else is the system's palette.
"""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QLabel

from edge_connector.core.status import State
from edge_connector.desktop.icons import ON_DARK, ON_LIGHT, STATE_COLOUR
from edge_connector.desktop.model import Level

LEVEL_COLOUR = {Level.GOOD: "green", Level.WAITING: "blue", Level.BAD: "red", Level.NONE: "ink"}
LEVEL_MARK = {Level.GOOD: "●", Level.WAITING: "◐", Level.BAD: "▲", Level.NONE: "○"}
"""The same in shapes, for eyes that see no colours."""
TEXT_CONTRAST = 4.5
STEP_PERCENT = 106
MAX_STEPS = 30
SEVERITY_COLOUR = {"warning": "amber", "error": "red", "person": "red"}


def is_dark(palette: QPalette) -> bool:
    """Whether the window's ground is dark."""
    return palette.color(QPalette.ColorRole.Window).lightness() < 128


def colour(name: str, palette: QPalette) -> QColor:
    """A colour of the look that can be read as text on this palette."""
    dark = is_dark(palette)
    ink, ground = QColor(*(ON_DARK if dark else ON_LIGHT)[name]), palette.color(QPalette.ColorRole.Window)
    # The look's colours are meant for white and black; grounds of real themes are grey.
    for _ in range(MAX_STEPS):
        if contrast(ink, ground) >= TEXT_CONTRAST:
            break
        ink = ink.lighter(STEP_PERCENT) if dark else ink.darker(STEP_PERCENT)
    return ink


def contrast(one: QColor, other: QColor) -> float:
    """The contrast ratio of WCAG 2: from 1 to 21."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(ink: QColor) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (ink.redF(), ink.greenF(), ink.blueF())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def state_colour(state: State, palette: QPalette) -> QColor:
    """The colour of a state."""
    return colour(STATE_COLOUR[state], palette)


def faint(palette: QPalette) -> QColor:
    """For what is read second: text at 70 % on the window's ground, above 4.5 : 1 on both usual grounds."""
    text, ground = palette.color(QPalette.ColorRole.WindowText), palette.color(QPalette.ColorRole.Window)
    red, green, blue = (
        round(0.72 * of_text + 0.28 * of_ground)
        for of_text, of_ground in (
            (text.red(), ground.red()),
            (text.green(), ground.green()),
            (text.blue(), ground.blue()),
        )
    )
    return QColor(red, green, blue)


def paint_text(label: QLabel, ink: QColor) -> None:
    """Give a label's text a colour; nothing happens when it has it already."""
    palette = QApplication.palette(label)
    if label.palette().color(QPalette.ColorRole.WindowText) != ink:
        palette.setColor(QPalette.ColorRole.WindowText, ink)
        label.setPalette(palette)
