"""Autostart on macOS: a LaunchAgent for the desktop application, another for the headless runtime.

It does not load the agent into the running session: launchd reads it at the next login.
"""

from __future__ import annotations

import os
import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from edge_connector.autostart.entry import Found, Kind, Launch
from edge_connector.core.errors import UserError
from edge_connector.core.files import explain_os_error, write_atomically

DIRECTORY_KEY = "EdgeConnectorDirectory"


class MacAutostart:
    """The LaunchAgents of the user of `environ` (HOME)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = environ.get("HOME", "")
        if not os.path.isabs(home):
            raise UserError(
                "no_home_directory",
                "This user has no home directory to keep an autostart entry in.",
                hint="Set HOME.",
            )
        self._folder = Path(home) / "Library" / "LaunchAgents"

    def place(self, name: str, kind: Kind) -> str:
        """The agent's file."""
        return str(self._folder / f"{_label(name, kind)}.plist")

    def find(self, name: str, kind: Kind) -> Found | None:
        """The agent as launchd would read it.

        Raises:
            UserError: the file cannot be read.
        """
        return _read(Path(self.place(name, kind)))

    def entries(self, kind: Kind) -> Sequence[Found]:
        """Every agent of ours.

        Raises:
            UserError: a file cannot be read.
        """
        found = (_read(path) for path in sorted(self._folder.glob(f"{_label('edge-connector-????????', kind)}.plist")))
        return [entry for entry in found if entry is not None]

    def install(self, launch: Launch) -> None:
        """Write the agent.

        Raises:
            UserError: with the codes of `core.files`.
        """
        agent: dict[str, Any] = {
            "Label": _label(launch.name, launch.kind),
            "ProgramArguments": list(launch.command),
            "RunAtLoad": True,
            DIRECTORY_KEY: str(launch.directory),
        }
        if launch.kind is Kind.DESKTOP:
            # Aqua: only in a session with a screen. Interactive: not throttled like a background job.
            agent |= {"LimitLoadToSessionType": "Aqua", "ProcessType": "Interactive"}
        else:
            agent |= {"KeepAlive": {"SuccessfulExit": False}, "ThrottleInterval": 10, "ExitTimeOut": 60}
        write_atomically(Path(self.place(launch.name, launch.kind)), plistlib.dumps(agent))

    def remove(self, place: str, kind: Kind) -> list[str]:
        """Take away the agent's file.

        Raises:
            UserError: it cannot be removed.
        """
        if not os.path.lexists(place):
            return []
        with explain_os_error(Path(place)):
            os.unlink(place)
        return [place]


def _label(name: str, kind: Kind) -> str:
    return name if kind is Kind.DESKTOP else f"{name}.runtime"


def _read(path: Path) -> Found | None:
    with explain_os_error(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        agent = plistlib.loads(data)
        command = tuple(agent["ProgramArguments"])
    except (plistlib.InvalidFileException, ExpatError, ValueError, KeyError, TypeError, AttributeError):
        return Found(str(path), ())
    if not all(isinstance(word, str) for word in command):
        return Found(str(path), ())
    refusal = ""
    if agent.get("Disabled") is True:
        refusal = f"The agent {path} is switched off by its key Disabled."
    elif agent.get("RunAtLoad") is not True:
        refusal = f"The agent {path} does not start at login: RunAtLoad is not set."
    return Found(str(path), command, str(agent.get(DIRECTORY_KEY, "")), refusal)
