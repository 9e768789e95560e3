"""The platform's data directory: where its files are, and the lock that lets one server use them at a time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge_connector.core.errors import LockHeld
from edge_connector.core.files import explain_os_error
from edge_connector.core.sqlite import backup_database


class DataDirectory:
    """A directory with mode 0700. The lock file stays; only the operating system's lock on it means anything."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def store(self) -> Path:
        """The SQLite store."""
        return self.path / "platform.db"

    @property
    def signing_key(self) -> Path:
        """The private key of session tokens, mode 0600."""
        return self.path / "signing-key.pem"

    @property
    def results(self) -> Path:
        """Large results on their way to a caller; nothing in it outlives the server."""
        return self.path / "results"

    def lock(self) -> None:
        """Create the directory and take it.

        Raises:
            LockHeld: another server uses it.
            UserError: it cannot be written.
        """
        file = self.path / "platform.lock"
        with explain_os_error(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(handle)
        except OSError as error:
            os.close(handle)
            raise LockHeld(
                "platform_running",
                f"Another platform uses the data directory {self.path}.",
                hint="Stop it first, or choose another directory with --data.",
            ) from error
        self._lock = handle

    def unlock(self) -> None:
        """Give the directory back; idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def backup(data: Path, target: Path) -> None:
    """Copy the store of a data directory, running or not, to the new file `target`.

    Raises:
        UserError: there is no store, or `target` exists.
    """
    backup_database(DataDirectory(data).store, target)
