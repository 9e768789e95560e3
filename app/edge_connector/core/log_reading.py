"""Reading the log that `core.log` writes: its last entries over all rotated parts, and what comes after."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from edge_connector.core.log import FILE_COUNT

LEVELS = ("debug", "info", "warning", "error", "critical")
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([A-Z]+) +(\S+) (.*)", re.DOTALL)


@dataclass(slots=True)
class Entry:
    """One event.

    Attributes:
        time: RFC 3339 in UTC with milliseconds; such stamps compare as text.
        level: in lower case.
        part: the part of the program that speaks.
        more: the lines of a traceback.
    """

    time: str
    level: str
    part: str
    message: str
    more: list[str] = field(default_factory=list)

    def is_wanted(self, *, level: str, since: str) -> bool:
        """Whether it is at least as important as `level` and not before `since`."""
        return self.time >= since and LEVELS.index(self.level) >= LEVELS.index(level)

    def to_document(self) -> dict[str, object]:
        """As one JSON object."""
        document: dict[str, object] = {
            "time": self.time,
            "level": self.level,
            "part": self.part,
            "message": self.message,
        }
        if self.more:
            document["more"] = self.more
        return document

    def __str__(self) -> str:
        return "\n".join([f"{self.time} {self.level.upper():<7} {self.part} {self.message}", *self.more])


def entries(lines: Iterable[str]) -> Iterator[Entry]:
    """The entries that `lines` make; lines before the first beginning of an entry are left out."""
    entry: Entry | None = None
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is not None and (level := match[2].lower()) in LEVELS:
            if entry is not None:
                yield entry
            entry = Entry(match[1], level, match[3], match[4])
        elif entry is not None:
            entry.more.append(line)
    if entry is not None:
        yield entry


class LogFile:
    """A rotating log: its past, then what is written while somebody looks.

    Nothing between `last` and `new_entries` is lost or told twice, also when the file is rotated meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._rest = b""
        self._open_entry: Entry | None = None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def last(self, limit: int | None, *, level: str, since: str) -> list[Entry]:
        """The last wanted entries, oldest first; all of them without `limit`.

        Raises:
            OSError: the log may not be read.
        """
        found: list[Entry] = []
        read: set[tuple[int, int]] = set()
        for number, path in enumerate(self._parts()):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                # Rotated away meanwhile; its content was read as the part before.
                continue
            status = os.fstat(file.fileno())
            if (status.st_dev, status.st_ino) in read:  # rotated while the part before was read
                file.close()
                continue
            read.add((status.st_dev, status.st_ino))
            data = file.read()
            if number == 0:
                whole, newline, self._rest = data.rpartition(b"\n")
                data = whole + newline
                self.close()
                self._file = file
            else:
                file.close()
            part = list(entries(_decoded(data)))
            found = [entry for entry in part if entry.is_wanted(level=level, since=since)] + found
            if (limit is not None and len(found) >= limit) or (part and part[0].time < since):
                break
        return found if limit is None else found[-limit:] if limit else []

    def new_entries(self) -> list[Entry]:
        """What was written since the last look. An entry is told when the next one began or nothing came."""
        lines = _decoded(self._read_new())
        if not lines and self._open_entry is not None:
            entry, self._open_entry = self._open_entry, None
            return [entry]
        before = [] if self._open_entry is None else str(self._open_entry).split("\n")
        found = list(entries([*before, *lines]))
        self._open_entry = found.pop() if found else None
        return found

    def _read_new(self) -> bytes:
        data = self._rest
        if self._file is None:
            self._file = _opened(self._path)
        while self._file is not None:
            data += self._file.read()
            following = self._following()
            if following is None:
                break
            # What was written between the look and the rotation.
            data += self._file.read()
            self._file.close()
            self._file = following
        whole, newline, self._rest = data.rpartition(b"\n")
        return whole + newline

    def _following(self) -> IO[bytes] | None:
        """The next part after ours, opened, when ours is not the newest any more."""
        assert self._file is not None, "called while a part is open"
        ours = os.fstat(self._file.fileno())
        newer: Path | None = None
        for path in self._parts():
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                if newer is None and found.st_size < self._file.tell():
                    self._file.seek(0)  # somebody emptied it
                return None if newer is None else _opened(newer)
            newer = path
        # In the middle of a rotation our part has no name for a moment; only one that was removed is given up.
        return _opened(newer) if newer is not None and ours.st_nlink == 0 else None

    def _parts(self) -> list[Path]:
        """Newest first."""
        return [self._path, *(Path(f"{self._path}.{number}") for number in range(1, FILE_COUNT + 1))]


def _opened(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _decoded(data: bytes) -> list[str]:
    # Not `splitlines`: it also splits at characters that may stand within a line.
    return data.decode("utf-8", "replace").split("\n")[:-1] if data else []
