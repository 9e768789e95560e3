"""One desktop for one installation directory: a second launch asks the first one to show its window.

It does not decide who runs the connector: that is the runtime's own lock. The lock here only keeps two windows of one
directory apart, and the socket only carries "show yourself".
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from edge_connector.control.address import control_address, prepare_folder
from edge_connector.core.errors import NotConnected, UserError
from edge_connector.core.files import explain_os_error

if TYPE_CHECKING:
    from PySide6.QtNetwork import QLocalServer, QLocalSocket

log = logging.getLogger(__name__)

SHOW = b"show yourself\n"
SHOWN = b"shown\n"
ANSWER_WITHIN_S = 10.0
"""The first one may still be starting."""
MAX_MESSAGE_BYTES = 256


class SingleDesktop:
    """The right to be the desktop of one directory.

    single = SingleDesktop(directory)
    if not single.acquire():
        ask_to_show(directory)
    """

    def __init__(self, directory: Path) -> None:
        self._address = show_address(directory)
        self._lock_file = self._address.with_suffix(".lock")
        self._handle: int | None = None
        self._server: QLocalServer | None = None

    def acquire(self) -> bool:
        """Take the right; False when another process has it. It ends with the process at the latest.

        Raises:
            UserError: the folder cannot be used.
        """
        with explain_os_error(self._lock_file):
            prepare_folder(self._lock_file.parent)
            # Never unlinked: two processes that lock different files of one name would both be right.
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def serve(self, parent: QObject, on_show: Callable[[], None]) -> None:
        """Call `on_show` whenever somebody launches the desktop again. Needs the application; call it once.

        Raises:
            UserError: the socket cannot be made.
        """
        from PySide6.QtNetwork import QLocalServer

        assert self._handle is not None, "served by who has the right"
        server = QLocalServer(parent)
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        server.setMaxPendingConnections(8)
        # What lies there was left by a crash: its owner would hold the lock.
        QLocalServer.removeServer(str(self._address))
        if not server.listen(str(self._address)):
            raise UserError(
                "show_socket",
                f"{self._address} cannot be listened on: {server.errorString()}.",
                hint="Set XDG_RUNTIME_DIR to a folder of your own.",
            )
        server.newConnection.connect(lambda: self._accept(on_show))
        self._server = server

    def _accept(self, on_show: Callable[[], None]) -> None:
        assert self._server is not None, "it emitted the signal"
        while (socket := self._server.nextPendingConnection()) is not None:
            socket.disconnected.connect(socket.deleteLater)
            socket.readyRead.connect(lambda socket=socket: _answer(socket, on_show))
            _answer(socket, on_show)

    def release(self) -> None:
        """Stop listening and let go. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _answer(socket: QLocalSocket, on_show: Callable[[], None]) -> None:
    if socket.canReadLine():
        line = bytes(socket.readLine(MAX_MESSAGE_BYTES).data())
        if line == SHOW:
            log.info("asked to show the window by a second launch")
            on_show()
            socket.write(SHOWN)
            socket.flush()
        socket.disconnectFromServer()
    elif socket.bytesAvailable() > MAX_MESSAGE_BYTES:
        socket.abort()


def show_address(directory: Path) -> Path:
    """The socket on which the desktop of `directory` is asked to show itself; its folder is this user's alone."""
    return control_address(directory).with_suffix(".show.sock")


def ask_to_show(directory: Path) -> None:
    """Ask the desktop of `directory` to show its window, and wait until it did.

    Raises:
        NotConnected: it does not answer.
    """
    end = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < end:
        if _asked(str(show_address(directory)), end):
            return
        # It has the right but does not listen yet: it is starting.
        time.sleep(0.05)
    raise NotConnected(
        "desktop_silent",
        f"The desktop of {directory} runs already, but does not answer.",
        hint="Quit it from its tray menu, or end its process, and start it again.",
    )


def _asked(address: str, end: float) -> bool:
    from PySide6.QtNetwork import QLocalSocket

    socket = QLocalSocket()
    try:
        socket.connectToServer(address)
        if not socket.waitForConnected(1000):
            return False
        socket.write(SHOW)
        socket.flush()
        while not socket.canReadLine() and time.monotonic() < end:
            if not socket.waitForReadyRead(200) and socket.state() != QLocalSocket.LocalSocketState.ConnectedState:
                break
        return bytes(socket.readLine(MAX_MESSAGE_BYTES).data()) == SHOWN
    finally:
        socket.abort()
