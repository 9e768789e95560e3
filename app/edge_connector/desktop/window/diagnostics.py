"""The page Diagnostics: the log as it is written, its folder, and a report to send to somebody who helps."""

from __future__ import annotations

import json
import platform
from typing import Any

from PySide6 import __version__ as pyside_version
from PySide6.QtCore import qVersion
from PySide6.QtGui import QFontDatabase, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout

from edge_connector import __version__
from edge_connector.core.log import redact
from edge_connector.desktop.model import ViewModel
from edge_connector.desktop.window.log_follower import LogFollower
from edge_connector.desktop.window.surroundings import Page, Surroundings

MAX_LINES = 2000


class DiagnosticsPage(Page):
    """What a person needs when something is wrong."""

    key = "diagnostics"

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._document: dict[str, Any] = {}
        self._lines: list[str] = []
        self._file = around.log_file
        self.filter = QLineEdit()
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(lambda _: self._show_lines())
        self.follow = QCheckBox()
        self.follow.setChecked(True)
        self.follow.toggled.connect(lambda on: self._to_end() if on else None)
        self.open_folder, self.copy_report = QPushButton(), QPushButton()
        self.open_folder.clicked.connect(around.open_logs)
        self.copy_report.clicked.connect(self._copy_report)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setTabChangesFocus(True)
        self.log.setMaximumBlockCount(MAX_LINES)
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.empty = QLabel()
        self.empty.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.filter, 1)
        for widget in (self.follow, self.open_folder, self.copy_report):
            row.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.addLayout(row)
        column.addWidget(self.empty)
        column.addWidget(self.log, 1)
        self._follower = LogFollower(self._file, around.tasks, on_text=self._add, on_reset=lambda: None)
        QShortcut(QKeySequence.StandardKey.Find, self, self.filter.setFocus)

    def translate(self) -> None:
        word = self.around.word
        self.filter.setPlaceholderText(word("diagnostics.filter"))
        self.filter.setAccessibleName(word("diagnostics.filter"))
        self.follow.setText(word("diagnostics.follow"))
        self.open_folder.setText(word("diagnostics.open_folder"))
        self.copy_report.setText(word("diagnostics.copy_report"))
        self.log.setAccessibleName(word("diagnostics.log"))
        self.empty.setText(word("diagnostics.no_log", path=str(self._file)))
        self.empty.setVisible(not self._lines)

    def show_view(self, view: ViewModel, document: dict[str, Any]) -> None:
        self._document = document

    def entered(self) -> None:
        self._follower.start()

    def left(self) -> None:
        self._follower.stop()

    def _add(self, text: str) -> None:
        lines = [redact(line) for line in text.split("\n")]
        self._lines = [*self._lines, *lines][-MAX_LINES:]
        self.empty.hide()
        wanted = self.filter.text().casefold()
        if shown := [line for line in lines if wanted in line.casefold()]:
            place = self.log.verticalScrollBar().value()
            self.log.appendPlainText("\n".join(shown))
            self.log.verticalScrollBar().setValue(place)
        self._to_end()

    def _show_lines(self) -> None:
        wanted = self.filter.text().casefold()
        self.log.setPlainText("\n".join(line for line in self._lines if wanted in line.casefold()))
        self._to_end()

    def _to_end(self) -> None:
        if self.follow.isChecked():
            bar = self.log.verticalScrollBar()
            bar.setValue(bar.maximum())

    # ---- report

    def report(self) -> str:
        """The status and the versions as one JSON document, without any secret that is known here."""
        versions = {
            "edgeConnector": __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "qt": qVersion(),
            "pyside": pyside_version,
            "windowSystem": QGuiApplication.platformName(),
        }
        document = {"schemaVersion": 1, "versions": versions, "status": self._document}
        return redact(json.dumps(document, indent=2, ensure_ascii=False))

    def _copy_report(self) -> None:
        self.around.copy(self.report())
        self.around.notice(self.around.word("diagnostics.report_copied"))
