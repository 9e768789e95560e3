"""The mark as Qt's pictures. It draws nothing itself: `icon_store` has them, and `icon_drawing` makes other sizes."""

from __future__ import annotations

from PySide6.QtGui import QIcon, QImage, QPixmap

from edge_connector.core.status import State
from edge_connector.desktop.icon_store import kept, sizes_of
from edge_connector.desktop.icons import Ground


def pixmap(state: State, size: int, ground: Ground, *, frame: int = 0) -> QPixmap:
    """The picture of a state, `size` pixels wide and high. Needs the application, on its thread."""
    pixels = kept(state, size, ground, frame=frame)
    if pixels is None:
        from edge_connector.desktop.icon_drawing import rgba

        pixels = rgba(state, size, ground, frame=frame)
    # fromImage copies: the bytes need not outlive it.
    return QPixmap.fromImage(QImage(pixels, size, size, 4 * size, QImage.Format.Format_RGBA8888))


def icon(state: State, ground: Ground, *, frame: int = 0) -> QIcon:
    """The picture of a state in every size that a panel or a window's frame may ask for."""
    made = QIcon()
    for size in sizes_of(ground):
        made.addPixmap(pixmap(state, size, ground, frame=frame))
    return made
