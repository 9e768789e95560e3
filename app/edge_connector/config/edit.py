"""Changing one key of `config.json`, leaving all others and their order as they are.

It does not ask whether a runtime holds the directory: the caller knows who may write (the holder of the lock).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_connector.config.json_file import MAX_BYTES
from edge_connector.config.loading import OriginKind, read, read_config_file, unknown_setting
from edge_connector.config.paths import InstallationPaths
from edge_connector.config.settings import BY_KEY, Kind, Setting
from edge_connector.config.values import parse_text
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from edge_connector.config.json_file import JsonObject

SCHEMA_VERSION = 1
"""Of the JSON documents about the configuration."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What a change did.

    Attributes:
        key: the key as it stands in `config.json`.
        changed: False when the file already said so.
        file: the path of `config.json`.
        warnings: what is still wrong with the configuration, and what overrides the new value.
    """

    key: str
    changed: bool
    file: Path
    warnings: tuple[EdgeError, ...] = ()


def set_value(directory: Path, key: str, text: str, environ: Mapping[str, str]) -> Edit:
    """Set `key` to what `text` stands for. An older key is replaced by its newer name.

    Raises:
        UserError: no such setting, not a value for it, or the file cannot be used or written.
    """
    setting = BY_KEY.get(key)
    if setting is None:
        raise unknown_setting(key)
    value = parse_text(setting, text, place=key, directory=directory)
    before = _read(directory)
    values = {} if before is None else dict(before.values)
    stored = _as_json(setting, text, value)
    after = {
        (setting.key if name in setting.older_keys and setting.key not in values else name): held
        for name, held in values.items()
        if name == setting.key or name not in setting.older_keys or setting.key not in values
    }
    after[setting.key] = stored
    return _write(directory, setting.key, before, after, environ)


def unset_value(directory: Path, key: str, environ: Mapping[str, str]) -> Edit:
    """Remove `key`, its older names and any key of that spelling, so that an unknown key can be removed as well.

    Raises:
        UserError: neither a setting nor in the file, or the file cannot be used or written.
    """
    setting = BY_KEY.get(key)
    before = _read(directory)
    values = {} if before is None else before.values
    if setting is None and key not in values:
        raise unknown_setting(key)
    names = {key} if setting is None else {setting.key, *setting.older_keys}
    after = {name: held for name, held in values.items() if name not in names}
    return _write(directory, key if setting is None else setting.key, before, after, environ)


def edit_document(edit: Edit) -> dict[str, Any]:
    """A change as the one JSON document of `--json`. The value is left out: it may be a secret."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "key": edit.key,
        "changed": edit.changed,
        "file": str(edit.file),
        "warnings": problem_documents(edit.warnings),
    }


def edit_sentence(edit: Edit, *, verb: str) -> str:
    """What to tell the person after a change; `verb` is `set` or `unset`."""
    if not edit.changed:
        return f"{edit.key} was {'set that way already' if verb == 'set' else 'not set'} in {edit.file}."
    return f"{edit.key} is {verb} in {edit.file}. It counts from the next start."


def problem_documents(problems: Iterable[EdgeError]) -> list[dict[str, str]]:
    """Errors as a JSON list of code, message and hint."""
    return [{"code": problem.code, "message": problem.message, "hint": problem.hint} for problem in problems]


def _read(directory: Path) -> JsonObject | None:
    file = read_config_file(directory)
    if file is not None and file.repeated:
        raise UserError(
            "setting_repeated",
            f"{file.repeated[0]} stands more than once in config.json.",
            hint="Keep one of the lines; then try again.",
        )
    return file


def _as_json(setting: Setting, text: str, value: object) -> object:
    """What the file holds: paths as they were written, for the directory may move; all else in its JSON type."""
    if setting.kind is Kind.PATH:
        return text
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _write(
    directory: Path, key: str, before: JsonObject | None, after: dict[str, object], environ: Mapping[str, str]
) -> Edit:
    path = InstallationPaths(directory).config_file
    # Compared as text: for Python 1 and true are equal, and the order counts.
    changed = _text(after) != _text({} if before is None else before.values)
    has_secret = any(name in BY_KEY and BY_KEY[name].secret for name in after)
    mode = 0o600 if has_secret else 0o644 if before is None else before.mode
    if changed or (before is not None and before.mode != mode):
        data = _text(after).encode()
        if len(data) > MAX_BYTES:  # what could not be read again is not written
            raise UserError(
                "config_too_large",
                f"config.json would become larger than {MAX_BYTES // 1024} KiB.",
                hint="Remove what is no setting from it.",
            )
        # A link, e.g. to a mounted volume, stays a link.
        write_atomically(path.resolve(), data, mode=mode)
    reading = read(directory, environ, {})
    warnings = [*reading.problems, *reading.unknown, *reading.warnings]
    origin = reading.origins[BY_KEY[key].name] if key in BY_KEY else None
    if origin is not None and origin.kind is OriginKind.ENVIRONMENT:
        warnings.insert(
            0,
            UserError(
                "overridden",
                f"{origin.name} is set in the environment and wins over {key} in config.json.",
                hint=f"Unset {origin.name} for the file to count.",
            ),
        )
    return Edit(key, changed, path, tuple(warnings))


def _text(values: Mapping[str, object]) -> str:
    try:
        return json.dumps(values, indent=2) + "\n"
    except RecursionError as error:
        raise UserError(
            "config_not_json", "config.json is nested too deeply.", hint="Correct the file by hand."
        ) from error
