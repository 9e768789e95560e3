"""Where an installation keeps its secrets: the keyring of the person's session, else files for this user alone (R21).

A file that is there is read first; `keyring.json` beside `config.json` says what lies in the keyring (names, never
secrets), so that the keyring is asked only when it holds something. What is written goes to the one place that fits
this installation, and is taken out of the other.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from edge_connector.auth.keyring_access import Keyring, KeyringUnavailable, has_session_keyring
from edge_connector.config.json_file import read_json_object
from edge_connector.config.loading import LoadedConfig, OriginKind
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.files import explain_os_error, write_atomically

log = logging.getLogger(__name__)

KEYRING_FILE = "keyring.json"


class Kind(StrEnum):
    """What is kept; the words are part of the keyring's entries and of `keyring.json`."""

    TOKEN = "token"
    DEPLOYMENT = "deployment"


class SecretKeeper(Protocol):
    """What the vault needs of a keyring; see `Keyring`."""

    def read(self, kind: str) -> str | None: ...
    def write(self, kind: str, secret: str) -> None: ...
    def delete(self, kind: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept document.

    Attributes:
        place: the file's path, or `keyring`.
        mode: permission bits of the file; 0 in the keyring.
    """

    values: Mapping[str, object] = field(repr=False)
    place: str
    in_keyring: bool
    mode: int = 0

    @property
    def warnings(self) -> tuple[EdgeError, ...]:
        """What is wrong with the place but stops nothing."""
        if self.in_keyring or os.name != "posix" or not self.mode & 0o077:
            return ()
        return (
            UserError(
                "secret_readable_by_others",
                f"{self.place} may be read by other users (mode {self.mode:04o}).",
                hint=f"Run: chmod 600 {self.place}",
            ),
        )


IN_KEYRING = "keyring"
_PREFIX = {Kind.TOKEN: "token_file", Kind.DEPLOYMENT: "credentials"}
_SETTING = {Kind.TOKEN: "auth_token_path", Kind.DEPLOYMENT: "deployment_credentials_path"}


class Vault:
    """The secrets of one installation. Its methods may block for the five seconds that the keyring is given."""

    def __init__(
        self,
        config: LoadedConfig,
        *,
        environ: Mapping[str, str] = os.environ,
        keyring: SecretKeeper | None = None,
        may_ask: bool = False,
    ) -> None:
        """Nothing is read yet.

        Args:
            may_ask: whether the keyring may ask for its password: only when a person acts.
        """
        self._config = config
        self._environ = environ
        self._keyring = keyring or Keyring(config.directory, may_ask=may_ask)

    def path(self, kind: Kind) -> Path:
        """The file of `kind`, whether it is used or not."""
        path: Path = getattr(self._config.settings, _SETTING[kind])
        return path

    def prefers_file(self, kind: Kind) -> bool:
        """Whether `kind` belongs in its file: the path was given, or nobody sits here who could unlock a keyring."""
        settings = self._config.settings
        return (
            self._config.origins[_SETTING[kind]].kind is not OriginKind.DEFAULT
            or settings.connector_type == "SERVER"
            or settings.disable_tray
            or not has_session_keyring(self._environ)
        )

    def expect_write(self, kind: Kind) -> None:
        """See whether `write` would find its place open, before a person goes to any trouble.

        Raises:
            KeyringLocked: it would not.
        """
        if self.prefers_file(kind):
            return
        try:
            self._keyring.read(kind)
        except KeyringUnavailable:
            pass  # then it will be the file

    def read(self, kind: Kind, *, hint: str = "") -> Kept | None:
        """What is kept; None when nothing is.

        Args:
            hint: what the content of the file looks like.

        Raises:
            UserError: the file is there but cannot be used.
            KeyringLocked: it lies in the keyring, which is locked.
            KeyringUnavailable: it lies in the keyring, and there is none now.
        """
        path = self.path(kind)
        file = read_json_object(path, prefix=_PREFIX[kind], hint=hint)
        if file is not None:
            return Kept(file.values, str(path), in_keyring=False, mode=file.mode)
        if kind not in self._in_keyring():
            return None
        text = self._keyring.read(kind)
        if text is None:
            log.info("the keyring holds no entry of this directory any more kind=%s", kind)
            return None
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise UserError(
                f"{_PREFIX[kind]}_not_json",
                f"The entry of {self._config.directory} in the keyring is not what this program wrote.",
                hint="Run `edge-connector auth logout`, then sign in again.",
            )
        return Kept(values, IN_KEYRING, in_keyring=True)

    def write(self, kind: Kind, document: Mapping[str, Any], *, to_file: bool = False) -> str:
        """Keep `document` instead of an older one; returns the place, for people.

        Args:
            to_file: it was asked for in the file.

        Raises:
            UserError: the file cannot be written.
            KeyringLocked: the keyring is locked; nothing was written.
        """
        if not to_file and not self.prefers_file(kind):
            try:
                self._keyring.write(kind, json.dumps(document))
            except KeyringUnavailable as error:
                log.info("no keyring, using a file for this user alone: %s", error.message)
            else:
                self._note(kind, kept=True)
                self._remove_file(kind)
                return IN_KEYRING
        path = self.path(kind)
        write_atomically(path, json.dumps(document, indent=2).encode() + b"\n", mode=0o600)
        self._empty_keyring(kind)
        return str(path)

    def delete(self, kind: Kind) -> list[str]:
        """Forget what is kept, in every place; returns the places where something was.

        Raises:
            UserError: the file cannot be removed.
            KeyringLocked, KeyringUnavailable: it lies in the keyring, and is still there.
        """
        places = [str(self.path(kind))] if self._remove_file(kind) else []
        if kind in self._in_keyring():
            self._keyring.delete(kind)
            self._note(kind, kept=False)
            places.append(IN_KEYRING)
        return places

    def move(self, kind: Kind, *, to_keyring: bool) -> str:
        """Bring what is kept to where it belongs by now; returns the new place, empty when nothing had to move.

        Args:
            to_keyring: whether a file may be emptied: only for a person's desktop. What runs in a terminal today may
                be a service without a session tomorrow.

        Raises:
            EdgeError: as of `read` and `write`; it is where it was then.
        """
        if self.path(kind).exists() is self.prefers_file(kind):
            return ""
        if not self.prefers_file(kind) and not to_keyring:
            return ""
        kept = self.read(kind)
        if kept is None:
            return ""
        place = self.write(kind, kept.values)
        if place == kept.place:
            return ""
        log.info("moved kind=%s from=%s to=%s", kind, kept.place, place)
        return place

    def _remove_file(self, kind: Kind) -> bool:
        path = self.path(kind)
        if not os.path.lexists(path):
            return False
        with explain_os_error(path):
            path.unlink()
        return True

    def _empty_keyring(self, kind: Kind) -> None:
        """An older secret in the keyring does not count any more, whether it can be deleted now or not."""
        if kind not in self._in_keyring():
            return
        try:
            self._keyring.delete(kind)
        except EdgeError as error:
            log.warning("an older entry stays in the keyring kind=%s cause=%s", kind, error.code)
        self._note(kind, kept=False)

    def _in_keyring(self) -> list[str]:
        found = read_json_object(self._config.directory / KEYRING_FILE, prefix="keyring_file")
        kept = [] if found is None else found.values.get("kept")
        return [kind for kind in kept if isinstance(kind, str)] if isinstance(kept, list) else []

    def _note(self, kind: Kind, *, kept: bool) -> None:
        others = [name for name in self._in_keyring() if name != kind]
        document = {"kept": sorted([*others, str(kind)] if kept else others)}
        if document["kept"]:
            write_atomically(self._config.directory / KEYRING_FILE, json.dumps(document).encode() + b"\n", mode=0o600)
        else:
            (self._config.directory / KEYRING_FILE).unlink(missing_ok=True)
