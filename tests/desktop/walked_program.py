"""The real program, which besides tells where on the screen something is: what eyes are to a person who clicks.

    python -m tests.desktop.walked_program --dir DIR

In, as lines: `{"ask": 7, "where": "Open"}`, or `{"ground": "#202326"}` for another theme.
Out: `{"answer": 7, "x": 12, "y": 34, "text": "..."}`, with x null while it is not seen. It is found by
what it says: a row of a menu or list, a tab, a button, an input's accessible name.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from PySide6.QtCore import QPoint, QSocketNotifier
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QTabBar,
    QWidget,
)

from edge_connector.desktop import host, main

make_application = host.make_application


def places(widget: QWidget) -> Iterator[tuple[str, QPoint]]:
    """What a widget says, and where, in its own coordinates."""
    match widget:
        case QMenu():
            for action in widget.actions():
                yield action.text().replace("&&", "&"), widget.actionGeometry(action).center()
        case QAbstractItemView() if not isinstance(widget, QHeaderView):
            model = widget.model()
            for row in range(model.rowCount()):
                index = model.index(row, 0)
                yield str(index.data()), widget.viewport().mapTo(widget, widget.visualRect(index).center())
        case QTabBar():
            for number in range(widget.count()):
                yield widget.tabText(number), widget.tabRect(number).center()
        case QAbstractButton():
            yield widget.text(), QPoint(12, widget.height() // 2)
        case QComboBox() | QLineEdit() | QPlainTextEdit():
            text = widget.toPlainText() if isinstance(widget, QPlainTextEdit) else ""
            yield f"{widget.accessibleName()}={text}" if text else widget.accessibleName(), widget.rect().center()


def find(wanted: str) -> dict[str, Any]:
    """The first thing that begins with these words; what lies on top is looked at first."""
    widgets = [widget for widget in QApplication.allWidgets() if widget.isVisible()]
    for widget in sorted(widgets, key=lambda one: not one.window().windowFlags() & one.windowFlags().Popup):
        for text, place in places(widget):
            if text.startswith(wanted):
                # In pixels of the screen, whatever the scaling.
                spot = widget.mapToGlobal(place) * widget.devicePixelRatioF()
                return {"x": spot.x(), "y": spot.y(), "text": text, "enabled": widget.isEnabled()}
    return {"x": None}


class Answering:
    """Answers the questions on standard input."""

    def __init__(self) -> None:
        self._notifier = QSocketNotifier(0, QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._read)
        self._buffer = bytearray()

    def _read(self) -> None:
        data = os.read(0, 65536)
        if not data:
            self._notifier.setEnabled(False)
        self._buffer.extend(data)
        while b"\n" in self._buffer:
            line, _, rest = bytes(self._buffer).partition(b"\n")
            self._buffer[:] = rest
            asked = json.loads(line)
            if "ground" in asked:
                QApplication.setPalette(QPalette(QColor(asked["ground"])))
                continue
            sys.stdout.write(json.dumps({"answer": asked["ask"], **find(asked["where"])}) + "\n")
            sys.stdout.flush()


def make_answering_application() -> QApplication:
    application = make_application()
    application.setProperty("answering", Answering())
    return application


if __name__ == "__main__":
    host.make_application = make_answering_application
    main.main()
