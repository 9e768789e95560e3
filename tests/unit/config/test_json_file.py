from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_connector.config.json_file import MAX_BYTES, read_json_object
from edge_connector.core.errors import UserError
from tests.unit.config.permissions import as_ordinary_user


def refused(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_json_object(path, prefix="config")
    assert caught.value.hint
    return caught.value


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_json_object(tmp_path / "config.json", prefix="config") is None


def test_an_object_is_read_with_its_repeated_keys_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1, "b": {"c": 1, "c": 2}, "a": 2, "a": 3}\r\n')
    path.chmod(0o640)
    found = read_json_object(path, prefix="config")
    assert found is not None
    assert found.values == {"a": 3, "b": {"c": 2}}
    assert found.repeated == ("a",)
    assert found.mode == 0o640
    assert found.is_open_to_others
    path.chmod(0o600)
    again = read_json_object(path, prefix="config")
    assert again is not None
    assert not again.is_open_to_others


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"a": 1 "b": 2}',
         "at line 1, column 9 a comma or a closing bracket was expected, but a text in double quotes was found"),
        (b'{\n "a": 1,\n}', "at line 3, column 1 a key in double quotes was expected, but } was found"),
        (b'{"a" 1}', "at line 1, column 6 a colon was expected, but a number was found"),
        (b'{"deploymentSecret": sec_xyz789}',
         "at line 1, column 22 a value was expected, but a word without quotes was found"),
        (b"{'a': 1}", "at line 1, column 2 a key in double quotes was expected, but a single quote was found"),
        (b"// settings\n{}", "at line 1, column 1 a value was expected, but / was found (JSON has no comments)"),
        (b'{"a": ', "at line 1, column 7 a value was expected, but the file ends"),
        (b"{} {}", "at line 1, column 4 the end of the file was expected, but { was found"),
        (b'{"a": "x', "at line 1, column 7 a text begins that has no closing quote"),
        (b'{"a": "x\n"}', "at line 1, column 9 a text holds a line break or another control character"),
        (b'{"a": "C:\\Users"}',
         "at line 1, column 10 a text holds a backslash that begins no valid escape (write \\\\ for a backslash)"),
        (b'{"a": "\\u12"}', "at line 1, column 9 a text holds a \\u that is not followed by four hexadecimal digits"),
        (b'{"a": NaN}', "it holds NaN, which JSON does not know"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it holds a number with too many digits"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b'{\n  "a": "\xff"}', "at line 2, column 9 there is a byte that is not UTF-8"),
    ],
)  # fmt: skip
def test_broken_json_is_explained_with_its_place(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    error = refused(path)
    assert error.code == "config_not_json"
    assert error.message == f"{path} is not valid JSON: {reason}."


@pytest.mark.parametrize(
    ("content", "what"), [("[]", "a list"), ('"x"', "text"), ("null", "null"), ("3", "a number"), ("true", "true")]
)
def test_anything_but_an_object_is_named(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    error = refused(path)
    assert error.code == "config_not_object"
    assert error.message == f"{path} holds {what}, but must hold one JSON object."


def test_a_directory_in_its_place(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert error.code == "config_is_directory"
    assert error.message == f"{tmp_path} is a directory, but must be a file."


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    os.mkfifo(path)
    error = refused(path)
    assert error.code == "config_not_a_file"
    assert error.message == f"{path} is not a regular file."


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    error = refused(path)
    assert error.code == "config_too_large"
    assert error.message == f"{path} is larger than 1024 KiB."


def test_a_file_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file" / "config.json").code == "not_a_directory"


def test_a_file_that_may_not_be_read() -> None:
    with as_ordinary_user() as directory:
        path = directory / "config.json"
        path.write_text("{}")
        path.chmod(0)
        error = refused(path)
        assert error.code == "config_unreadable"
        assert error.message == f"{path} may not be read by this user."


def test_values_do_not_show_in_the_repr(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"deploymentSecret": "sec_xyz789"}')
    assert "sec_xyz789" not in repr(read_json_object(path, prefix="config"))
