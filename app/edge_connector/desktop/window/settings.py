"""The page Settings: language, autostart, a few values of the connector, and where each value comes from.

It writes through the connector, which alone may write `config.json`; values count from its next start.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.desktop.model import ViewModel
from edge_connector.desktop.window.colours import colour, faint, paint_text
from edge_connector.desktop.window.surroundings import Page, Surroundings, heading
from edge_connector.desktop.window.table import RowsTable

LANGUAGES = {"en": "English", "de": "Deutsch"}
EDITABLE = {"healthHost": "health_host", "healthPort": "health_port", "toolConcurrency": "concurrency"}


class SettingsPage(Page):
    """What a person may change here."""

    key = "settings"

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self.language = QComboBox()
        for code, name in LANGUAGES.items():
            self.language.addItem(name, code)
        self.language.setCurrentIndex(self.language.findData(around.language))
        self.language.activated.connect(lambda _: around.set_language(self.language.currentData()))
        self.autostart = QCheckBox()
        self.autostart.setEnabled(False)
        self.autostart.clicked.connect(self._switch_autostart)
        self._autostart_text: tuple[str, dict[str, str]] | str = ("settings.autostart_asking", {})
        self.autostart_note = _note()
        self.rows = {key: SettingRow(key, name, around, self._save) for key, name in EDITABLE.items()}
        self.table = RowsTable()
        self.table.setMinimumHeight(180)
        self._heads = [heading() for _ in range(3)]
        self._labels = [QLabel(), QLabel()]
        self._absent = _note()
        self._listing: dict[str, Any] | None = None
        self._started = ""

        grid = QGridLayout()
        grid.setColumnStretch(2, 1)
        grid.setHorizontalSpacing(12)
        line = 0
        grid.addWidget(self._heads[0], line, 0, 1, 3)
        grid.addWidget(self._labels[0], line + 1, 0)
        grid.addWidget(self.language, line + 1, 1)
        grid.addWidget(self._labels[1], line + 1, 2)
        grid.addWidget(self.autostart, line + 2, 0, 1, 2)
        grid.addWidget(self.autostart_note, line + 2, 2)
        grid.addWidget(self._heads[1], line + 3, 0, 1, 3)
        grid.addWidget(self._absent, line + 4, 0, 1, 3)
        self._labels[0].setBuddy(self.language)
        line += 5
        for row in self.rows.values():
            grid.addWidget(row.label, line, 0)
            grid.addWidget(row.edit, line, 1)
            grid.addLayout(row.side, line, 2)
            grid.addWidget(row.note, line + 1, 0, 1, 3)
            line += 2
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(20, 12, 20, 12)
        column.addLayout(grid)
        column.addWidget(self._heads[2])
        column.addWidget(self.table, 1)
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def translate(self) -> None:
        word = self.around.word
        for head, key in zip(self._heads, ("settings.window", "settings.connector", "settings.all"), strict=True):
            head.setText(word(key))
        self._labels[0].setText(word("settings.language"))
        self._labels[1].setText(word("settings.language_note"))
        self.language.setCurrentIndex(self.language.findData(self.around.language))
        self.language.setAccessibleName(word("settings.language"))
        self.autostart.setText(word("settings.autostart"))
        self._absent.setText(word("settings.not_running"))
        for row in self.rows.values():
            row.translate()
        self.table.setAccessibleName(word("settings.all"))
        self.table.rows_model.set_heads([word(f"settings.{key}") for key in ("key", "value", "origin", "help")])
        self._say_autostart()
        self._show_listing()

    def show_view(self, view: ViewModel, document: dict[str, Any]) -> None:
        # Another start may mean other values; nothing else changes them but this page and commands.
        started = (document.get("process") or {}).get("startedAt", "")
        if started != self._started:
            self._started = started
            if self.isVisible():
                self.around.start(self._ask_listing, name="settings")

    def entered(self) -> None:
        self.around.start(self._ask_listing, name="settings")
        self.around.start(self._ask_autostart, name="autostart")

    # ---- values of the connector

    async def _ask_listing(self) -> None:
        try:
            self._listing = await self.around.source.request("config.show")
        except NotConnected:
            self._listing = None
        self._show_listing()

    def _show_listing(self) -> None:
        listing = self._listing
        settings = {row["key"]: row for row in listing["settings"]} if listing is not None else {}
        self._absent.setVisible(listing is None)
        for key, row in self.rows.items():
            row.show_setting(settings.get(key))
        was_empty = not self.table.rows_model.rows
        self.table.rows_model.set_rows(
            [
                (
                    row["key"],
                    f"{row['value']} {row['unit']}".strip(),
                    origin_words(self.around, row["origin"]),
                    row["problem"] or row["help"],
                )
                for row in settings.values()
            ]
        )
        if was_empty and settings:
            self.table.resizeColumnsToContents()
            for column in (1, 2):  # the meaning needs the room
                self.table.setColumnWidth(column, min(self.table.columnWidth(column), 200))

    def _save(self, key: str, value: str) -> None:
        self.around.start(self._save_setting, key, value, name="save")

    async def _save_setting(self, key: str, value: str) -> None:
        row = self.rows[key]
        try:
            answer = await self.around.source.request("config.set", key=key, value=value)
        except EdgeError as error:
            row.say(self.around.error_text(error), "red")
            return
        warnings = [f"{warning['message']} {warning['hint']}" for warning in answer.get("warnings", ())]
        await self._ask_listing()
        row.say(" ".join([self.around.word("settings.next_start"), *warnings]), "amber" if warnings else "green")

    # ---- autostart

    async def _ask_autostart(self) -> None:
        try:
            from edge_connector.autostart import facade

            status = await asyncio.to_thread(facade.status, self.around.directory)
        except EdgeError as error:
            self.autostart.setEnabled(False)
            self._autostart_text = self.around.error_text(error)
        else:
            self.autostart.setEnabled(True)
            self.autostart.setChecked(status.enabled)
            self._autostart_text = f"{status.problem} {status.fix}".strip() if status.problem else status.entry
        self._say_autostart()

    def _switch_autostart(self, checked: bool) -> None:
        self.autostart.setEnabled(False)
        self.around.start(self._set_autostart, checked, name="autostart")

    async def _set_autostart(self, checked: bool) -> None:
        from edge_connector.autostart import facade

        refusal = ""
        try:
            await asyncio.to_thread(facade.enable if checked else facade.disable, self.around.directory)
        except EdgeError as error:
            refusal = self.around.error_text(error)
        await self._ask_autostart()
        if refusal:
            self._autostart_text = refusal
            self._say_autostart()

    def _say_autostart(self) -> None:
        text = self._autostart_text
        self.autostart_note.setText(text if isinstance(text, str) else self.around.word(text[0], **text[1]))


class SettingRow:
    """One setting that can be changed: label, value, where it comes from, and what a change means."""

    def __init__(self, key: str, name: str, around: Surroundings, save: Any) -> None:
        self.key = key
        self._name = name
        self._around = around
        self._save = save
        self._saved = ""
        self._setting: dict[str, Any] | None = None
        self.label, self.edit, self.note = QLabel(), QLineEdit(), _note()
        self.origin = QLabel()
        self.apply, self.undo = QPushButton(), QPushButton()
        self.side = QHBoxLayout()
        for widget in (self.apply, self.undo, self.origin):
            self.side.addWidget(widget)
        self.side.addStretch(1)
        self.edit.setMaximumWidth(200)
        self.label.setBuddy(self.edit)
        self.edit.textChanged.connect(lambda _: self._changed())
        self.edit.returnPressed.connect(self._apply)
        self.apply.clicked.connect(self._apply)
        self.undo.clicked.connect(lambda: self.edit.setText(self._saved))

    def translate(self) -> None:
        """Say everything in the language of the moment."""
        word = self._around.word
        self.label.setText(word(f"settings.{self._name}"))
        self.edit.setAccessibleName(self.label.text())
        self.undo.setText(word("settings.undo"))
        self._say_origin()
        self._changed()

    def show_setting(self, setting: dict[str, Any] | None) -> None:
        """Show a row of `config.show`; None while no connector runs. What is being typed stays."""
        edited = self.edit.text() != self._saved
        self._setting = setting
        self.edit.setEnabled(setting is not None)
        if setting is not None:
            self._saved = setting["value"]
            if not edited:
                self.edit.setText(self._saved)
        self._say_origin()
        self._changed()

    def say(self, text: str, ink: str) -> None:
        """Say what came of a change."""
        self.note.setText(text)
        paint_text(self.note, colour(ink, self.edit.palette()))
        self.note.setVisible(bool(text))

    def _say_origin(self) -> None:
        word, origin = self._around.word, (self._setting or {}).get("origin", "")
        self.origin.setText(word("settings.from", origin=origin_words(self._around, origin)) if origin else "")
        paint_text(self.origin, faint(self.edit.palette()))

    def _changed(self) -> None:
        edited = self._setting is not None and self.edit.text().strip() != self._saved
        self.apply.setVisible(edited)
        self.undo.setVisible(edited)
        opens = self._opens()
        word = self._around.word
        self.apply.setText(word("settings.understood" if opens and edited else "settings.apply"))
        if self.key == "healthHost" and self._setting is not None:
            # Spelled out before it applies, and for as long as it is so.
            self.say(word("settings.opens", address=opens) if opens else word("settings.closed"), _ink(opens))
        elif edited or not self.note.text():
            self.say("", "ink")

    def _opens(self) -> str:
        """Who could reach the address, in words; empty while only this machine can."""
        if self.key != "healthHost":
            return ""
        host = self.edit.text().strip() or "127.0.0.1"
        if is_loopback(host):
            return ""
        if host in ("0.0.0.0", "::"):
            return self._around.word("settings.opens_all", addresses=", ".join(own_addresses()) or host)
        return host

    def _apply(self) -> None:
        if self.apply.isVisible():
            self._save(self.key, self.edit.text().strip())


def origin_words(around: Surroundings, origin: str) -> str:
    """Where a value comes from, e.g. `environment HEALTH_PORT`, in the language of the window."""
    kind, _, name = origin.partition(" ")
    if kind == "default":
        return around.word("settings.origin_default")
    return around.word("settings.origin_environment", name=name) if kind == "environment" else origin


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address; names other than localhost count as open."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_addresses() -> list[str]:
    """The addresses at which others could reach this machine, at most four."""
    import psutil

    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    return found[:4]


def _ink(opens: str) -> str:
    return "amber" if opens else "green"


def _note() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
