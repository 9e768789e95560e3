"""The mark as Qt's pictures. It draws nothing itself: `icons` does."""

from __future__ import annotations

from PySide6.QtGui import QImage, QPixmap

from edge_connector.core.status import State
from edge_connector.desktop.icons import Ground, rgba


def pixmap(state: State, size: int, ground: Ground, *, frame: int = 0) -> QPixmap:
    """The picture of a state, `size` pixels wide and high. Needs the application, on its thread."""
    pixels = rgba(state, size, ground, frame=frame)
    # fromImage copies: the bytes need not outlive it.
    return QPixmap.fromImage(QImage(pixels, size, size, 4 * size, QImage.Format.Format_RGBA8888))
