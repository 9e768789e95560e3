"""Tables as the window has them: rows of text that sort, filter, copy, and are used by keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QItemSelectionModel, QSortFilterProxyModel, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QTableView, QWidget

SORT_ROLE = int(Qt.ItemDataRole.UserRole)
Row = tuple[str, ...]


class RowsModel(QStandardItemModel):
    """Rows of text. A row may have keys to sort by where its text would not sort rightly.

    The items live in Qt: a view asks a model a thousand times for one turn of a page, which is slow in Python.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []

    @property
    def rows(self) -> list[Row]:
        """What it holds, unsorted."""
        return self._rows

    def set_heads(self, heads: Sequence[str]) -> None:
        """Name the columns."""
        self.setHorizontalHeaderLabels(list(heads))

    def set_rows(self, rows: Sequence[Row], keys: Sequence[tuple[Any, ...]] | None = None) -> None:
        """Replace the rows; equal ones change nothing, so that selection and scrolling stay."""
        fresh = list(rows)
        if fresh == self._rows:
            return
        self._rows = fresh
        self.setRowCount(0)
        for row, row_keys in zip(fresh, keys or fresh, strict=True):
            self.appendRow([_item(text, key) for text, key in zip(row, row_keys, strict=True)])


def _item(text: str, key: Any) -> QStandardItem:
    item = QStandardItem(text)
    item.setData(key, SORT_ROLE)
    item.setToolTip(text)
    item.setEditable(False)
    return item


class RowsTable(QTableView):
    """A read-only table over a `RowsModel`; Ctrl+C copies the chosen rows with tabs between the columns."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows_model = RowsModel()
        self.proxy = QSortFilterProxyModel()
        self.proxy.setSourceModel(self.rows_model)
        self.proxy.setSortRole(SORT_ROLE)
        self.proxy.setFilterKeyColumn(-1)
        self.proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.proxy.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setModel(self.proxy)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        # Tab leaves the table: within it the arrow keys move.
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)

    def set_filter(self, text: str) -> None:
        """Show the rows that hold `text` in any column."""
        self.proxy.setFilterFixedString(text)

    def chosen(self) -> Row | None:
        """The row of the cursor, else None."""
        index = self.selectionModel().currentIndex()
        if not index.isValid() or not self.selectionModel().isRowSelected(index.row()):
            return None
        return self.rows_model.rows[self.proxy.mapToSource(index).row()]

    def choose(self, first_column: str) -> bool:
        """Put the cursor on the row with this text in its first column; False when there is none."""
        for row in range(self.proxy.rowCount()):
            if self.proxy.index(row, 0).data() == first_column:
                self.choose_row(row)
                return True
        return False

    def choose_row(self, row: int) -> None:
        """Put the cursor on a row. `selectRow` would do what the pressed modifier keys mean for a click."""
        flags = QItemSelectionModel.SelectionFlag
        self.selectionModel().setCurrentIndex(self.proxy.index(row, 0), flags.ClearAndSelect | flags.Rows)
        self.scrollTo(self.proxy.index(row, 0))

    def copied_text(self) -> str:
        """The chosen rows, columns separated by tabs."""
        rows = sorted(index.row() for index in self.selectionModel().selectedRows())
        columns = range(self.proxy.columnCount())
        return "\n".join("\t".join(str(self.proxy.index(row, column).data()) for column in columns) for row in rows)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QApplication.clipboard().setText(self.copied_text())
            return
        super().keyPressEvent(event)
