"""Hosts the desktop: the Qt application, its asyncio loop, and the one closing event that every way to end sets.

It knows neither runtime nor window. The rules behind it: nothing ends the process but the end of `main`; quitting Qt
from outside, a signal, the end of the session and a lost display only ask `main` to end, so that every `finally` runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from PySide6.QtCore import QMessageLogContext, Qt, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from edge_connector import __version__
from edge_connector.desktop.loop import DesktopLoop

log = logging.getLogger(__name__)

THREADS = 4
LOST_DISPLAY_BUDGET_S = 60.0
"""For the drain after the display is gone; the runtime's own grace period and receipts fit in."""
_LOST = ("The X11 connection broke", "The Wayland connection broke", "The Wayland connection experienced a fatal error")
"""What Qt says right before it ends the process (QXcbConnection::processXcbEvents, QWaylandDisplay)."""
_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.DEBUG,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


class Closing:
    """The wish to end, from wherever it comes; set once, kept for good.

    Attributes:
        reason: who asked first, for the log.
        display_gone: nothing may touch Qt any more.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._times = 0
        self.reason = ""
        self.display_gone = False
        self.on_hard: Callable[[], None] = lambda: None

    @property
    def requested(self) -> bool:
        """Whether anybody asked."""
        return self._event.is_set()

    @property
    def is_hard(self) -> bool:
        """Whether a second signal came: running calls get no more time."""
        return self._times > 1

    def request(self, reason: str) -> None:
        """Ask for the end. Idempotent."""
        if not self._event.is_set():
            log.info("closing reason=%s", reason)
            self.reason = reason
            self._event.set()

    def signalled(self, name: str) -> None:
        """A stop signal came; the second one means at once."""
        self._times += 1
        log.info("signal received name=%s count=%d", name, self._times)
        self.request(name)
        if self.is_hard:
            self.on_hard()

    async def wait(self) -> None:
        """Until somebody asked."""
        await self._event.wait()


def make_application() -> QApplication:
    """The Qt application of this process. A display must be there (`has_display`)."""
    QApplication.setApplicationName("edge-connector")
    QApplication.setApplicationDisplayName("Edge Connector")
    QApplication.setApplicationVersion(__version__)
    QApplication.setDesktopFileName("edge-connector")
    application = QApplication(["edge-connector-desktop"])
    # Hiding the window must not end the connector: the tray is left, and calls may run.
    application.setQuitOnLastWindowClosed(False)
    return application


def run_on_qt(application: QApplication, main: Callable[[Closing], Coroutine[Any, Any, int]]) -> int:
    """Run `main` on the Qt loop to its end, whatever happens to Qt meanwhile; returns its exit code."""
    with asyncio.Runner(loop_factory=lambda: DesktopLoop(application)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, DesktopLoop), "made by the factory above"
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="desktop"))
        closing = Closing()
        task: asyncio.Task[int] = loop.create_task(main(closing), name="desktop")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, closing.signalled, number.name)
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup
            # Sessions end with it (xinit, logind's scopes right behind SIGTERM): never a person's second "at once".
            loop.add_signal_handler(signal.SIGHUP, closing.request, "SIGHUP")
        # Direct: the session manager waits until the slot returns. The drain itself follows on the loop.
        application.commitDataRequest.connect(
            lambda *_: closing.request("session ends"), Qt.ConnectionType.DirectConnection
        )
        previous = qInstallMessageHandler(_message_handler(loop, closing, task))
        try:
            while not task.done():
                try:
                    loop.run_until_complete(task)
                except RuntimeError:
                    if task.done():
                        raise
                    # Qt's loop was quit from outside (session end, a library); ours ends when `main` does.
                    closing.request("Qt was asked to quit")
            return task.result()
        finally:
            qInstallMessageHandler(previous)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            if sys.platform != "win32":
                loop.remove_signal_handler(signal.SIGHUP)


def _message_handler(
    loop: DesktopLoop, closing: Closing, task: asyncio.Task[int]
) -> Callable[[QtMsgType, QMessageLogContext, str], None]:
    qt_log = logging.getLogger("qt")

    def handle(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
        qt_log.log(_LEVELS.get(kind, logging.WARNING), "%s", message)
        if message.startswith(_LOST) and not closing.display_gone:
            _finish_without_display(loop, closing, task)

    return handle


def _finish_without_display(loop: DesktopLoop, closing: Closing, task: asyncio.Task[int]) -> NoReturn:
    """Qt calls exit(1) when this returns, which skips every `finally`: so drain here, without Qt, and end."""
    closing.display_gone = True
    closing.request("the display is gone")
    code = 1
    try:
        if loop.finish_without_qt(task.done, deadline_s=LOST_DISPLAY_BUDGET_S):
            code = 0 if task.exception() is None else 1
            log.info("ended after the display had gone code=%d", code)
        else:
            log.error("the drain did not end in time budget_s=%.0f", LOST_DISPLAY_BUDGET_S)
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def has_display(environ: Mapping[str, str]) -> bool:
    """Whether a window can be shown. It really connects: Qt aborts the process when it cannot."""
    if sys.platform != "linux":
        return True
    platform = environ.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if platform and platform not in ("xcb", "wayland"):
        return True
    return (platform != "xcb" and _has_wayland(environ)) or (platform != "wayland" and _has_x11(environ))


def _has_wayland(environ: Mapping[str, str]) -> bool:
    name, folder = environ.get("WAYLAND_DISPLAY", ""), environ.get("XDG_RUNTIME_DIR", "")
    return bool(name) and (Path(folder) / name).is_socket()


def _has_x11(environ: Mapping[str, str]) -> bool:
    display = environ.get("DISPLAY", "")
    if not display:
        return False
    try:
        # Qt's plug-in needs both; without them it aborts the process.
        ctypes.CDLL("libxcb-cursor.so.0")
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError as error:
        log.error("Qt cannot use X11 here: %s (package libxcb-cursor0)", error)
        return False
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(display.encode(), None))
    try:
        return bool(xcb.xcb_connection_has_error(connection) == 0)
    finally:
        xcb.xcb_disconnect(connection)
