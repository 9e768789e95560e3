"""The health port on the Qt loop: it listens before anybody asks, and closes."""

from __future__ import annotations

from tests.support.qt_loop import OnQt, on_qt
from tests.unit.health.test_server import listens_and_stops

__all__ = ["on_qt"]


def test_it_listens_and_stops(on_qt: OnQt) -> None:
    on_qt(listens_and_stops)
