"""The form for a tool's arguments: one row a field, with its help, a mark where it is required, and its message."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QPalette
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QLineEdit, QPlainTextEdit, QSizePolicy, QWidget

from edge_connector.desktop.window.colours import colour, faint, paint_text
from edge_connector.desktop.window.fields import UNSET, Field, FieldError, FieldKind, fields_of, parse
from edge_connector.desktop.window.surroundings import Surroundings

JSON_LINES = 4


class ToolForm(QWidget):
    """Widgets for the arguments of one tool."""

    def __init__(self, schema: dict[str, Any], around: Surroundings) -> None:
        super().__init__()
        self._around = around
        self.rows = [FieldRow(field, around) for field in fields_of(schema)]
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        for number, row in enumerate(self.rows):
            many_lines = isinstance(row.input, QPlainTextEdit)
            where = Qt.AlignmentFlag.AlignTop if many_lines else Qt.AlignmentFlag.AlignVCenter
            grid.addWidget(row.label, 2 * number, 0, where)
            grid.addWidget(row.input, 2 * number, 1)
            grid.addWidget(row.message, 2 * number + 1, 1)

    def arguments(self) -> dict[str, Any] | None:
        """What was entered; None when something is wrong, which the form then says and puts the cursor at."""
        found: dict[str, Any] = {}
        first_wrong: FieldRow | None = None
        for row in self.rows:
            try:
                value = row.value()
            except FieldError as error:
                row.say(self._around.word(error.key, **error.words))
                first_wrong = first_wrong or row
            else:
                row.say("")
                if value is not UNSET:
                    found[row.field.name] = value
        if first_wrong is not None:
            first_wrong.input.setFocus(Qt.FocusReason.OtherFocusReason)
            return None
        return found

    def translate(self) -> None:
        """Say marks and choices in the language of the moment."""
        for row in self.rows:
            row.translate()


class FieldRow:
    """One field: label, input and message."""

    def __init__(self, field: Field, around: Surroundings) -> None:
        self.field = field
        self._around = around
        self.label, self.message = QLabel(), QLabel()
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setWordWrap(True)
        self.input = self._make_input()
        self.label.setBuddy(self.input)
        self.input.setToolTip(field.help)
        self._problem = ""
        self.translate()

    def _make_input(self) -> QWidget:
        field = self.field
        match field.kind:
            case FieldKind.BOOLEAN if field.required or isinstance(field.default, bool):
                box = QCheckBox()
                box.setChecked(field.default is True)
                return box
            case FieldKind.BOOLEAN | FieldKind.CHOICE:
                return self._make_choice()
            case FieldKind.TEXT | FieldKind.INTEGER | FieldKind.NUMBER:
                line = QLineEdit()
                line.setText(field.example)
                return line
        edit = QPlainTextEdit()
        edit.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        edit.setTabChangesFocus(True)
        edit.setFixedHeight(edit.fontMetrics().lineSpacing() * JSON_LINES + 12)
        edit.setPlainText(field.example)
        edit.setPlaceholderText({FieldKind.LIST: "[]", FieldKind.OBJECT: "{}"}.get(field.kind, "null"))
        return edit

    def _make_choice(self) -> QComboBox:
        field = self.field
        box = QComboBox()
        values = (True, False) if field.kind is FieldKind.BOOLEAN else field.choices
        if not field.required:
            box.addItem("", None)
        for value in values:
            # As JSON: Qt would give back another type than it was given.
            box.addItem(value if isinstance(value, str) else json.dumps(value), json.dumps(value))
        if field.has_default:
            box.setCurrentIndex(max(box.findData(json.dumps(field.default)), 0))
        box.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        return box

    def value(self) -> Any:
        """What was entered, or `UNSET`.

        Raises:
            FieldError: it stands for no value.
        """
        match self.input:
            case QCheckBox():
                return self.input.isChecked()
            case QComboBox():
                chosen = self.input.currentData()
                return UNSET if chosen is None else json.loads(chosen)
            case QLineEdit():
                return parse(self.field, self.input.text())
            case QPlainTextEdit():
                return parse(self.field, self.input.toPlainText())
        raise AssertionError("every kind of field has its input")

    def say(self, problem: str) -> None:
        """Show what is wrong, or the help when nothing is."""
        self._problem = problem
        self.message.setText(problem or self.field.help)
        self.message.setVisible(bool(self.message.text()))
        palette: QPalette = self.input.palette()
        paint_text(self.message, colour("red", palette) if problem else faint(palette))
        self.input.setAccessibleDescription(self.message.text())

    def translate(self) -> None:
        """Say the marks in the language of the moment."""
        word = self._around.word
        mark = f" · {word('form.required')}" if self.field.required else ""
        self.label.setText(f"{self.field.name}{mark}")
        self.input.setAccessibleName(self.label.text())
        if isinstance(self.input, QComboBox):
            if not self.field.required:
                self.input.setItemText(0, word("form.unset"))
            if self.field.kind is FieldKind.BOOLEAN:
                for value, key in ((True, "form.yes"), (False, "form.no")):
                    self.input.setItemText(self.input.findData(json.dumps(value)), word(key))
        self.say("")
