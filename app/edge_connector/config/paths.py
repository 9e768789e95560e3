"""The installation directory: which one it is, what lies in it, and whether it can be used.

It knows no setting: paths that a person may configure are in `settings`.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_connector.config.json_file import read_json_object
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.files import explain_os_error, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstallationPaths:
    """Where each file of an installation is."""

    directory: Path

    @property
    def config_file(self) -> Path:
        """The settings; only the holder of the lock writes it."""
        return self.directory / "config.json"

    @property
    def provisioning_file(self) -> Path:
        """Settings that a platform packed into a download; weaker than `config.json`."""
        return self.directory / "provisioning.json"

    @property
    def lock_file(self) -> Path:
        """The process lock."""
        return self.directory / "edge-runtime.lock"

    @property
    def instance_file(self) -> Path:
        """The random identity of this installation."""
        return self.directory / "instance.json"

    @property
    def logs(self) -> Path:
        """Folder of the log files."""
        return self.directory / "logs"

    @property
    def log_file(self) -> Path:
        """The log; older parts of it have `.1`, `.2`, ... behind the name."""
        return self.logs / "edge-connector.log"

    @property
    def scratch(self) -> Path:
        """Folder in which each call gets a folder of its own while it runs."""
        return self.directory / "scratch"

    @property
    def ledger_file(self) -> Path:
        """The calls of this connector and what came of them (docs/ledger.md)."""
        return self.directory / "calls.sqlite3"

    @property
    def manifest(self) -> Path:
        """What the active bundle says about itself."""
        return self.directory / "manifest.json"

    @property
    def dist(self) -> Path:
        """The files of the active bundle."""
        return self.directory / "dist"

    @property
    def staging(self) -> Path:
        """Folder in which a downloaded bundle is checked."""
        return self.directory / "staging"

    @property
    def versions(self) -> Path:
        """Folder with one folder a bundle version, named by checksum."""
        return self.directory / "versions"


def choose_directory(given: Path | str | None, environ: Mapping[str, str]) -> Path:
    """The installation directory, absolute: `given` (`--dir`), else `EC_HOME`, else the current directory when it holds
    a `config.json`, else the user's data directory. It need not exist yet.

    Raises:
        UserError: with code `wrong_directory` or `no_home_directory`.
    """
    for place, text in (("--dir", given), ("EC_HOME", environ.get("EC_HOME", "").strip() or None)):
        if text is not None:
            return _absolute(str(text), place)
    current = _current_directory()
    if current is not None and os.path.lexists(current / "config.json"):
        return current
    return _user_data_directory()


def prepare_directory(path: Path) -> Path:
    """Make sure that `path` is a directory that can be written, and return it; a new one is for this user alone (0700).

    Raises:
        UserError: with a code of `core.files.explain_os_error`.
    """
    with explain_os_error(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only writing tells: permission bits say nothing about read-only mounts, full disks and root.
        with tempfile.TemporaryFile(dir=path, prefix=".probe.") as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    return path


def instance_id(directory: Path) -> str:
    """The random identity of this installation, made on first use. Call it while holding the lock.

    A directory that was copied or moved gets a new one: two connectors with one identity would replace each other's
    session at the platform for ever.

    Raises:
        UserError: the file cannot be read or written.
    """
    path = InstallationPaths(directory).instance_file
    here = str(directory.resolve())
    known = _read_instance(path)
    if known.get("directory") == here:
        try:
            return str(uuid.UUID(str(known.get("instanceId"))))
        except ValueError:
            log.warning("The identity of this installation is damaged and made anew file=%s", path)
    made = str(uuid.uuid4())
    document = json.dumps({"instanceId": made, "directory": here}, indent=2, ensure_ascii=True)
    write_atomically(path, document.encode() + b"\n", mode=0o600)
    return made


def known_instance_id(directory: Path) -> str:
    """The identity of this installation without making one; empty when no connector ran here yet."""
    known = _read_instance(InstallationPaths(directory).instance_file)
    return str(known.get("instanceId", "")) if known.get("directory") == str(directory.resolve()) else ""


def _read_instance(path: Path) -> Mapping[str, object]:
    try:
        found = read_json_object(path, prefix="instance")
    except EdgeError as error:
        if error.code not in ("instance_not_json", "instance_not_object", "instance_too_large"):
            raise
        log.warning("The identity of this installation is damaged and made anew file=%s", path)
        return {}
    return {} if found is None else found.values


def _user_data_directory() -> Path:
    import platformdirs

    try:
        chosen = Path(platformdirs.user_data_dir("edge-connector", appauthor=False))
    except RuntimeError:  # what newer versions do without a home; older ones return a relative path
        chosen = Path()
    if chosen.is_absolute():
        return chosen
    raise UserError(
        "no_home_directory",
        "This user has no home directory to keep the installation in.",
        hint="Name a directory with --dir or EC_HOME.",
    )


def _absolute(text: str, place: str) -> Path:
    try:
        if not text.strip() or "\0" in text:
            raise ValueError
        path = Path(text).expanduser()
        os.fsencode(path)
    except (ValueError, RuntimeError) as error:  # ValueError covers what cannot be encoded
        raise UserError(
            "wrong_directory", f"{place} is not a usable path: {text[:60]!a}.", hint="Name a directory."
        ) from error
    if path.is_absolute():
        return path
    current = _current_directory()
    if current is None:
        raise UserError(
            "wrong_directory",
            f"{place} is relative, but the current directory does not exist any more.",
            hint="Change to another directory, or write the whole path.",
        )
    return Path(os.path.normpath(current / path))


def _current_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
