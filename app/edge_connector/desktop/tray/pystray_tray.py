"""The tray on pystray: its AppIndicator backend on Linux and its Windows backend, in a thread of their own.

The only module that imports pystray. Its X11 backend has neither menu nor clicks and its macOS backend needs the main
thread: both are refused.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edge_connector.core.errors import UserError
from edge_connector.core.status import State
from edge_connector.desktop.icons import NAME, Ground
from edge_connector.desktop.model import PRODUCT, MenuEntry, TrayView
from edge_connector.desktop.tray.port import OnAction, OnAvailable, ignore_action, ignore_available

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

BACKENDS = {"linux": "appindicator", "win32": "win32"}
"""What is asked of pystray; other systems have no backend that can be used beside Qt."""
CHOOSER = "PYSTRAY_BACKEND"
ICON_SIZE = 48
"""Panels scale it: half of it is 24 pixels, sharp as drawn."""
STOP_S = 5.0
START_S = 10.0

FIRST_VIEW = TrayView(State.STOPPED, PRODUCT, (MenuEntry("open", PRODUCT, default=True),))
"""Until the first real one: the AppIndicator backend never shows an icon without a menu."""

RunOnLoop = Callable[[Callable[[], None]], None]
"""Has a function called soon on the Qt loop's thread; safe from any thread."""


def load_pystray(platform: str = sys.platform) -> Any:
    """The module `pystray` with a backend that has a menu.

    Raises:
        UserError: there is none here; the message says why.
    """
    wanted = BACKENDS.get(platform)
    if wanted is None:
        raise _unusable(f"there is no backend for {platform} that can live beside Qt")
    before = os.environ.get(CHOOSER)
    # pystray reads this once, while it is imported; without it, it falls back to X11.
    os.environ[CHOOSER] = wanted
    try:
        module = importlib.import_module("pystray")
    except Exception as error:
        # ImportError, but also ValueError for a missing typelib and Xlib's errors without a display.
        raise _unusable(str(error) or type(error).__name__) from error
    finally:
        if before is None:
            del os.environ[CHOOSER]
        else:
            os.environ[CHOOSER] = before
    backend = module.Icon.__module__.rpartition(".")[2].lstrip("_")
    if backend != wanted:
        raise _unusable(f"its backend {backend} was loaded before, which has no menu")
    return module


def _unusable(why: str) -> UserError:
    return UserError(
        "tray_backend_unusable",
        f"pystray has no usable backend here: {why.rstrip('.')}.",
        hint="Set EC_TRAY_BACKEND=qt, or install PyGObject and the typelibs of AyatanaAppIndicator3.",
    )


def pystray_problem() -> str:
    """Why pystray cannot be used here; empty when it can. It loads GTK on Linux."""
    try:
        load_pystray()
    except UserError as error:
        return error.message.rstrip(".")
    return ""


class PystrayTray:
    """A `TrayPort`. Every callback goes through `run_on_loop`, every call comes from the loop's thread.

    Args:
        pystray: the module, from `load_pystray`.
        ground: what the panel looks like at first; `set_ground` follows it.
    """

    def __init__(self, pystray: Any, run_on_loop: RunOnLoop, *, ground: Ground, available: bool = True) -> None:
        self.on_action: OnAction = ignore_action
        self.on_available: OnAvailable = ignore_available
        self._pystray = pystray
        self._run_on_loop = run_on_loop
        self._ground = ground
        self._available = available
        self._view = FIRST_VIEW
        self._icon: Any = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._stopped = False

    def show(self) -> None:
        if self._thread is not None or self._stopped:
            return
        self._icon = self._pystray.Icon(NAME, self._picture(), self._view.tooltip, self._menu(self._view.menu))
        # Daemonic, so that a toolkit that hangs cannot keep the process; `stop` joins it all the same.
        self._thread = threading.Thread(target=self._run, name="tray", daemon=True)
        self._thread.start()
        self.on_available(self._available)

    def set_view(self, view: TrayView) -> None:
        old, self._view = self._view, view
        if self._icon is None or view == old:
            return
        if view.state is not old.state:
            self._icon.icon = self._picture()
        if view.tooltip != old.tooltip:
            self._icon.title = view.tooltip
        if view.menu != old.menu:
            self._icon.menu = self._menu(view.menu)

    def set_ground(self, ground: Ground) -> None:
        """The panel became light or dark."""
        self._ground = ground
        if self._icon is not None:
            self._icon.icon = self._picture()

    def set_available(self, available: bool) -> None:
        """A panel came or went; pystray cannot tell."""
        if available != self._available:
            self._available = available
            if self._thread is not None:
                self.on_available(available)

    def notify(self, title: str, text: str) -> None:
        if self._icon is not None and self._icon.HAS_NOTIFICATION:
            self._icon.notify(text, title)

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._thread is None:
            return
        if not self._ready.wait(START_S):
            log.warning("tray never started after_s=%.0f", START_S)
        self._icon.visible = False
        self._icon.stop()
        # Where the Qt loop turns GTK's loop too, GTK's end would wait for the Qt loop, which waits here.
        turning = getattr(self._icon, "_loop", None)
        if turning is not None and turning.get_context().is_owner():
            turning.quit()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            log.warning("tray thread did not end after_s=%.0f", STOP_S)
        self._icon = None

    # ---- in the tray's thread

    def _run(self) -> None:
        try:
            self._icon.run(setup=self._appear)
        except Exception as error:
            # GTK's last act is to take notifications down; it fails where the desktop has no service for them.
            log.debug("tray ended with an error error=%r", error)
        finally:
            self._ready.set()

    def _appear(self, icon: Any) -> None:
        icon.visible = True
        self._ready.set()

    def _menu(self, entries: Sequence[MenuEntry]) -> Any:
        return self._pystray.Menu(*(self._item(entry) for entry in entries))

    def _item(self, entry: MenuEntry) -> Any:
        if entry.is_separator:
            return self._pystray.Menu.SEPARATOR
        act = self._menu(entry.children) if entry.children else self._sender(entry.action)
        return self._pystray.MenuItem(entry.label, act, default=entry.default, enabled=entry.enabled)

    def _sender(self, action: str) -> Callable[[Any, Any], None]:
        def chosen(icon: Any, item: Any) -> None:
            self._run_on_loop(lambda: self._deliver(action))

        return chosen

    # ---- on the loop's thread

    def _deliver(self, action: str) -> None:
        """A click that was on its way while the tray was stopped is nobody's any more."""
        if not self._stopped:
            self.on_action(action)

    def _picture(self) -> Image.Image:
        # A picture of its own each time: pystray's thread saves it while the next one may be made.
        from edge_connector.desktop.icon_drawing import draw

        return draw(self._view.state, ICON_SIZE, self._ground)
