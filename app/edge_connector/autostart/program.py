"""The command that starts this installation of the program again, frozen or in a Python environment."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from edge_connector.autostart.entry import Kind, Launch
from edge_connector.core.errors import UserError

_PROGRAMS = {Kind.DESKTOP: "edge-connector-desktop", Kind.RUNTIME: "edge-connector"}
_MODULES = {Kind.DESKTOP: "edge_connector.desktop.main", Kind.RUNTIME: "edge_connector.cli.main"}


def launch_of(directory: Path, kind: Kind) -> Launch:
    """What an entry of this installation has to start.

    Raises:
        UserError: with code `autostart_no_program`: the desktop application is not installed here.
    """
    words = ("--auto-resume", "--hidden") if kind is Kind.DESKTOP else ("--auto-resume",)
    verb = ("run",) if kind is Kind.RUNTIME else ()
    return Launch(kind, directory, (*_program(kind), *verb, "--dir", str(directory), *words))


def program_exists(command: tuple[str, ...]) -> bool:
    """Whether the program of a command is there and may be executed."""
    if not command:
        return False
    if not Path(command[0]).is_absolute():
        return shutil.which(command[0]) is not None
    return Path(command[0]).is_file() and os.access(command[0], os.X_OK)


def _program(kind: Kind) -> tuple[str, ...]:
    ending = ".exe" if sys.platform == "win32" else ""
    if getattr(sys, "frozen", False):
        beside = Path(sys.executable).with_name(_PROGRAMS[kind] + ending)
        if beside.is_file():
            return (str(beside),)
        raise _no_program(kind, f"{beside} is missing", "Install the program again.")
    if kind is Kind.DESKTOP and importlib.util.find_spec("PySide6") is None:
        raise _no_program(kind, "PySide6 is missing", "Install it with `pip install 'edge-connector[desktop]'`.")
    script = Path(sysconfig.get_path("scripts")) / (_PROGRAMS[kind] + ending)
    if script.is_file():
        return (str(script),)
    return (sys.executable, "-P", "-m", _MODULES[kind])


def _no_program(kind: Kind, reason: str, hint: str) -> UserError:
    what = "desktop application" if kind is Kind.DESKTOP else "command-line program"
    return UserError("autostart_no_program", f"The {what} is not installed here: {reason}.", hint=hint)
