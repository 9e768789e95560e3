"""What the desktop remembers between starts: the window's size and page, and the language.

These are no settings of the connector (`config.json`); they lie in `desktop.json` of the installation directory.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from edge_connector.core.errors import EdgeError
from edge_connector.core.files import write_atomically

log = logging.getLogger(__name__)

FILE = "desktop.json"
MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Preferences:
    """The remembered values.

    Attributes:
        width, height: of the window, in device-independent pixels.
        page: the page that was open.
        language: `en` or `de`; empty means the system's.
    """

    width: int = 980
    height: int = 680
    page: str = "overview"
    language: str = ""


class PreferenceStore:
    """The preferences of one installation directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._value = self._saved = _read(self._path)
        self._guard = threading.Lock()

    @property
    def value(self) -> Preferences:
        """What is remembered now."""
        return self._value

    def change(self, **changes: Any) -> bool:
        """Remember other values until `save`; True when there is something to save."""
        self._value = replace(self._value, **changes)
        return self._value != self._saved

    def save(self) -> None:
        """Write what changed. It waits for the disk, so call it in a thread; several calls follow one another.

        A disk that cannot be written is said in the log: forgetting a size stops nothing.
        """
        with self._guard:
            value = self._value
            if value == self._saved:
                return
            try:
                write_atomically(self._path, json.dumps(asdict(value), indent=2).encode() + b"\n", mode=0o600)
            except EdgeError as error:
                log.warning("preferences not saved: %s", error.message)
            else:
                self._saved = value


def _read(path: Path) -> Preferences:
    """The file's values; the default for each that is missing or of another kind."""
    try:
        data = path.read_bytes()
        found = json.loads(data) if len(data) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return Preferences()
    if not isinstance(found, dict):
        return Preferences()
    defaults = asdict(Preferences())
    usable = {
        field.name: found[field.name]
        for field in fields(Preferences)
        if type(found.get(field.name)) is type(defaults[field.name])
    }
    return Preferences(**usable)
