"""Autostart on Windows: a value of the user's Run key for the desktop application.

The headless runtime has no entry here: a console program in the Run key would open a console window at each login.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from edge_connector.autostart.entry import Found, Kind, Launch
from edge_connector.core.errors import UserError

RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"
APPROVED = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
"""Where the Task Manager and the settings note what a person switched off: the lowest bit of the first byte."""
MAX_COMMAND = 260
"""Characters of a command in the Run key; Windows leaves out longer ones."""

Value = str | bytes


class Registry(Protocol):
    """The keys below HKEY_CURRENT_USER that this needs."""

    def read(self, key: str) -> Mapping[str, Value]:
        """Every value of `key`; empty when there is no such key."""

    def write(self, key: str, name: str, value: str) -> None:
        """Set a text value."""

    def delete(self, key: str, name: str) -> None:
        """Remove a value; one that is not there is no error."""


class WindowsAutostart:
    """The values of the Run key."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def place(self, name: str, kind: Kind) -> str:
        """The value's place as regedit shows it."""
        _refuse_runtime(kind)
        return rf"HKEY_CURRENT_USER\{RUN}\{name}"

    def find(self, name: str, kind: Kind) -> Found | None:
        """The value as Windows would read it.

        Raises:
            UserError: the registry cannot be read.
        """
        return next((entry for entry in self.entries(kind) if entry.place == self.place(name, kind)), None)

    def entries(self, kind: Kind) -> Sequence[Found]:
        """Every value of ours.

        Raises:
            UserError: the registry cannot be read.
        """
        _refuse_runtime(kind)
        approved = self._registry.read(APPROVED)
        found = []
        for name, value in sorted(self._registry.read(RUN).items()):
            if not name.startswith("edge-connector-"):
                continue
            command = split_command(value) if isinstance(value, str) else ()
            mark = approved.get(name, b"")
            switched_off = isinstance(mark, bytes) and bool(mark) and bool(mark[0] & 1)
            refusal = f"{name} was switched off in the Task Manager or the settings of Windows." if switched_off else ""
            found.append(Found(self.place(name, kind), command, _directory(command), refusal))
        return found

    def install(self, launch: Launch) -> None:
        """Set the value, and take back what the Task Manager noted about it.

        Raises:
            UserError: with code `autostart_path` when the command is too long, or the registry cannot be written.
        """
        _refuse_runtime(launch.kind)
        line = subprocess.list2cmdline(launch.command)
        if len(line) > MAX_COMMAND:
            raise UserError(
                "autostart_path",
                f"The command has {len(line)} characters, but Windows starts none over {MAX_COMMAND} from its Run key.",
                hint="Move the installation to a shorter path.",
            )
        self._registry.write(RUN, launch.name, line)
        self._registry.delete(APPROVED, launch.name)

    def remove(self, place: str, kind: Kind) -> list[str]:
        """Remove the value.

        Raises:
            UserError: the registry cannot be written.
        """
        name = place.rpartition("\\")[2]
        if name not in self._registry.read(RUN):
            return []
        self._registry.delete(RUN, name)
        self._registry.delete(APPROVED, name)
        return [place]


def split_command(line: str) -> tuple[str, ...]:
    """A command line as CommandLineToArgvW splits it: backslashes count only before a quote."""
    words: list[str] = []
    current: list[str] | None = None
    quoted = False
    for token in re.finditer(r'(\\*)"|(\\+)|([ \t]+)|([^\\" \t]+)', line):
        before_quote, backslashes, blanks, rest = token.groups()
        if before_quote is not None:
            current = [*(current or []), "\\" * (len(before_quote) // 2)]
            if len(before_quote) % 2:
                current.append('"')
            else:
                quoted = not quoted
        elif blanks is not None and not quoted:
            if current is not None:
                words.append("".join(current))
            current = None
        else:
            current = [*(current or []), backslashes or blanks or rest]
    if current is not None:
        words.append("".join(current))
    return tuple(words)


def _directory(command: Sequence[str]) -> str:
    for position, word in enumerate(command[:-1]):
        if word == "--dir":
            return command[position + 1]
    return ""


def _refuse_runtime(kind: Kind) -> None:
    if kind is Kind.RUNTIME:
        raise UserError(
            "autostart_unsupported",
            "The headless runtime has no autostart entry on Windows.",
            hint="Use the desktop application, or run `edge-connector run` as a service or a scheduled task.",
        )
