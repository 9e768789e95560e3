"""What `edge-connector config show|set|unset|validate` does: plain functions and documents.

It prints nothing and knows no command line library; the command table binds these functions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_connector.config.edit import (
    SCHEMA_VERSION,
    Edit,
    edit_document,
    edit_sentence,
    problem_documents,
    set_value,
    unset_value,
)
from edge_connector.config.loading import Reading, read, validate
from edge_connector.config.paths import InstallationPaths
from edge_connector.config.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_connector.core.errors import EdgeError

__all__ = [
    "Listing",
    "Row",
    "check",
    "check_document",
    "edit_document",
    "edit_sentence",
    "set_setting",
    "show",
    "unset_setting",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as `config show` lists it.

    Attributes:
        value: what is in force, as text; `set` or `not set` for a secret, `wrong` when it cannot be used.
        origin: where it comes from, e.g. `environment HEALTH_PORT`, `config.json`, `default`.
        problem: the sentence that says what is wrong with it; empty when it is right.
    """

    key: str
    value: str
    origin: str
    unit: str
    help: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """What `config show` lists.

    Attributes:
        problems: all that is wrong with the configuration, the rows' own problems included.
    """

    directory: Path
    rows: tuple[Row, ...]
    problems: tuple[EdgeError, ...]

    def to_document(self) -> dict[str, Any]:
        """The listing as the one JSON document of `--json`."""
        return {
            "schemaVersion": SCHEMA_VERSION,
            "directory": str(self.directory),
            "settings": [asdict(row) for row in self.rows],
            "problems": problem_documents(self.problems),
        }


def show(directory: Path, environ: Mapping[str, str]) -> Listing:
    """Every setting with its value and where it comes from; wrong values are listed as such.

    Raises:
        UserError: `config.json` itself cannot be used.
    """
    reading = read(directory, environ, {})
    rows = tuple(_row(setting, reading) for setting in SETTINGS)
    return Listing(directory, rows, (*reading.problems, *reading.unknown, *reading.warnings))


def set_setting(directory: Path, key: str, text: str, environ: Mapping[str, str]) -> Edit:
    """Change one key of `config.json`; see `config.edit.set_value`."""
    return set_value(directory, key, text, environ)


def unset_setting(directory: Path, key: str, environ: Mapping[str, str]) -> Edit:
    """Remove one key of `config.json`; see `config.edit.unset_value`."""
    return unset_value(directory, key, environ)


def check(directory: Path, environ: Mapping[str, str]) -> list[EdgeError]:
    """All that is wrong with the configuration; empty when it is right. A non-empty list means exit code 1."""
    return validate(directory, environ)


def check_document(directory: Path, problems: list[EdgeError]) -> dict[str, Any]:
    """The result of `config validate` as the one JSON document of `--json`."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "file": str(InstallationPaths(directory).config_file),
        "valid": not problems,
        "problems": problem_documents(problems),
    }


def _row(setting: Setting, reading: Reading) -> Row:
    wrong = reading.wrong.get(setting.name)
    problem = wrong.message if wrong else ""
    if not problem and reading.pair and setting.name in ("deployment_id", "deployment_secret"):
        problem = reading.pair.message
    value = "wrong" if wrong else _shown(setting, reading.values[setting.name])
    return Row(setting.key, value, str(reading.origins[setting.name]), setting.unit, setting.help, problem)


def _shown(setting: Setting, value: object) -> str:
    match value:
        case None:
            return "not set"
        case _ if setting.secret:
            return "set"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case tuple():
            return ", ".join(map(str, value)) or "empty"
        case _:
            return str(value)
