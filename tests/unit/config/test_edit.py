from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_connector.config.edit import Edit, set_value, unset_value
from edge_connector.config.loading import load
from edge_connector.core.errors import UserError
from tests.unit.config.permissions import as_ordinary_user


def content(directory: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((directory / "config.json").read_text())
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("key", "text", "stored"),
    [
        ("healthPort", "9000", 9000),
        ("toolTimeoutS", "90", 90),
        ("toolTimeoutS", "2.5", 2.5),
        ("disableTray", "on", True),
        ("connectorType", "server", "SERVER"),
        ("toolEnvironment", "A, B", ["A", "B"]),
        ("authTokenPath", "keys/token.json", "keys/token.json"),
        ("toolRpcUrl", "wss://rpc.example.org", "wss://rpc.example.org"),
    ],
)
def test_a_value_is_stored_in_its_json_type_and_read_back(tmp_path: Path, key: str, text: str, stored: object) -> None:
    edit = set_value(tmp_path, key, text, {})
    assert edit == Edit(key, True, tmp_path / "config.json")
    assert content(tmp_path) == {key: stored}
    assert type(content(tmp_path)[key]) is type(stored)
    load(tmp_path, {}, strict=True)


def test_other_keys_and_their_order_stay(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"colour": {"deep": [1, {"x": null}]}, "healthPort": 1, "logLevel": "info"}')
    edit = set_value(tmp_path, "healthPort", "2", {})
    assert (
        path.read_text()
        == json.dumps({"colour": {"deep": [1, {"x": None}]}, "healthPort": 2, "logLevel": "info"}, indent=2) + "\n"
    )
    assert [warning.code for warning in edit.warnings] == ["unknown_setting"]
    set_value(tmp_path, "toolQueue", "7", {})
    assert list(content(tmp_path)) == ["colour", "healthPort", "logLevel", "toolQueue"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]


def test_setting_the_same_value_changes_nothing(tmp_path: Path) -> None:
    set_value(tmp_path, "healthPort", "9000", {})
    before = (tmp_path / "config.json").stat()
    assert set_value(tmp_path, "healthPort", "9000", {}).changed is False
    after = (tmp_path / "config.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_true_in_the_place_of_one_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"disableTray": 1}')
    assert set_value(tmp_path, "disableTray", "1", {}).changed is True
    assert content(tmp_path)["disableTray"] is True


@pytest.mark.parametrize("before", [{"customImplementationsPath": "old", "healthPort": 1}])
def test_an_older_key_is_replaced_in_its_place(tmp_path: Path, before: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(before))
    edit = set_value(tmp_path, "customImplementationsPath", "new", {})
    assert edit.key == "implementationsPath"
    assert list(content(tmp_path).items()) == [("implementationsPath", "new"), ("healthPort", 1)]


def test_both_spellings_become_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"customImplementationsPath": "a", "implementationsPath": "b"}')
    set_value(tmp_path, "implementationsPath", "c", {})
    assert content(tmp_path) == {"implementationsPath": "c"}
    unset_value(tmp_path, "customImplementationsPath", {})
    assert content(tmp_path) == {}


CHANGES: list[Callable[[Path, str], Edit]] = [
    lambda directory, key: set_value(directory, key, "1", {}),
    lambda directory, key: unset_value(directory, key, {}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path, change: Callable[[Path, str], Edit]) -> None:
    with pytest.raises(UserError) as caught:
        change(tmp_path, "HEALTH_PORT")
    assert caught.value.code == "unknown_setting"
    assert caught.value.message == "HEALTH_PORT is not a setting."
    assert caught.value.hint == "Did you mean healthPort?"
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_value_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    set_value(tmp_path, "healthPort", "9000", {})
    with pytest.raises(UserError) as caught:
        set_value(tmp_path, "healthPort", "99999", {})
    assert caught.value.message == "healthPort must be a whole number from 0 to 65535, but is 99999."
    assert content(tmp_path) == {"healthPort": 9000}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("broken", "code"), [("{", "config_not_json"), ('{"logLevel": 1, "logLevel": 2}', "setting_repeated")]
)
def test_a_broken_file_is_left_alone(
    tmp_path: Path, change: Callable[[Path, str], Edit], broken: str, code: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(broken)
    with pytest.raises(UserError) as caught:
        change(tmp_path, "healthPort")
    assert caught.value.code == code
    assert path.read_text() == broken


def test_a_key_can_be_unset_also_when_it_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"colour": 1, "healthPort": "x", "logLevel": "info"}')
    assert unset_value(tmp_path, "colour", {}).changed is True
    assert unset_value(tmp_path, "healthPort", {}).changed is True
    assert content(tmp_path) == {"logLevel": "info"}
    assert unset_value(tmp_path, "healthPort", {}).changed is False


def test_unset_without_a_file_makes_none(tmp_path: Path) -> None:
    assert unset_value(tmp_path, "healthPort", {}).changed is False
    assert list(tmp_path.iterdir()) == []


def test_a_secret_makes_the_file_private(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    set_value(tmp_path, "healthPort", "9000", {})
    assert mode(path) == 0o644
    edit = set_value(tmp_path, "deploymentSecret", "sec_xyz789", {})
    assert mode(path) == 0o600
    assert [warning.code for warning in edit.warnings] == ["half_credentials"]
    assert "sec_xyz789" not in repr(edit)
    assert set_value(tmp_path, "deploymentId", "dep_abc123", {}).warnings == ()
    path.chmod(0o644)
    assert set_value(tmp_path, "deploymentSecret", "sec_xyz789", {}).changed is False
    assert mode(path) == 0o600


def test_the_mode_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0o640)
    set_value(tmp_path, "healthPort", "9000", {})
    assert mode(path) == 0o640


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "real.json").write_text("{}")
    (tmp_path / "config.json").symlink_to("mounted/real.json")
    set_value(tmp_path, "healthPort", "9000", {})
    assert (tmp_path / "config.json").is_symlink()
    assert json.loads((tmp_path / "mounted" / "real.json").read_text()) == {"healthPort": 9000}


def test_a_variable_that_wins_is_named(tmp_path: Path) -> None:
    [warning] = set_value(tmp_path, "healthPort", "9000", {"HEALTH_PORT": "9001"}).warnings
    assert warning.code == "overridden"
    assert warning.message == "HEALTH_PORT is set in the environment and wins over healthPort in config.json."


def test_a_directory_that_may_not_be_written_keeps_the_file() -> None:
    with as_ordinary_user() as directory:
        (directory / "config.json").write_text('{"healthPort": 1}')
        directory.chmod(0o500)
        with pytest.raises(UserError) as caught:
            set_value(directory, "healthPort", "2", {})
        assert caught.value.code == "not_writable"
        assert content(directory) == {"healthPort": 1}


def test_nothing_is_left_behind_when_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_value(tmp_path, "healthPort", "1", {})

    def fail(source: str, target: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError) as caught:
        set_value(tmp_path, "healthPort", "2", {})
    assert caught.value.code == "disk_full"
    assert content(tmp_path) == {"healthPort": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("depth", [900, 940, 960, 990])
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "config.json"
    before = '{"colour": ' + "[" * depth + "]" * depth + "}"
    path.write_text(before)
    with pytest.raises(UserError) as caught:
        set_value(tmp_path, "healthPort", "1", {})
    # Which of the two depends on how much of the stack is in use.
    assert caught.value.code in ("config_too_large", "config_not_json")
    assert path.read_text() == before
