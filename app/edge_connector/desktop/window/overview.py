"""The page Overview: the four truths with their ages, problems with their cures, the last hour, identity.

The state itself stands above it, in the window's state line, which is larger while this page is open.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from edge_connector.core.status import State
from edge_connector.desktop.model import ProblemView, Truth, ViewModel
from edge_connector.desktop.window.colours import (
    LEVEL_COLOUR,
    LEVEL_MARK,
    SEVERITY_COLOUR,
    colour,
    faint,
    paint_text,
)
from edge_connector.desktop.window.sparkline import Sparkline
from edge_connector.desktop.window.surroundings import Page, Surroundings, heading

HOUR_S = 3600


class OverviewPage(Page):
    """What a person looks at first."""

    key = "overview"

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.pause_hour = QPushButton()
        self.pause = QPushButton()
        self.resume = QPushButton()
        self.pause_hour.clicked.connect(lambda: self._ask("pause", forS=HOUR_S))
        self.pause.clicked.connect(lambda: self._ask("pause"))
        self.resume.clicked.connect(lambda: self._ask("resume"))
        buttons = QHBoxLayout()
        for button in (self.pause_hour, self.pause, self.resume):
            buttons.addWidget(button)
        buttons.addStretch(1)

        self.truths = [TruthCard() for _ in range(4)]
        row = QHBoxLayout()
        row.setSpacing(12)
        for card in self.truths:
            row.addWidget(card, 1)

        self.problems = ProblemList(around)
        self._activity_head, self._identity_head = heading(), heading()
        self.calls_label, self.latency_label = _text_label(), _text_label()
        self.calls_line, self.latency_line = Sparkline(["blue"]), Sparkline(["blue", "amber"])
        charts = QGridLayout()
        charts.setHorizontalSpacing(24)
        charts.addWidget(self.calls_label, 0, 0)
        charts.addWidget(self.latency_label, 0, 1)
        charts.addWidget(self.calls_line, 1, 0)
        charts.addWidget(self.latency_line, 1, 1)
        charts.setColumnStretch(0, 1)
        charts.setColumnStretch(1, 1)
        self.identity = IdentityTable()

        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addLayout(buttons)
        column.addWidget(self.problems)
        column.addLayout(row)
        column.addWidget(self._activity_head)
        column.addLayout(charts)
        column.addWidget(self._identity_head)
        column.addWidget(self.identity)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        # Scrolled by keyboard: what it holds may be higher than the window at 200 %.
        scroll.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def translate(self) -> None:
        word = self.around.word
        self.pause_hour.setText(word("window.pause_1h"))
        self.pause.setText(word("window.pause"))
        self.resume.setText(word("window.resume"))
        self._activity_head.setText(word("overview.activity"))
        self._identity_head.setText(word("overview.identity"))
        self.problems.setAccessibleName(word("overview.problems"))

    def show_view(self, view: ViewModel, document: dict[str, Any]) -> None:
        paused, stopped = view.state is State.PAUSED, view.state is State.STOPPED
        self.pause_hour.setVisible(not paused)
        self.pause.setVisible(not paused)
        self.resume.setVisible(paused)
        for button in (self.pause_hour, self.pause):
            button.setEnabled(not stopped)
        for card, truth in zip(self.truths, view.truths, strict=True):
            card.show_truth(truth)
        self.problems.show_problems(view.problems)
        series = {one.key: one for one in view.series}
        if {"calls", "latency_p50", "latency_p99"} <= series.keys():
            calls, p50, p99 = series["calls"], series["latency_p50"], series["latency_p99"]
            self.calls_label.setText(f"{calls.label}: {calls.latest}")
            latest = p50.latest if p50.latest == p99.latest else f"{p50.latest} · {p99.latest}"
            self.latency_label.setText(f"{self.around.word('overview.latency')}: {latest}")
            self.calls_line.show_series((calls.values,), self.calls_label.text())
            self.latency_line.show_series((p50.values, p99.values), self.latency_label.text())
        self._identity_head.setVisible(bool(view.identity))
        self.identity.show_rows([(row.label, row.value) for row in view.identity])

    def _ask(self, method: str, **params: Any) -> None:
        self.around.start(partial(self.around.source.request, method, **params), name=method)


class TruthCard(QFrame):
    """One truth: its name, its value and its age; the level as a shape and a colour."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.name, self.value, self.age = QLabel(), _text_label(), QLabel()
        font = self.value.font()
        font.setBold(True)
        self.value.setFont(font)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(2)
        for label in (self.name, self.value, self.age):
            column.addWidget(label)
        column.addStretch(1)

    def show_truth(self, truth: Truth) -> None:
        """Show it; unchanged words cost nothing."""
        self.name.setText(f"{LEVEL_MARK[truth.level]}  {truth.name}")
        paint_text(self.name, colour(LEVEL_COLOUR[truth.level], self.palette()))
        self.value.setText(truth.value)
        self.age.setText(truth.age)
        paint_text(self.age, faint(self.palette()))
        self.setAccessibleName(" · ".join(part for part in (truth.name, truth.value, truth.age) if part))


class ProblemList(QWidget):
    """What is wrong: a sentence, since when, and the next step, each with a button to copy it."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__()
        self._around = around
        self._rows: list[tuple[QLabel, QLabel, QPushButton]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._shown: tuple[ProblemView, ...] | None = None

    def show_problems(self, problems: tuple[ProblemView, ...]) -> None:
        """Show these, worst first as they come."""
        self.setVisible(bool(problems))
        while len(self._rows) < len(problems):
            self._add_row()
        for number, (sentence, fix, copy) in enumerate(self._rows):
            visible = number < len(problems)
            for widget in (sentence, fix, copy):
                widget.setVisible(visible)
            if visible:
                problem = problems[number]
                sentence.setText("▲  " + " · ".join(part for part in (problem.sentence, problem.since) if part))
                paint_text(sentence, colour(SEVERITY_COLOUR.get(problem.severity, "amber"), self.palette()))
                fix.setText(problem.fix)
                copy.setText(self._around.word("window.copy"))
                copy.setAccessibleName(f"{self._around.word('window.copy')}: {problem.sentence}")
        self._shown = problems

    def _add_row(self) -> None:
        number = len(self._rows)
        sentence, fix, copy = _text_label(), _text_label(), QPushButton()
        fix.setIndent(18)
        copy.clicked.connect(lambda: self._copy(number))
        self._grid.addWidget(sentence, 2 * number, 0)
        self._grid.addWidget(fix, 2 * number + 1, 0)
        self._grid.addWidget(copy, 2 * number, 1, 2, 1, Qt.AlignmentFlag.AlignTop)
        self._rows.append((sentence, fix, copy))

    def _copy(self, number: int) -> None:
        if self._shown is not None and number < len(self._shown):
            problem = self._shown[number]
            self._around.copy(f"{problem.sentence}\n{problem.fix}\n")
            self._around.notice(self._around.word("window.copied"))


class IdentityTable(QWidget):
    """Facts as label and value; values can be selected and copied."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self._rows: list[tuple[QLabel, QLabel]] = []

    def show_rows(self, rows: list[tuple[str, str]]) -> None:
        """Show these."""
        while len(self._rows) < len(rows):
            pair = QLabel(), _text_label()
            for column, label in enumerate(pair):
                self._grid.addWidget(label, len(self._rows), column, Qt.AlignmentFlag.AlignTop)
            self._rows.append(pair)
        for number, (label, value) in enumerate(self._rows):
            visible = number < len(rows)
            label.setVisible(visible)
            value.setVisible(visible)
            if visible:
                label.setText(rows[number][0])
                paint_text(label, faint(self.palette()))
                value.setText(rows[number][1])
                value.setAccessibleName(f"{rows[number][0]}: {rows[number][1]}")


def _text_label() -> QLabel:
    """A label whose words wrap, can be selected, and are never read as markup."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    # Not by keyboard as well: every label would be a stop of the Tab key.
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
    return label
