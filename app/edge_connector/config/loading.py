"""Finding the value of every setting: flags of this invocation, environment, `config.json`, `provisioning.json` (which
a platform packs into a download), built-in defaults.

It writes nothing and reads no other file than these two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_connector.config.json_file import JsonObject, read_json_object
from edge_connector.config.paths import InstallationPaths
from edge_connector.config.settings import BY_KEY, BY_NAME, SETTINGS, Setting, Settings, nearest_key
from edge_connector.config.values import default_of, parse_json, parse_text
from edge_connector.core.errors import EdgeError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping


class OriginKind(StrEnum):
    """The kinds of places a value comes from, weakest first."""

    DEFAULT = "default"
    PROVISIONING = "provisioning"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


_STRENGTH = list(OriginKind)
_FILES = {OriginKind.FILE: "config.json", OriginKind.PROVISIONING: "provisioning.json"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    Attributes:
        name: the flag, the variable or the file; empty for a default.
    """

    kind: OriginKind
    name: str = ""

    def __str__(self) -> str:
        match self.kind:
            case OriginKind.FLAG:
                return f"flag {self.name}"
            case OriginKind.ENVIRONMENT:
                return f"environment {self.name}"
            case OriginKind.FILE | OriginKind.PROVISIONING:
                return self.name
            case OriginKind.DEFAULT:
                return "default"

    def is_weaker_than(self, other: Origin) -> bool:
        """Whether a value from `other` wins over one from here."""
        return _STRENGTH.index(self.kind) < _STRENGTH.index(other.kind)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """The values in force and where they came from.

    Attributes:
        origins: by the setting's name.
        directory: the installation directory, absolute.
        warnings: what is wrong but stops nothing: unknown keys, a secret that others may read.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    directory: Path
    warnings: tuple[EdgeError, ...] = ()

    @property
    def paths(self) -> InstallationPaths:
        """The files of this installation."""
        return InstallationPaths(self.directory)


@dataclass(slots=True)
class Reading:
    """All that was found, wrong values included.

    Attributes:
        values: by the setting's name; a setting with a wrong value is missing.
        origins: by the setting's name, for every setting.
        wrong: the error of each setting with a wrong value, by its name.
        unknown: one error for each key of `config.json` that is no setting.
        warnings: what is wrong but stops nothing.
        pair: set when a deployment's id and secret do not belong together.
    """

    values: dict[str, object] = field(default_factory=dict, repr=False)
    origins: dict[str, Origin] = field(default_factory=dict)
    wrong: dict[str, EdgeError] = field(default_factory=dict)
    repeated: list[EdgeError] = field(default_factory=list)
    unknown: list[EdgeError] = field(default_factory=list)
    warnings: list[EdgeError] = field(default_factory=list)
    pair: EdgeError | None = None

    @property
    def problems(self) -> list[EdgeError]:
        """What keeps the connector from starting, in the order of the settings."""
        return [*self.repeated, *self.wrong.values(), *([self.pair] if self.pair else [])]


def load(
    directory: Path,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    *,
    strict: bool = False,
) -> LoadedConfig:
    """The settings of the installation in `directory`.

    Args:
        flags: values given on this command line, by the setting's name; None means not given.
        strict: an unknown key in `config.json` is an error, not a warning.

    Raises:
        UserError: the first thing that is wrong.
    """
    reading = read(directory, environ, flags or {})
    for problem in [*reading.problems, *(reading.unknown if strict else [])]:
        raise problem
    values: dict[str, Any] = reading.values
    return LoadedConfig(Settings(**values), reading.origins, directory, (*reading.unknown, *reading.warnings))


def validate(directory: Path, environ: Mapping[str, str]) -> list[EdgeError]:
    """Everything that is wrong with the configuration, unknown keys included; empty when it is right."""
    try:
        reading = read(directory, environ, {})
    except EdgeError as error:
        return [error]
    return [*reading.problems, *reading.unknown, *reading.warnings]


def read(directory: Path, environ: Mapping[str, str], flags: Mapping[str, object]) -> Reading:
    """Look at every place, and keep what is wrong instead of stopping there.

    Raises:
        UserError: `config.json` itself cannot be used.
    """
    directory = directory.absolute()
    file = read_config_file(directory)
    provisioning = read_json_object(InstallationPaths(directory).provisioning_file, prefix="provisioning")
    reading = Reading()
    if file is not None:
        _look_through(file, directory, reading)
    if provisioning is not None:
        # Keys that are no settings are no mistake of a person: whoever packed the download may have noted more in it.
        _look_for_open_secrets(provisioning, InstallationPaths(directory).provisioning_file, reading)
    for name in flags:
        assert name in BY_NAME, f"the command line gave {name}, which is no setting"
    for setting in SETTINGS:
        origin, raw = _find(setting, environ, flags, file, provisioning)
        reading.origins[setting.name] = origin
        try:
            reading.values[setting.name] = _parse(setting, origin, raw, directory)
        except UserError as error:
            reading.wrong[setting.name] = error
    reading.pair = _check_pair(reading)
    return reading


def read_config_file(directory: Path) -> JsonObject | None:
    """What `config.json` holds, unchecked; None when there is none.

    Raises:
        UserError: with a code that begins with `config_`.
    """
    return read_json_object(InstallationPaths(directory).config_file, prefix="config")


def unknown_setting(word: str) -> UserError:
    """The error for a key that is no setting, with the nearest one."""
    shown = word if word.isprintable() and len(word) <= 60 else ascii(word[:60])
    near = nearest_key(word)
    return UserError(
        "unknown_setting",
        f"{shown} is not a setting.",
        hint=f"Did you mean {near}?" if near else "See `edge-connector config show` for all settings.",
    )


def _find(
    setting: Setting,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    file: JsonObject | None,
    provisioning: JsonObject | None,
) -> tuple[Origin, object]:
    if (flag := flags.get(setting.name)) is not None:
        return Origin(OriginKind.FLAG, setting.flag), flag
    for variable in setting.variables:
        # Blank counts as unset: service files and containers set variables they have no value for.
        if environ.get(variable, "").strip():
            return Origin(OriginKind.ENVIRONMENT, variable), environ[variable]
    for kind, found in ((OriginKind.FILE, file), (OriginKind.PROVISIONING, provisioning)):
        for key in (setting.key, *setting.older_keys):
            if found is not None and key in found.values:
                return Origin(kind, _FILES[kind]), found.values[key]
    return Origin(OriginKind.DEFAULT), None


def _parse(setting: Setting, origin: Origin, raw: object, directory: Path) -> object:
    if isinstance(raw, Path):  # what click makes of a path
        raw = str(raw)
    match origin.kind:
        case OriginKind.DEFAULT:
            return default_of(setting, directory=directory)
        case OriginKind.FILE | OriginKind.PROVISIONING:
            return parse_json(setting, raw, place=f"{setting.key} in {origin.name}", directory=directory)
        case OriginKind.FLAG | OriginKind.ENVIRONMENT if isinstance(raw, str):
            return parse_text(setting, raw, place=origin.name, directory=directory)
        case _:
            # A list option of the command line arrives as a tuple.
            raw = list(raw) if isinstance(raw, tuple) else raw
            return parse_json(setting, raw, place=origin.name, directory=directory)


def _look_through(file: JsonObject, directory: Path, reading: Reading) -> None:
    for key in file.repeated:
        if key in BY_KEY:
            reading.repeated.append(
                UserError(
                    "setting_repeated",
                    f"{key} stands more than once in config.json.",
                    hint="Keep one of the lines.",
                )
            )
    for key in file.values:
        setting = BY_KEY.get(key)
        if setting is None:
            error = unknown_setting(key)
            reading.unknown.append(UserError(error.code, f"{error.message[:-1]} (in config.json).", hint=error.hint))
        elif key != setting.key and setting.key in file.values:
            reading.warnings.append(
                UserError(
                    "older_key_ignored",
                    f"{key} in config.json is ignored, because {setting.key} is set as well.",
                    hint=f"Remove {key}.",
                )
            )
    _look_for_open_secrets(file, InstallationPaths(directory).config_file, reading)


def _look_for_open_secrets(file: JsonObject, path: Path, reading: Reading) -> None:
    secrets = [key for key in file.values if key in BY_KEY and BY_KEY[key].secret]
    if secrets and file.is_open_to_others:
        reading.warnings.append(
            UserError(
                "secret_readable_by_others",
                f"{path} holds {' and '.join(secrets)} and may be read by other users.",
                hint=f"Run: chmod 600 {path}",
            )
        )


def _check_pair(reading: Reading) -> EdgeError | None:
    """A deployment's id and secret belong together: neither alone, and no new id with the secret of a weaker place."""
    if not {"deployment_id", "deployment_secret"} <= reading.values.keys():
        return None  # one of them is wrong, which is said already
    name, secret = reading.origins["deployment_id"], reading.origins["deployment_secret"]
    has_id = reading.values["deployment_id"] is not None
    has_secret = reading.values["deployment_secret"] is not None
    if has_id == has_secret and not (has_id and secret.is_weaker_than(name)):
        return None
    there, origin, missing = (
        ("deployment_id", name, "deployment_secret") if has_id else ("deployment_secret", secret, "deployment_id")
    )
    return UserError(
        "half_credentials",
        f"{_spelled(there, origin)} is set ({origin}), but {_spelled(missing, origin)} is not set with it.",
        hint=f"Set both {_spelled('deployment_id', origin)} and {_spelled('deployment_secret', origin)}, or neither.",
    )


def _spelled(name: str, origin: Origin) -> str:
    """A setting's name as it is written in the place `origin`."""
    setting = BY_NAME[name]
    match origin.kind:
        case OriginKind.FLAG:
            return setting.flag
        case OriginKind.ENVIRONMENT:
            return setting.variables[0]
        case _:
            return setting.key
