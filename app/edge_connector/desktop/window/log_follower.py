"""Follows a log file as it grows and is rotated, without reading on the window's thread and without polling."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QObject

from edge_connector.core.tasks import TaskOwner

TAIL_BYTES = 128 * 1024
"""How much of the end is read first, and at most at once."""


class LogFollower(QObject):
    """Gives new text of a file to `on_text` while it is on; `on_reset` when the file began anew."""

    def __init__(
        self, path: Path, tasks: TaskOwner, *, on_text: Callable[[str], None], on_reset: Callable[[], None]
    ) -> None:
        super().__init__()
        self._path = path
        self._tasks = tasks
        self._on_text = on_text
        self._on_reset = on_reset
        self._watcher = QFileSystemWatcher(self)
        self._watcher.fileChanged.connect(lambda _: self._look())
        self._watcher.directoryChanged.connect(lambda _: self._look())
        self._on = False
        self._reading = False
        self._again = False
        self._identity: tuple[int, int] | None = None
        self._offset = 0
        self._rest = b""

    def start(self) -> None:
        """Read the end of the file and what comes after."""
        if self._on:
            return
        self._on = True
        self._watch()
        self._look()

    def stop(self) -> None:
        """Read nothing more until `start`."""
        self._on = False
        if watched := [*self._watcher.files(), *self._watcher.directories()]:
            self._watcher.removePaths(watched)

    def _watch(self) -> bool:
        """Both: the file grows, and the folder tells that another one took its name. True when one was not watched."""
        wanted = [str(path) for path in (self._path, self._path.parent) if path.exists()]
        known = {*self._watcher.files(), *self._watcher.directories()}
        if new := [path for path in wanted if path not in known]:
            self._watcher.addPaths(new)
        return bool(new)

    def _look(self) -> None:
        if not self._on:
            return
        self._again = self._reading
        if not self._reading:
            self._reading = True
            self._tasks.spawn(self._read(), name="log")

    async def _read(self) -> None:
        try:
            while self._on:
                identity, offset, data = await asyncio.to_thread(read_after, self._path, self._identity, self._offset)
                if identity != self._identity:
                    if self._identity is not None:
                        self._on_reset()
                    self._rest = b""
                self._identity, self._offset = identity, offset
                self._deliver(data)
                if not data and not self._again:
                    return
                self._again = False
        finally:
            self._reading = False
            # What was written between the last look and the watch would be seen with the next line only.
            if self._on and self._watch():
                self._look()

    def _deliver(self, data: bytes) -> None:
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        if newline:
            self._on_text(whole.decode(errors="replace"))


def read_after(path: Path, identity: tuple[int, int] | None, offset: int) -> tuple[tuple[int, int] | None, int, bytes]:
    """The file's identity (device and inode), the offset behind what was read, and up to `TAIL_BYTES` after `offset`.

    A file of another identity, or one that became shorter, is read from its last whole lines on.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            now = found.st_dev, found.st_ino
            if now != identity or found.st_size < offset:
                offset = max(found.st_size - TAIL_BYTES, 0)
                file.seek(offset)
                if offset:
                    offset += len(file.readline())
            else:
                file.seek(offset)
            data = file.read(TAIL_BYTES)
            return now, offset + len(data), data
    except OSError:
        return None, 0, b""
