"""The tray on Qt's `QSystemTrayIcon`: StatusNotifier and XEmbed panels, Windows and macOS.

It lives on the Qt thread and decides nothing: it shows the view that it is given.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from functools import lru_cache

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QAction, QIcon
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from edge_connector.core.status import State
from edge_connector.desktop.icons import FRAMES, Ground
from edge_connector.desktop.model import MenuEntry, TrayView
from edge_connector.desktop.pixels import icon
from edge_connector.desktop.tray.panel import PanelKind, PanelLook, PanelWatch
from edge_connector.desktop.tray.port import OnAction, OnAvailable, ignore_action, ignore_available

log = logging.getLogger(__name__)

PULSE_MS = 1000
PULSE = (*range(FRAMES), *range(FRAMES - 2, 0, -1))
"""The dot travels there and back."""
NOTICE_MS = 10_000
CLICKS = (QSystemTrayIcon.ActivationReason.Trigger, QSystemTrayIcon.ActivationReason.DoubleClick)


@lru_cache(maxsize=64)
def state_icon(state: State, ground: Ground, frame: int = 0) -> QIcon:
    """The icon of a state with every size a panel may ask for."""
    made = icon(state, ground, frame=frame)
    made.setIsMask(sys.platform == "darwin")
    return made


class QtTray(QObject):
    """A `TrayPort`. Its icon is made again for a panel of another kind than the one that it was made for."""

    def __init__(self, watch: PanelWatch, look: PanelLook) -> None:
        super().__init__()
        self.on_action: OnAction = ignore_action
        self.on_available: OnAvailable = ignore_available
        self._watch, self._look = watch, look
        self._icon: QSystemTrayIcon | None = None
        self._made_for = PanelKind.NONE
        self._menu = QMenu()
        self._rows = TrayMenu(self._menu, self._chosen)
        self._view: TrayView | None = None
        self._beat = 0
        self._pulse = QTimer(self, interval=PULSE_MS, timerType=Qt.TimerType.CoarseTimer)
        self._pulse.timeout.connect(self._travel)
        self._shown = False
        self._stopped = False

    def show(self) -> None:
        if self._shown or self._stopped:
            return
        self._shown = True
        self._watch.renewed.connect(self._renew)
        self._watch.changed.connect(self._report)
        self._look.changed.connect(self._paint)
        self._make()
        self._report(self._watch.available)

    def set_view(self, view: TrayView) -> None:
        old, self._view = self._view, view
        if view == old or self._stopped:
            return
        if old is None or view.menu != old.menu:
            self._rows.show(view.menu)
        if old is None or view.state is not old.state:
            self._beat = 0
            self._paint()
        if self._icon is not None and (old is None or view.tooltip != old.tooltip):
            self._icon.setToolTip(view.tooltip)
        self._set_pulse()

    def notify(self, title: str, text: str) -> None:
        if self._icon is not None and self._view is not None:
            self._icon.showMessage(title, text, state_icon(self._view.state, Ground.TILE), NOTICE_MS)

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._pulse.stop()
        if self._shown:
            self._shown = False
            self._watch.renewed.disconnect(self._renew)
            self._watch.changed.disconnect(self._report)
            self._look.changed.disconnect(self._paint)
        self._remove()
        self._watch.stop()
        self._menu.deleteLater()

    # ---- the icon

    def _renew(self) -> None:
        """Qt brings an icon back to a panel of its kind, never to another; one made for none waits for XEmbed."""
        kind = self._watch.kind
        waits_for = PanelKind.OTHER if self._made_for is PanelKind.NONE else self._made_for
        if kind is not PanelKind.NONE and kind is not waits_for:
            self._make()

    def _make(self) -> None:
        self._remove()
        self._made_for = self._watch.kind
        self._icon = tray = QSystemTrayIcon()
        tray.activated.connect(self._activated)
        tray.messageClicked.connect(self._message_clicked)
        tray.setContextMenu(self._menu)
        if self._view is not None:
            tray.setToolTip(self._view.tooltip)
        self._paint()
        tray.show()
        self._set_pulse()

    def _remove(self) -> None:
        if self._icon is not None:
            self._icon.hide()
            self._icon.deleteLater()
            self._icon = None

    def _paint(self, *_: object) -> None:
        if self._icon is None:
            return
        # A panel needs a picture before there is a view: what is known then is that nothing runs yet.
        state = State.STOPPED if self._view is None else self._view.state
        self._icon.setIcon(state_icon(state, self._look.ground, PULSE[self._beat % len(PULSE)]))

    def _travel(self) -> None:
        self._beat += 1
        self._paint()

    def _set_pulse(self) -> None:
        """The timer runs only while there is something to move and somebody to see it."""
        moving = self._view is not None and self._view.state is State.CONNECTING
        if not (moving and self._shown and self._watch.available):
            self._pulse.stop()
        elif not self._pulse.isActive():
            self._pulse.start()

    # ---- what comes back

    def _report(self, available: bool) -> None:
        self._set_pulse()
        self.on_available(available)

    def _chosen(self, action: str) -> None:
        self.on_action(action)

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        # On macOS a click opens the menu, and the window on top of it would be in the way.
        if reason in CLICKS and sys.platform != "darwin":
            self.on_action("open")

    def _message_clicked(self) -> None:
        self.on_action("open")


class TrayMenu:
    """Keeps a `QMenu` equal to entries by changing the rows that are there: an open menu stays open."""

    def __init__(self, menu: QMenu, chosen: OnAction) -> None:
        self._menu, self._chosen = menu, chosen
        self._entries: tuple[MenuEntry, ...] = ()
        self._submenus: dict[int, TrayMenu] = {}

    def show(self, entries: Sequence[MenuEntry]) -> None:
        """Become these entries."""
        entries = tuple(entries)
        if [_shape(entry) for entry in entries] != [_shape(entry) for entry in self._entries]:
            self._build(entries)
        for place, (entry, action) in enumerate(zip(entries, self._menu.actions(), strict=True)):
            if not entry.is_separator:
                _fill(action, entry)
            if entry.children:
                self._submenus[place].show(entry.children)
        self._entries = entries

    def _build(self, entries: Sequence[MenuEntry]) -> None:
        for submenu in self._submenus.values():
            submenu._menu.deleteLater()
        self._submenus.clear()
        self._menu.clear()
        for place, entry in enumerate(entries):
            if entry.is_separator:
                self._menu.addSeparator()
            elif entry.children:
                self._submenus[place] = TrayMenu(self._menu.addMenu(entry.label), self._chosen)
            else:
                self._add(entry)

    def _add(self, entry: MenuEntry) -> None:
        action = self._menu.addAction(entry.label)
        name = entry.action
        action.triggered.connect(lambda: self._chosen(name))
        if entry.default:
            self._menu.setDefaultAction(action)


def _shape(entry: MenuEntry) -> tuple[str, bool, bool]:
    """What cannot be changed on a row that is there."""
    return entry.action, bool(entry.children), entry.default


def _fill(action: QAction, entry: MenuEntry) -> None:
    # "&" would become an underlined letter.
    text = entry.label.replace("&", "&&")
    if action.text() != text:
        action.setText(text)
    if action.isEnabled() != entry.enabled:
        action.setEnabled(entry.enabled)
