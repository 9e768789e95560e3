"""One runtime per installation directory: an operating-system lock on `edge-runtime.lock`, held for life.

The lock dies with its process, so a file left by a crash never has to be deleted by hand. The JSON inside is for
people and clients; it decides nothing.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_connector.control.address import is_trusted_owner, possible_addresses
from edge_connector.control.peer import peer_of
from edge_connector.core.errors import LockHeld
from edge_connector.core.files import explain_os_error

log = logging.getLogger(__name__)

LOCK_FILE = "edge-runtime.lock"


class RuntimeLock:
    """The lock of one installation directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._content = b""

    def acquire(self, content: Callable[[], dict[str, Any]]) -> None:
        """Take the lock and write `content()` into the file.

        Raises:
            LockHeld: `Edge runtime already running (pid N)`.
            UserError: the directory cannot be written.
        """
        with explain_os_error(self._path):
            handle = self._lock_current_file()
        # The file may have been deleted under a live holder, and ours is a new one: ask at the address that needs no
        # file.
        if (pid := answering_pid(self._path.parent)) is not None:
            os.close(handle)
            raise _held(pid, self._path.parent)
        self._handle = handle
        self.write(content())

    def write(self, content: dict[str, Any]) -> None:
        """Replace what the file says, while the lock is held."""
        assert self._handle is not None, "the lock is written by its holder"
        self._content = json.dumps(content, indent=2).encode() + b"\n"
        self._write_content()

    def _write_content(self) -> None:
        assert self._handle is not None, "the lock is written by its holder"
        with explain_os_error(self._path):
            os.pwrite(self._handle, self._content, 0)
            os.ftruncate(self._handle, len(self._content))

    def restore(self) -> bool:
        """Lock a new file when ours was deleted or replaced; True when that had happened."""
        assert self._handle is not None, "the lock is restored by its holder"
        if _is_same_file(self._handle, self._path):
            return False
        old = self._handle
        try:
            self._handle = self._lock_current_file()
        except LockHeld:
            # A starting process holds the new file for the moment it needs to find our socket; the next check succeeds.
            return True
        os.close(old)
        self._write_content()
        log.warning("lock file was deleted and is written again path=%s", self._path)
        return True

    def release(self) -> None:
        """Remove the file and let go. Idempotent."""
        if self._handle is None:
            return
        # Removed while held: whoever opened the old file meanwhile sees that it is gone and opens a new one.
        if _is_same_file(self._handle, self._path):
            self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None

    def _lock_current_file(self) -> int:
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _pid_in_file(handle)
                os.close(handle)
                raise _held(pid, self._path.parent) from None
            except BaseException:
                os.close(handle)
                raise
            if _is_same_file(handle, self._path):
                return handle
            os.close(handle)


def read_lock(path: Path) -> dict[str, Any] | None:
    """What the lock file says, or None when it is missing or unreadable. It may be left over from a crash."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def lock_holder(path: Path) -> int | None:
    """Pid of the process that holds the lock now (0 when it cannot be said), or None when nobody does.

    Nothing is changed: a file left by a crash stays, and a missing one is not made. For the moment of the look a
    starting connector finds the lock taken, so this is for people who ask, not for programs that start.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return answering_pid(path.parent)
    try:
        # Shared, so that two who only look do not take each other for a holder.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in_file(handle) or 0
    finally:
        os.close(handle)
    return answering_pid(path.parent)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    ours = os.fstat(handle)
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)


def _pid_in_file(handle: int) -> int | None:
    try:
        pid = json.loads(os.pread(handle, 65536, 0))["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if isinstance(pid, int) else None


def answering_pid(directory: Path) -> int | None:
    """The pid of the live connector of `directory`, or None when nobody who may speak for it listens."""
    for address in possible_addresses(directory):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(1.0)
                client.connect(os.fspath(address))
                # A stopped or very busy holder accepts without answering: the kernel knows who listens all the same.
                listener = peer_of(client)
                if listener is None:
                    return _pid_in_hello(client)
                if is_trusted_owner(listener.uid, directory):
                    return listener.pid or _pid_in_hello(client)
                log.warning("a process of another user listens at our address address=%s pid=%d", address, listener.pid)
        except OSError:
            continue
    return None


def _pid_in_hello(client: socket.socket) -> int | None:
    try:
        hello = json.loads(client.makefile("rb").readline(65536))
    except ValueError:
        return None
    pid = hello.get("hello", {}).get("pid") if isinstance(hello, dict) else None
    return pid if isinstance(pid, int) else None


def _held(pid: int | None, directory: Path) -> LockHeld:
    return LockHeld(
        "runtime_already_running",
        f"Edge runtime already running (pid {pid if pid is not None else 'unknown'})",
        hint=f"Stop it first with `edge-connector stop --dir {directory}`, or use another installation directory.",
    )
