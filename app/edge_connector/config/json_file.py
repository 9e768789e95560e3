"""Reading a small JSON object from a file that a person may have edited, with an error for each way it can be wrong.

It does not know what the keys mean. No message quotes the file's content: it may hold secrets.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_connector.core.errors import UserError
from edge_connector.core.files import os_error_as_user_error

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024
"""A thousand times more than any real one; it keeps a mistaken path from filling the memory."""

_EXPECTED = {
    "Expecting value": "a value was expected",
    "Expecting property name": "a key in double quotes was expected",
    "Expecting ':'": "a colon was expected",
    "Expecting ','": "a comma or a closing bracket was expected",
    "Extra data": "the end of the file was expected",
    "Unterminated string": "a text begins that has no closing quote",
    "Invalid control character": "a text holds a line break or another control character",
    "Invalid \\escape": "a text holds a backslash that begins no valid escape (write \\\\ for a backslash)",
    "Invalid \\uXXXX": "a text holds a \\u that is not followed by four hexadecimal digits",
    "Illegal trailing comma": "a comma stands before a closing bracket",
}


@dataclass(frozen=True, slots=True)
class JsonObject:
    """The top-level object of a file.

    Attributes:
        values: the values by key; of a repeated key the last one.
        repeated: the keys that occur more than once, each once, in order.
        mode: the permission bits of the file.
    """

    values: dict[str, object] = field(repr=False)
    repeated: tuple[str, ...]
    mode: int

    @property
    def is_open_to_others(self) -> bool:
        """Whether group or others may read the file; never on Windows, which has no such bits."""
        return os.name == "posix" and bool(self.mode & 0o077)


class _Object(dict[str, object]):
    """A JSON object that remembers which of its keys were repeated."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = tuple(key for key, count in counts.items() if count > 1)


class _NotJson(ValueError):
    """A word that Python's parser takes and JSON does not know (NaN, Infinity)."""


def read_json_object(path: Path, *, prefix: str, hint: str = "") -> JsonObject | None:
    """The JSON object in `path`; None when there is no such file.

    Raises:
        UserError: with code `{prefix}_is_directory`, `{prefix}_not_a_file`, `{prefix}_unreadable`,
            `{prefix}_too_large`, `{prefix}_not_json` or `{prefix}_not_object`.
    """
    found = _read_bytes(path, prefix=prefix)
    if found is None:
        return None
    data, mode = found
    document = _parse(data, path, prefix=prefix, hint=hint)
    if not isinstance(document, _Object):
        raise UserError(
            f"{prefix}_not_object",
            f"{path} holds {describe_type(document)}, but must hold one JSON object.",
            hint=hint or "Write the values between { and }.",
        )
    return JsonObject(document, document.repeated, mode)


def describe_type(value: object) -> str:
    """A parsed JSON value's type in words, to follow `is` or `holds`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case int() | float():
            return "a number"
        case dict():
            return "an object"
        case _:
            return "a list"


def _read_bytes(path: Path, *, prefix: str) -> tuple[bytes, int] | None:
    try:
        # Not blocking: opening a named pipe would otherwise wait for a writer for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _read_error(error, path, prefix=prefix) from error
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise _is_directory(path, prefix=prefix)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                f"{prefix}_not_a_file",
                f"{path} is not a regular file.",
                hint="Put a regular file there, or choose another path.",
            )
        data = b""
        while len(data) <= MAX_BYTES and (chunk := os.read(handle, MAX_BYTES + 1)):
            data += chunk
    except OSError as error:
        raise _read_error(error, path, prefix=prefix) from error
    finally:
        os.close(handle)
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{prefix}_too_large",
            f"{path} is larger than {MAX_BYTES // 1024} KiB.",
            hint="Check that the path names the right file.",
        )
    return data, stat.S_IMODE(status.st_mode)


def _is_directory(path: Path, *, prefix: str) -> UserError:
    return UserError(
        f"{prefix}_is_directory",
        f"{path} is a directory, but must be a file.",
        hint="Move the directory away, or choose another path.",
    )


def _read_error(error: OSError, path: Path, *, prefix: str) -> UserError:
    if error.errno in (errno.EACCES, errno.EPERM):
        if path.is_dir():  # Windows refuses to open a directory with EACCES
            return _is_directory(path, prefix=prefix)
        return UserError(
            f"{prefix}_unreadable",
            f"{path} may not be read by this user.",
            hint="Give this user the right to read it.",
        )
    return os_error_as_user_error(error, path)


def _parse(data: bytes, path: Path, *, prefix: str, hint: str) -> object:
    hint = hint or "Correct the file at this place."

    def broken(reason: str) -> UserError:
        return UserError(f"{prefix}_not_json", f"{path} is not valid JSON: {reason}.", hint=hint)

    try:
        text = data.decode("utf-8-sig")  # editors on Windows begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise broken(f"at line {line}, column {column} there is a byte that is not UTF-8") from error
    if not text.strip():
        raise broken("it is empty")
    try:
        return json.loads(text, object_pairs_hook=_Object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"at line {error.lineno}, column {error.colno}"
        raise broken(f"{place} {_explain(error.msg, text, error.pos)}") from error
    except _NotJson as error:
        raise broken(f"it holds {error}, which JSON does not know") from error
    except ValueError as error:  # Python refuses to convert integers of thousands of digits
        raise broken("it holds a number with too many digits") from error
    except RecursionError as error:
        raise broken("it is nested too deeply") from error


def _refuse_constant(word: str) -> object:
    raise _NotJson(word)


def _explain(reason: str, text: str, position: int) -> str:
    for start, words in _EXPECTED.items():
        if reason.startswith(start):
            return f"{words}, but {_found(text, position)}" if words.endswith("expected") else words
    return "something else was expected"


def _found(text: str, position: int) -> str:
    """What stands at `position`, in words: a single sign is named, a word is not, for it may be part of a secret."""
    if not text[position:].strip():
        return "the file ends"
    sign = text[position]
    if sign == '"':
        return "a text in double quotes was found"
    if sign == "'":
        return "a single quote was found"
    if sign in "{}[]:,":
        return f"{sign} was found"
    if sign == "/" or sign == "#":
        return f"{sign} was found (JSON has no comments)"
    if sign.isdigit() or sign == "-":
        return "a number was found"
    return "a word without quotes was found"
