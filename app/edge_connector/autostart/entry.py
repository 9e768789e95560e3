"""What an autostart entry is on every system: its name, the command in it, and what was found. It touches no system."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from edge_connector.core.errors import UserError


class Kind(StrEnum):
    """What is started: the tray application, or the runtime without a display."""

    DESKTOP = "desktop"
    RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class Launch:
    """What an entry shall start.

    Attributes:
        directory: the installation directory, absolute; several installations have an entry each.
        command: program and arguments, the program as an absolute path.
    """

    kind: Kind
    directory: Path
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """The entry's name without any ending, e.g. `edge-connector-1f2e3d4c`."""
        return entry_name(self.directory)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry as it is on the system.

    Attributes:
        place: its file, or its place in the registry.
        command: what it starts; empty when it cannot be read.
        directory: the installation directory that it names; empty when it names none.
        refusal: why the system would pass it over; empty when it would not.
    """

    place: str
    command: tuple[str, ...]
    directory: str = ""
    refusal: str = ""


class System(Protocol):
    """Autostart of one operating system. Errors are `UserError`."""

    def place(self, name: str, kind: Kind) -> str:
        """Where the entry `name` is or would be."""

    def find(self, name: str, kind: Kind) -> Found | None:
        """The entry `name` as the system would read it."""

    def entries(self, kind: Kind) -> Sequence[Found]:
        """Every entry of this program, of all installations."""

    def install(self, launch: Launch) -> None:
        """Write the entry, and let the system's own checker look at it where there is one."""

    def remove(self, place: str, kind: Kind) -> list[str]:
        """Take away the entry at `place`; returns what was removed."""


def entry_name(directory: Path) -> str:
    """The name of an installation's entry: the same after a restart, another for each directory."""
    return f"edge-connector-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:8]}"


def refuse_unwritable(launch: Launch) -> None:
    """Refuse what an entry's text cannot carry.

    Raises:
        UserError: with code `autostart_path`.
    """
    for word in launch.command:
        if not word.isprintable():  # control characters, and bytes that are no UTF-8
            raise UserError(
                "autostart_path",
                f"An autostart entry cannot carry {word!a}: it holds characters that do not print.",
                hint="Move the installation to a path of ordinary characters.",
            )
    program = launch.command[0]
    for char in "=%":  # forbidden by the Desktop Entry Specification; looked up without decoding by GLib
        if char in program:
            raise UserError(
                "autostart_path",
                f"An autostart entry cannot start {program}: the path holds the character {char}",
                hint=f"Move the program to a path without {char}",
            )
