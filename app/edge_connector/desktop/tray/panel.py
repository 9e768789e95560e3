"""The panel that shows the icon: whether one is there, and whether it is light or dark; both followed live."""

from __future__ import annotations

import logging
import os
import sys
from enum import StrEnum
from typing import Any

from PySide6.QtCore import SLOT, QObject, QSettings, Qt, QTimer, Signal, Slot
from PySide6.QtDBus import QDBusConnection, QDBusServiceWatcher
from PySide6.QtGui import QGuiApplication, QPalette
from PySide6.QtWidgets import QSystemTrayIcon

from edge_connector.desktop.icons import Ground
from edge_connector.desktop.tray.xembed_owner import XEmbedOwner

log = logging.getLogger(__name__)

WATCHER = "org.kde.StatusNotifierWatcher"
WATCHER_PATH = "/StatusNotifierWatcher"
LOOK_MS = 3000
"""How often an X11 session without StatusNotifier panel is looked at where XFixes cannot tell of an XEmbed panel."""
LOOKS_AFTER_MS = 50, 500, 3000
"""After the X server told of an XEmbed panel's coming or going."""
GONE_AFTER_MS = 500
"""A panel that left the bus is gone when it is not replaced for so long; until Qt has heard of it too, it would be
taken for one of another kind."""
ON_HOST: Any = SLOT("_host_registered()")
"""A text, although the type stubs of PySide6 want bytes, which it refuses."""
TASKBAR = r"HKEY_CURRENT_USER\Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"


class PanelKind(StrEnum):
    """How the panel shows icons."""

    NOTIFIER = "notifier"
    """By StatusNotifier, on the session bus."""
    OTHER = "other"
    """By XEmbed, or as Windows and macOS do."""
    NONE = "none"


class PanelWatch(QObject):
    """Knows whether a panel shows icons, and how; `changed(bool)` says that this became true or false.

    `renewed()` says that it may be another kind now: Qt's icon decides for one kind when it is made.
    """

    changed = Signal(bool)
    renewed = Signal()

    @property
    def kind(self) -> PanelKind:
        """The kind of the panel now."""
        if not self.available:
            return PanelKind.NONE
        return PanelKind.NOTIFIER if self._notifier else PanelKind.OTHER

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.available = QSystemTrayIcon.isSystemTrayAvailable()
        self._notifier = self._stopped = False
        self._settle = QTimer(self, singleShot=True, interval=0)
        self._settle.timeout.connect(self._settled)
        self._look_again = QTimer(self, interval=LOOK_MS, timerType=Qt.TimerType.VeryCoarseTimer)
        self._look_again.timeout.connect(self.look)
        self._xembed = XEmbedOwner(self)
        self._xembed.changed.connect(self._owner_of_xembed_changed)
        bus = QDBusConnection.sessionBus()
        self._watcher: QDBusServiceWatcher | None = None
        if bus.isConnected():
            self._watcher = QDBusServiceWatcher(
                WATCHER, bus, QDBusServiceWatcher.WatchModeFlag.WatchForOwnerChange, self
            )
            self._watcher.serviceOwnerChanged.connect(self._owner_changed)
            bus.connect("", WATCHER_PATH, WATCHER, "StatusNotifierHostRegistered", self, ON_HOST)
            self._notifier = bool(bus.interface().isServiceRegistered(WATCHER).value())
        self._pace()

    def look(self) -> None:
        """Find out again whether there is a panel."""
        available = QSystemTrayIcon.isSystemTrayAvailable()
        if available != self.available:
            self.available = available
            log.info("panel kind=%s", self.kind)
            self.renewed.emit()
            self.changed.emit(available)

    def stop(self) -> None:
        """Watch no more; idempotent."""
        self._stopped = True
        self._settle.stop()
        self._look_again.stop()
        self._xembed.stop()
        if self._watcher is not None:
            bus = QDBusConnection.sessionBus()
            bus.disconnect("", WATCHER_PATH, WATCHER, "StatusNotifierHostRegistered", self, ON_HOST)
            self._watcher.deleteLater()
            self._watcher = None

    @Slot(str, str, str)
    def _owner_changed(self, name: str, old: str, new: str) -> None:
        self._notifier = bool(new)
        self._pace()
        # One that is replaced at once is back by then, and its icon must not be made anew.
        self._settle.start(0 if new else GONE_AFTER_MS)
        if not new:
            # A panel that speaks both protocols leaves the bus before Qt hears of it from the X server.
            QTimer.singleShot(LOOKS_AFTER_MS[-1], self, self._look_if_gone)

    @Slot()
    def _host_registered(self) -> None:
        self._settle.start(0)

    @Slot()
    def _owner_of_xembed_changed(self) -> None:
        """Qt believes in a panel until its own connection to the X server told it otherwise: so look a little later."""
        for later_ms in LOOKS_AFTER_MS:
            QTimer.singleShot(later_ms, self, self._look_once)

    def _look_if_gone(self) -> None:
        if not self._notifier:
            self._look_once()

    def _look_once(self) -> None:
        if not self._stopped:
            self.look()

    def _settled(self) -> None:
        """Owner and host usually come in one breath: once for both."""
        self.look()
        self.renewed.emit()

    def _pace(self) -> None:
        """A StatusNotifier panel announces itself; of XEmbed's tells the X server."""
        if self._notifier or QGuiApplication.platformName() != "xcb":
            self._look_again.stop()
            self._xembed.stop()
        elif not self._xembed.start():
            self._look_again.start()


class PanelLook(QObject):
    """Knows what the icon stands on; `changed(Ground)` when it becomes another."""

    changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.ground = panel_ground()
        application = QGuiApplication.instance()
        assert isinstance(application, QGuiApplication)
        application.styleHints().colorSchemeChanged.connect(self._look)
        application.paletteChanged.connect(self._look)

    def _look(self) -> None:
        ground = panel_ground()
        if ground is not self.ground:
            self.ground = ground
            self.changed.emit(ground)


def panel_ground() -> Ground:
    """Light or dark, by what the system says of its panel, else by the palette of windows."""
    if sys.platform == "darwin":
        return Ground.PANEL_LIGHT  # a mask there: the menu bar paints it itself
    if sys.platform == "win32":
        light = QSettings(TASKBAR, QSettings.Format.NativeFormat).value("SystemUsesLightTheme", 0)
        return Ground.PANEL_LIGHT if str(light) == "1" else Ground.PANEL_DARK
    if "GNOME" in os.environ.get("XDG_CURRENT_DESKTOP", "").split(":"):
        return Ground.PANEL_DARK  # its top bar is black in both schemes
    palette = QGuiApplication.palette()
    text, window = palette.color(QPalette.ColorRole.WindowText), palette.color(QPalette.ColorRole.Window)
    return Ground.PANEL_DARK if text.lightnessF() > window.lightnessF() else Ground.PANEL_LIGHT
