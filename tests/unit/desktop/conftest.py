"""The Qt loop for tests of the desktop's parts."""

from tests.support.qt_loop import on_qt

__all__ = ["on_qt"]
