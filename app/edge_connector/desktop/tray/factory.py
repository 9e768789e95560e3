"""Makes the tray that was chosen, with what it watches. The decision itself is `tray.choice`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from PySide6.QtCore import QObject, Qt, Signal, Slot

from edge_connector.desktop.tray.absent import NoTray
from edge_connector.desktop.tray.choice import Backend, choose_tray
from edge_connector.desktop.tray.panel import PanelLook, PanelWatch
from edge_connector.desktop.tray.port import TrayPort
from edge_connector.desktop.tray.pystray_tray import PystrayTray, RunOnLoop, load_pystray, pystray_problem
from edge_connector.desktop.tray.qt import QtTray

log = logging.getLogger(__name__)


class LoopCaller(QObject):
    """Has functions called on the Qt thread, from whatever thread."""

    _wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._wanted.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def __call__(self, function: object) -> None:
        self._wanted.emit(function)

    @Slot(object)
    def _call(self, function: object) -> None:
        assert callable(function)
        function()


def make_tray(environ: Mapping[str, str] = os.environ, *, run_on_loop: RunOnLoop | None = None) -> TrayPort:
    """The tray for this environment; a `QApplication` exists, and this is its thread.

    Raises:
        UserError: see `choose_tray`.
    """
    watch = PanelWatch()
    choice = choose_tray(environ, qt_has_host=lambda: watch.available, pystray_problem=pystray_problem)
    log.info("tray backend=%s why=%s", choice.backend, choice.why)
    match choice.backend:
        case Backend.QT:
            return QtTray(watch, PanelLook())
        case Backend.PYSTRAY:
            return WatchedPystrayTray(watch, PanelLook(), run_on_loop or LoopCaller())
        case Backend.NONE:
            watch.stop()
            return NoTray()


class WatchedPystrayTray(PystrayTray):
    """pystray's tray with Qt's knowledge of the panel."""

    def __init__(self, watch: PanelWatch, look: PanelLook, run_on_loop: RunOnLoop) -> None:
        super().__init__(load_pystray(), run_on_loop, ground=look.ground, available=watch.available)
        self._watch, self._look = watch, look
        watch.changed.connect(self.set_available)
        look.changed.connect(self.set_ground)

    def stop(self) -> None:
        self._watch.stop()
        super().stop()
