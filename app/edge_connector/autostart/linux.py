"""Autostart on Linux: an XDG autostart entry for the desktop application, a systemd user unit for the headless runtime.

It enables nothing in a running systemd beyond asking it to read its units again; the next login does the rest.
"""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_connector.autostart import desktop_entry, systemd_unit
from edge_connector.autostart.entry import Found, Kind, Launch
from edge_connector.core.errors import UserError
from edge_connector.core.files import explain_os_error, write_atomically

log = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 10.0
DIRECTORY_KEY = "X-EdgeConnector-Directory"
LINGER = Path("/var/lib/systemd/linger")
"""Holds a file for each user whose units start at boot, without a login (loginctl(1), enable-linger)."""


class LinuxAutostart:
    """The entries of the user of `environ` (XDG_CONFIG_HOME, else HOME)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        config = configuration_home(environ)
        self._autostart = config / "autostart"
        self._units = config / "systemd" / "user"
        self._wants = self._units / "default.target.wants"

    def place(self, name: str, kind: Kind) -> str:
        """The entry's file."""
        return str(self._autostart / f"{name}.desktop" if kind is Kind.DESKTOP else self._units / f"{name}.service")

    def find(self, name: str, kind: Kind) -> Found | None:
        """The entry as the session would read it.

        Raises:
            UserError: the file cannot be read.
        """
        return self._read(Path(self.place(name, kind)), kind)

    def entries(self, kind: Kind) -> Sequence[Found]:
        """Every entry of ours.

        Raises:
            UserError: a file cannot be read.
        """
        folder, pattern = (
            (self._autostart, "edge-connector-*.desktop")
            if kind is Kind.DESKTOP
            else (self._units, "edge-connector-*.service")
        )
        found = (self._read(path, kind) for path in sorted(folder.glob(pattern)))
        return [entry for entry in found if entry is not None]

    def install(self, launch: Launch) -> None:
        """Write the entry, after the system's checker has found no fault with it.

        Raises:
            UserError: with code `autostart_refused`, or the codes of `core.files`.
        """
        path = Path(self.place(launch.name, launch.kind))
        if launch.kind is Kind.DESKTOP:
            self._put(path, _desktop_text(launch), ["desktop-file-validate"])
            return
        text = systemd_unit.render(launch.command, str(launch.directory))
        self._put(path, text, ["systemd-analyze", "--user", "--recursive-errors=no", "--man=no", "verify"])
        link = self._wants / path.name
        with explain_os_error(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink() or link.resolve() != path.resolve():
                link.unlink(missing_ok=True)
                link.symlink_to(path)
        self._read_units_again()

    def remove(self, place: str, kind: Kind) -> list[str]:
        """Take away the file and what points to it.

        Raises:
            UserError: it cannot be removed.
        """
        path = Path(place)
        removed = []
        for file in (path, self._wants / path.name) if kind is Kind.RUNTIME else (path,):
            if os.path.lexists(file):
                with explain_os_error(file):
                    file.unlink()
                removed.append(str(file))
        if removed and kind is Kind.RUNTIME:
            self._read_units_again()
        return removed

    def _read(self, path: Path, kind: Kind) -> Found | None:
        with explain_os_error(path):
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                return None
        if kind is Kind.RUNTIME:
            return self._read_unit(path, text)
        try:
            values = desktop_entry.parse(text)
            command = desktop_entry.parse_exec(values.get("Exec", ""))
            directory = desktop_entry.unescape(values.get(DIRECTORY_KEY, ""))
        except desktop_entry.EntryError as error:
            log.debug("autostart entry cannot be read entry=%s reason=%s", path, error)
            return Found(str(path), ())
        return Found(str(path), command, directory, _session_refusal(path, values))

    def _read_unit(self, path: Path, text: str) -> Found:
        if path.is_symlink() and os.readlink(path) == os.devnull:
            return Found(str(path), (), refusal=f"{path.name} is masked.")
        try:
            command, directory = systemd_unit.parse(text)
        except systemd_unit.UnitError as error:
            log.debug("unit cannot be read unit=%s reason=%s", path, error)
            return Found(str(path), ())
        wanted = (self._wants / path.name).exists()
        refusal = "" if wanted else f"{path.name} is there, but not enabled: nothing asks systemd to start it."
        return Found(str(path), command, directory, refusal)

    def _put(self, path: Path, text: str, checker: list[str]) -> None:
        """Write `text`, unless the checker, where it is installed, finds a fault."""
        program = shutil.which(checker[0], path=self._environ.get("PATH", os.defpath))
        if program is not None:
            with tempfile.TemporaryDirectory(prefix="edge-connector-") as folder:
                draft = Path(folder) / path.name
                draft.write_text(text, encoding="utf-8")
                # systemd's checker wants a runtime folder, which a plain login over ssh or cron may lack.
                _check([program, *checker[1:], str(draft)], path, {"XDG_RUNTIME_DIR": folder, **self._environ})
        write_atomically(path, text.encode())

    def _read_units_again(self) -> None:
        """Tell a running systemd of the user; without one the next login reads them."""
        program = shutil.which("systemctl", path=self._environ.get("PATH", os.defpath))
        if program is None or not Path(self._environ.get("XDG_RUNTIME_DIR", ""), "systemd").is_dir():
            return
        try:
            subprocess.run(
                [program, "--user", "daemon-reload"], env=dict(self._environ), stdin=subprocess.DEVNULL,
                capture_output=True, timeout=CHECK_TIMEOUT_S, check=True,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            log.info("systemd did not read its units again reason=%s", error)


def configuration_home(environ: Mapping[str, str]) -> Path:
    """XDG_CONFIG_HOME when it is absolute (others are to be ignored by the specification), else `~/.config`.

    Raises:
        UserError: with code `no_home_directory`.
    """
    given = environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(given):
        return Path(given)
    home = environ.get("HOME", "")
    if os.path.isabs(home):
        return Path(home) / ".config"
    raise UserError(
        "no_home_directory",
        "This user has no home directory to keep an autostart entry in.",
        hint="Set HOME or XDG_CONFIG_HOME.",
    )


def lingers(user: str | None = None, folder: Path = LINGER) -> bool:
    """Whether the user's units start at boot; without that they start at the first login."""
    return (folder / (user or getpass.getuser())).exists()


def _desktop_text(launch: Launch) -> str:
    return desktop_entry.render(
        {
            "Type": "Application",
            "Name": "Edge Connector",
            "Comment": "Runs tools next to what only this machine can reach",
            "Comment[de]": "Führt Werkzeuge dort aus, wo nur dieser Rechner hinkommt",
            "Exec": desktop_entry.exec_line(launch.command),
            "Icon": "edge-connector",
            "Terminal": "false",
            "X-GNOME-Autostart-enabled": "true",
            DIRECTORY_KEY: desktop_entry.escape(str(launch.directory)),
        }
    )


def _session_refusal(path: Path, values: Mapping[str, str]) -> str:
    """Why a session would pass the entry over (Desktop Application Autostart Specification; GNOME's own key)."""
    if values.get("Hidden", "false").lower() == "true":
        return f"The autostart entry {path} is switched off by Hidden=true."
    if values.get("X-GNOME-Autostart-enabled", "true").lower() == "false":
        return f"The autostart entry {path} was switched off in the session's settings."
    for key in ("OnlyShowIn", "NotShowIn"):
        if values.get(key):
            return f"The autostart entry {path} is limited to some desktops by {key}."
    return ""


def _check(command: list[str], path: Path, environ: Mapping[str, str]) -> None:
    try:
        ended = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:  # the checker's own trouble is not the entry's
        log.info("autostart entry not checked checker=%s reason=%s", command[0], error)
        return
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if Path(command[-1]).name in line]
    if ended.returncode != 0 and not said:
        log.info("autostart entry not checked checker=%s reason=%s", command[0], ended.stderr.strip()[:300])
    elif ended.returncode != 0:
        raise UserError(
            "autostart_refused",
            f"{Path(command[0]).name} finds fault with the entry for {path}: {_joined(said, command[-1])}",
            hint="Move the installation to a path of ordinary characters.",
        )


def _joined(lines: Sequence[str], draft: str) -> str:
    return "; ".join(line.replace(f"{draft}:", "").strip() for line in lines)[:300]
