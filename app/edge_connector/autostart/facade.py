"""Autostart of one installation: whether it is on and would work, switching it on with proof, switching it off.

It knows no operating system; `linux`, `macos` and `windows` do.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_connector.autostart.entry import Found, Kind, Launch, System, entry_name, refuse_unwritable
from edge_connector.autostart.program import launch_of, program_exists
from edge_connector.config.loading import load
from edge_connector.core.errors import EdgeError, UserError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class AutostartStatus:
    """What is known about the autostart of one installation.

    Attributes:
        enabled: an entry is there.
        entry: where the entry is or would be.
        command: what the entry starts; empty without an entry.
        program_exists: the program of that command is there and may be executed.
        would_start: at the next login this installation starts.
        problem: one sentence when something is wrong, else empty; `fix` is the next step.
        abandoned: entries of installations whose directory is gone; enabling removes them.
    """

    kind: Kind
    directory: Path
    enabled: bool
    entry: str
    command: tuple[str, ...] = ()
    program_exists: bool = False
    would_start: bool = False
    problem: str = ""
    fix: str = ""
    abandoned: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """The one document of `--json`."""
        return {
            "schemaVersion": SCHEMA_VERSION,
            "kind": str(self.kind),
            "directory": str(self.directory),
            "enabled": self.enabled,
            "entry": self.entry,
            "command": list(self.command),
            "programExists": self.program_exists,
            "wouldStart": self.would_start,
            "problem": self.problem,
            "fix": self.fix,
            "abandoned": list(self.abandoned),
        }


def status(
    directory: Path,
    kind: Kind = Kind.DESKTOP,
    *,
    environ: Mapping[str, str] | None = None,
    system: System | None = None,
) -> AutostartStatus:
    """Look at the entry of the installation in `directory` and judge whether it would start it.

    Raises:
        UserError: this system has no autostart of that kind, or its folder cannot be read.
    """
    system = system or system_of(os.environ if environ is None else environ)
    name = entry_name(directory)
    found = system.find(name, kind)
    abandoned = tuple(other.place for other in _abandoned(system, kind))
    if found is None:
        problem = f"The entry {abandoned[0]} belongs to an installation directory that is gone." if abandoned else ""
        fix = _enable_hint(directory, kind) if problem else ""
        place = system.place(name, kind)
        return AutostartStatus(kind, directory, False, place, problem=problem, fix=fix, abandoned=abandoned)
    try:
        wanted: Launch | None = launch_of(directory, kind)
        missing = None
    except UserError as error:
        wanted, missing = None, error
    exists = program_exists(found.command)
    problem, fix = _judge(found, wanted, missing, exists=exists, hint=_enable_hint(directory, kind))
    works = exists and not found.refusal and _names_directory(found, directory)
    return AutostartStatus(kind, directory, True, found.place, found.command, exists, works, problem, fix, abandoned)


def enable(
    directory: Path,
    kind: Kind = Kind.DESKTOP,
    *,
    environ: Mapping[str, str] | None = None,
    system: System | None = None,
) -> AutostartStatus:
    """Make this installation start with the session; mends an entry that is there. Returns what was read back.

    Raises:
        UserError: with code `autostart_disabled` when the setting disableAutostart forbids it, `autostart_no_program`,
            `autostart_path`, `autostart_refused` when the system's checker or reading back found a fault, or the
            codes of `core.files`.
    """
    environ = os.environ if environ is None else environ
    _refuse_when_disabled(directory, environ)
    system = system or system_of(environ)
    launch = launch_of(directory, kind)
    refuse_unwritable(launch)
    for gone in _abandoned(system, kind):
        log.info("autostart entry of a directory that is gone removed entry=%s", gone.place)
        system.remove(gone.place, kind)
    system.install(launch)
    now = status(directory, kind, environ=environ, system=system)
    if not now.would_start or now.command != launch.command:
        system.remove(now.entry, kind)
        raise UserError(
            "autostart_refused",
            f"The autostart entry {now.entry} was written, but would not start this installation, and was removed: "
            f"{now.problem or 'it reads back differently'}",
            hint="Move the installation to a path of ordinary characters.",
        )
    log.info("autostart enabled entry=%s", now.entry)
    return now


def disable(
    directory: Path,
    kind: Kind = Kind.DESKTOP,
    *,
    environ: Mapping[str, str] | None = None,
    system: System | None = None,
) -> list[str]:
    """Take this installation's entry away; returns what was removed, nothing when there was none.

    Raises:
        UserError: the entry cannot be removed.
    """
    system = system or system_of(os.environ if environ is None else environ)
    removed = system.remove(system.place(entry_name(directory), kind), kind)
    if removed:
        log.info("autostart disabled entry=%s", removed[0])
    return removed


def system_of(environ: Mapping[str, str], platform: str = sys.platform) -> System:
    """The autostart of this operating system for the person of `environ`.

    Raises:
        UserError: the person has no home directory.
    """
    if platform == "win32":
        from edge_connector.autostart.windows import WindowsAutostart
        from edge_connector.autostart.windows_registry import user_registry

        return WindowsAutostart(user_registry())
    if platform == "darwin":
        from edge_connector.autostart.macos import MacAutostart

        return MacAutostart(environ)
    from edge_connector.autostart.linux import LinuxAutostart

    return LinuxAutostart(environ)


def _refuse_when_disabled(directory: Path, environ: Mapping[str, str]) -> None:
    loaded = load(directory, environ)
    if loaded.settings.disable_autostart:
        origin = str(loaded.origins["disable_autostart"])
        raise UserError(
            "autostart_disabled",
            f"Autostart is switched off for this installation by {origin}; nothing was written.",
            hint="Unset EC_DISABLE_AUTOSTART, or run `edge-connector config unset disableAutostart`.",
        )


def _judge(
    found: Found, wanted: Launch | None, missing: EdgeError | None, *, exists: bool, hint: str
) -> tuple[str, str]:
    """The sentence and the next step for what is wrong with an entry; both empty when nothing is."""
    if not found.command:
        return found.refusal or f"The autostart entry {found.place} cannot be read.", hint
    program = found.command[0]
    if not exists:
        moved = f"; this installation is {wanted.command[0]}" if wanted and wanted.command[0] != program else ""
        return f"The autostart entry starts {program}, which is not there any more{moved}.", hint
    if found.refusal:
        return found.refusal, hint
    if missing is not None:
        return missing.message, missing.hint
    if wanted is not None and found.command != wanted.command:
        if program != wanted.command[0]:
            return f"The autostart entry starts {program}, but this installation is {wanted.command[0]}.", hint
        return "The autostart entry starts this program with other arguments than this version uses.", hint
    return "", ""


def _names_directory(found: Found, directory: Path) -> bool:
    words = found.command
    return any(words[i] == "--dir" and words[i + 1] == str(directory) for i in range(len(words) - 1))


def _abandoned(system: System, kind: Kind) -> list[Found]:
    """Entries whose directory was moved or removed; one on a disk that is not mounted has lost its surroundings too."""
    listed = ((entry, Path(entry.directory)) for entry in system.entries(kind) if entry.directory)
    return [entry for entry, directory in listed if not directory.exists() and directory.parent.exists()]


def _enable_hint(directory: Path, kind: Kind) -> str:
    flag = " --runtime" if kind is Kind.RUNTIME else ""
    return f"Run `edge-connector autostart enable{flag} --dir {shlex.quote(str(directory))}`."
