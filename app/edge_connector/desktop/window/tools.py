"""The page Tools: what is offered now, and for the chosen tool its schema, its last calls and a way to try it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QLabel, QLineEdit, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from edge_connector.core.errors import NotConnected
from edge_connector.desktop.model import ViewModel
from edge_connector.desktop.window.surroundings import Page, Surroundings
from edge_connector.desktop.window.table import RowsTable
from edge_connector.desktop.window.tool_detail import ToolDetail


class ToolsPage(Page):
    """The list of tools and the chosen one."""

    key = "tools"

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._schemas: dict[str, dict[str, Any]] = {}
        self._offered: list[dict[str, Any]] | None = None
        self._process: tuple[Any, ...] = ()
        self._received = -1
        self._asking = False
        self._wanted = ""
        self.filter = QLineEdit()
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(self._filter)
        self.table = RowsTable()
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._chosen())
        self.empty = QLabel()
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.empty.setMargin(8)
        self._list = QStackedWidget()
        self._list.addWidget(self.table)
        self._list.addWidget(self.empty)
        self.detail = ToolDetail(around)

        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.filter)
        column.addWidget(self._list, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(left)
        splitter.addWidget(self.detail)
        splitter.setStretchFactor(0, 2)
        splitter.setStretchFactor(1, 3)
        splitter.setSizes([300, 440])
        splitter.setChildrenCollapsible(False)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 12, 16, 12)
        outer.addWidget(splitter)
        QShortcut(QKeySequence.StandardKey.Find, self, self.filter.setFocus)

    def translate(self) -> None:
        word = self.around.word
        self.filter.setPlaceholderText(word("tools.filter"))
        self.filter.setAccessibleName(word("tools.filter"))
        self.table.setAccessibleName(word("tools.list"))
        self.table.rows_model.set_heads([word(f"tools.{key}") for key in ("name", "risk", "source", "title")])
        self.detail.translate()
        self._show_list()

    def show_view(self, view: ViewModel, document: dict[str, Any]) -> None:
        offered = document.get("tools") or []
        process = document.get("process") or {}
        identity = (process.get("pid"), process.get("startedAt"))
        if offered != self._offered or identity != self._process:
            first = self._offered is None
            self._offered, self._process = offered, identity
            self._schemas = {}
            rows = [(tool["name"], tool["risk"], tool["source"], tool["title"]) for tool in offered]
            chosen = self.table.chosen()
            self.table.rows_model.set_rows(rows)
            if first:
                self.table.resizeColumnsToContents()
            if self._wanted or chosen is not None:
                self.table.choose(self._wanted or (chosen or ("",))[0])
                self._wanted = ""
            self._show_list()
        received = sum(((document.get("activity") or {}).get("perMinute") or [0])[-2:])
        received += (document.get("calls") or {}).get("received", 0)
        if self.isVisible():
            if offered and not self._schemas and not self._asking:
                self._asking = True
                self.around.start(self._ask_schemas, name="tools")
            if received != self._received:
                self._received = received
                self.detail.refresh_calls()

    def entered(self) -> None:
        self._received = -1
        if not self.table.selectionModel().hasSelection() and self.table.proxy.rowCount():
            self.table.choose_row(0)

    def show_tool(self, name: str) -> None:
        """Put the cursor on a tool, also when the filter hides it now, or when the list is still to come."""
        self.filter.clear()
        self._wanted = "" if self.table.choose(name) else name

    async def _ask_schemas(self) -> None:
        try:
            found = await self.around.source.request("tools")
        except NotConnected:
            return  # it is just going away, which the state line says
        finally:
            self._asking = False
        self._schemas = {tool["name"]: tool for tool in found}
        if not self.table.selectionModel().hasSelection() and self.table.proxy.rowCount():
            self.table.choose_row(0)
        self._chosen()

    def _filter(self, text: str) -> None:
        self.table.set_filter(text)
        self._show_list()

    def _show_list(self) -> None:
        if self.table.proxy.rowCount():
            self._list.setCurrentWidget(self.table)
            return
        self.empty.setText(self.around.word("tools.none" if self._offered else "tools.empty"))
        self._list.setCurrentWidget(self.empty)

    def _chosen(self) -> None:
        row = self.table.chosen()
        self.detail.show_tool(self._schemas.get(row[0]) if row is not None else None)
