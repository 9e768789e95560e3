"""One tool: description, a form to try it with, its schema, and its last calls."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from edge_connector.core.clock import from_iso
from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.core.words import WORDS
from edge_connector.desktop.moment import number
from edge_connector.desktop.window.colours import colour, paint_text
from edge_connector.desktop.window.surroundings import Surroundings, heading
from edge_connector.desktop.window.table import RowsTable
from edge_connector.desktop.window.tool_form import ToolForm

RECENT = 50
SHOWN_CHARACTERS = 16 * 1024
SHOWN_LINE = 400
"""More, or longer lines, would hold the window up while they are laid out; copying takes it all."""


class ToolDetail(QWidget):
    """The right side of the page Tools."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__()
        self._around = around
        self._tool: dict[str, Any] | None = None
        self._running = False
        self._result_text = ""
        self._answer: dict[str, Any] | None = None
        self._schema_text = ""
        self.form: ToolForm | None = None
        self.title = heading()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.description = _paragraph()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self._try_tab(), "")
        self.tabs.addTab(self._schema_tab(), "")
        self.calls = RowsTable()
        self.no_calls = _paragraph()
        calls_tab = QWidget()
        column = QVBoxLayout(calls_tab)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.no_calls)
        column.addWidget(self.calls, 1)
        self.tabs.addTab(calls_tab, "")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(12, 0, 0, 0)
        outer.addWidget(self.title)
        outer.addWidget(self.description)
        outer.addWidget(self.tabs, 1)
        self.calls.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        run = QShortcut(QKeySequence("Ctrl+Return"), self, self._run)
        run.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)

    def _try_tab(self) -> QWidget:
        self.warning = _paragraph()
        self.form_holder = QScrollArea()
        self.form_holder.setWidgetResizable(True)
        self.form_holder.setFrameShape(QFrame.Shape.NoFrame)
        self.run_button, self.copy_result = QPushButton(), QPushButton()
        self.run_button.setDefault(True)
        self.run_button.clicked.connect(self._run)
        self.copy_result.clicked.connect(self._copy_result)
        self.outcome = _paragraph()
        self.result = _read_only()
        row = QHBoxLayout()
        row.addWidget(self.run_button)
        row.addWidget(self.outcome, 1)
        row.addWidget(self.copy_result)
        tab = QWidget()
        column = QVBoxLayout(tab)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.warning)
        column.addWidget(self.form_holder, 3)
        column.addLayout(row)
        column.addWidget(self.result, 2)
        return tab

    def _schema_tab(self) -> QWidget:
        self.schema = _read_only()
        self.copy_schema = QPushButton()
        self.copy_schema.clicked.connect(lambda: self._copy(self._schema_text))
        tab = QWidget()
        column = QVBoxLayout(tab)
        column.setContentsMargins(0, 8, 0, 0)
        column.addWidget(self.schema, 1)
        column.addWidget(self.copy_schema, 0, Qt.AlignmentFlag.AlignRight)
        return tab

    def translate(self) -> None:
        """Say everything in the language of the moment."""
        word = self._around.word
        for place, key in enumerate(("tools.try", "tools.schema", "tools.calls")):
            self.tabs.setTabText(place, word(key))
        self.run_button.setText(word("tools.running" if self._running else "tools.run"))
        self.copy_result.setText(word("tools.copy_result"))
        self.copy_schema.setText(word("tools.copy_schema"))
        self.result.setAccessibleName(word("tools.result"))
        self.schema.setAccessibleName(word("tools.schema"))
        self.calls.setAccessibleName(word("tools.calls"))
        self.no_calls.setText(word("tools.no_calls"))
        keys = ("when", "outcome_column", "duration", "asked_by")
        self.calls.rows_model.set_heads([word(f"tools.{key}") for key in keys])
        if self.form is not None:
            self.form.translate()
        self._say_about_tool()
        self._say_outcome()
        self.refresh_calls()

    def show_tool(self, tool: dict[str, Any] | None) -> None:
        """Show a tool as the request `tools` gives it; None while none is chosen."""
        if tool == self._tool and (tool is not None or self.form is None):
            self._say_about_tool()
            return
        self._tool = tool
        self._result_text, self._answer = "", None
        self.result.setPlainText("")
        self.result.hide()
        self.copy_result.hide()
        self.outcome.setText("")
        self.form = None if tool is None else ToolForm(tool["parameters"], self._around)
        self.form_holder.setWidget(self._form_widget())
        self._schema_text = "" if tool is None else _pretty({key: tool[key] for key in ("parameters", "result")})
        self.schema.setPlainText(shown_part(self._schema_text))
        self.calls.rows_model.set_rows([])
        self._say_about_tool()
        self.refresh_calls()

    def _form_widget(self) -> QWidget:
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(0, 0, 8, 0)
        if self.form is not None:
            column.addWidget(self.form)
            if not self.form.rows:
                column.addWidget(QLabel(self._around.word("tools.no_arguments")))
        column.addStretch(1)
        return holder

    def _say_about_tool(self) -> None:
        tool, word = self._tool, self._around.word
        self.tabs.setVisible(tool is not None)
        if tool is None:
            self.title.setText("")
            self.description.setText(word("tools.choose"))
            return
        self.title.setText(tool["title"] or tool["name"])
        self.description.setText(tool["description"])
        self.warning.setVisible(tool["risk"] != "read")
        self.warning.setText("▲  " + word("tools.writes", risk=tool["risk"]))
        paint_text(self.warning, colour("amber", self.palette()))

    # ---- try it

    def _run(self) -> None:
        if self._tool is None or self.form is None or self._running:
            return
        arguments = self.form.arguments()
        if arguments is None:
            return
        self._set_running(True)
        self._around.start(self._call, self._tool["name"], arguments, name="try")

    async def _call(self, tool: str, arguments: dict[str, Any]) -> None:
        try:
            # The tool's own time limit ends it; the connector answers in any case.
            answer = await self._around.source.request("call", timeout_s=None, tool=tool, arguments=arguments)
        except EdgeError as error:
            self._answer = None
            self.outcome.setText(self._around.error_text(error))
            paint_text(self.outcome, colour("red", self.palette()))
            return
        finally:
            self._set_running(False)
        text = await asyncio.to_thread(_pretty, answer.get("result", answer.get("error")))
        if self._tool is None or self._tool["name"] != tool:
            return
        self._result_text = text
        self._answer = answer
        self._say_outcome()
        self.result.setPlainText(shown_part(text))
        self.result.show()
        self.copy_result.show()
        self.refresh_calls()

    def _say_outcome(self) -> None:
        if (answer := self._answer) is None:
            return
        outcome = self._outcome_word(answer["outcome"])
        took = number(answer["durationMs"], self._around.language)
        self.outcome.setText(self._around.word("tools.outcome", outcome=outcome, ms=took))
        succeeded = answer["outcome"] == "succeeded"
        paint_text(self.outcome, colour("green" if succeeded else "red", self.palette()))

    def _set_running(self, running: bool) -> None:
        self._running = running
        self.run_button.setEnabled(not running)
        self.run_button.setText(self._around.word("tools.running" if running else "tools.run"))

    def _copy_result(self) -> None:
        self._copy(self._result_text)

    def _copy(self, text: str) -> None:
        self._around.copy(text)
        self._around.notice(self._around.word("window.copied"))

    # ---- last calls

    def refresh_calls(self) -> None:
        """Ask for the last calls of this tool again."""
        if self._tool is None or not self.isVisible():
            return
        self._around.start(self._ask_calls, self._tool["name"], name="calls")

    async def _ask_calls(self, tool: str) -> None:
        try:
            calls = await self._around.source.request("calls.recent", limit=RECENT, tool=tool)
        except NotConnected:
            return  # it is just going away, which the state line says
        if self._tool is None or self._tool["name"] != tool:
            return
        here = self._around.word("tools.asked_here")
        rows = [
            (
                _local_time(call["startedAt"]),
                " · ".join(part for part in (self._outcome_word(call["outcome"]), call.get("message", "")) if part),
                f"{number(call['durationMs'], self._around.language)} ms",
                " · ".join(part for part in (call.get("agent"), call.get("user")) if part) or here,
            )
            for call in calls
        ]
        keys = [(call["startedAt"], row[1], call["durationMs"], row[3]) for call, row in zip(calls, rows, strict=True)]
        was_empty = not self.calls.rows_model.rows
        self.calls.rows_model.set_rows(rows, keys)
        if was_empty and rows:
            self.calls.resizeColumnsToContents()
        self.no_calls.setVisible(not rows)
        self.calls.setVisible(bool(rows))

    def _outcome_word(self, outcome: str) -> str:
        key = f"outcome.{outcome}"
        return self._around.word(key) if key in WORDS["en"] else outcome


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def shown_part(text: str) -> str:
    """As much of a long text as can be laid out within a frame, its long lines folded."""
    lines = [
        line[start : start + SHOWN_LINE]
        for line in text[:SHOWN_CHARACTERS].split("\n")
        for start in range(0, max(len(line), 1), SHOWN_LINE)
    ]
    return "\n".join([*lines, "…"] if len(text) > SHOWN_CHARACTERS else lines)


def _local_time(stamp: str) -> str:
    return datetime.fromtimestamp(from_iso(stamp)).strftime("%H:%M:%S")


def _paragraph() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _read_only() -> QPlainTextEdit:
    edit = QPlainTextEdit()
    edit.setReadOnly(True)
    edit.setTabChangesFocus(True)
    edit.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    edit.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
    return edit
