"""A small line chart of the last hour, painted with QPainter: one value a minute, gaps where nothing happened."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from edge_connector.desktop.window.colours import colour, faint

HEIGHT = 56
MARGIN = 4.0
Values = tuple[float | None, ...]


class Sparkline(QWidget):
    """Draws one or two series on one scale that begins at zero."""

    def __init__(self, colours: Sequence[str]) -> None:
        super().__init__()
        self._colours = colours
        self._series: tuple[Values, ...] = ()
        self.setMinimumHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def series(self) -> tuple[Values, ...]:
        """What is drawn."""
        return self._series

    def show_series(self, series: tuple[Values, ...], text: str) -> None:
        """Draw these; `text` says the same to a screen reader."""
        if series != self._series:
            self._series = series
            self.update()
        self.setAccessibleName(text)

    def sizeHint(self) -> QSize:
        return QSize(220, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        base = self.height() - MARGIN
        painter.setPen(QPen(faint(self.palette()), 1.0, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(0, base), QPointF(self.width(), base))
        top = max((value for values in self._series for value in values if value is not None), default=0.0)
        if top <= 0:
            return
        for values, name in zip(self._series, self._colours, strict=False):
            self._draw(painter, values, top, colour(name, self.palette()))

    def _draw(self, painter: QPainter, values: Values, top: float, ink: QColor) -> None:
        step = (self.width() - 2 * MARGIN) / max(len(values) - 1, 1)
        height = self.height() - 2 * MARGIN
        painter.setPen(QPen(ink, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
        run: list[QPointF] = []
        for number, value in enumerate((*values, None)):
            if value is not None:
                run.append(QPointF(MARGIN + number * step, MARGIN + height * (1 - value / top)))
                continue
            if len(run) == 1:  # a minute alone between two quiet ones
                painter.setBrush(ink)
                painter.drawEllipse(run[0], 1.8, 1.8)
            elif run:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawPolyline(QPolygonF(run))
            run = []
