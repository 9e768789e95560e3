from __future__ import annotations

import errno
import json
import os
import pwd
import shutil
import stat
import uuid
from pathlib import Path

import pytest

from edge_connector.config.paths import InstallationPaths, choose_directory, instance_id, prepare_directory
from edge_connector.core.errors import UserError
from tests.unit.config.permissions import as_ordinary_user


def test_the_flag_wins_over_the_variable_over_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    assert choose_directory(None, {}) == data / "edge-connector"
    (here / "config.json").write_text("{}")
    assert choose_directory(None, {}) == here
    assert choose_directory(None, {"EC_HOME": ""}) == here
    assert choose_directory(None, {"EC_HOME": "../home"}) == tmp_path / "home"
    assert choose_directory("/srv/edge", {"EC_HOME": "/home"}) == Path("/srv/edge")
    assert choose_directory(Path("sub"), {}) == here / "sub"


def test_a_dangling_link_named_config_json_counts_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").symlink_to("not-mounted-yet")
    assert choose_directory(None, {}) == tmp_path


@pytest.mark.parametrize("given", ["", "a\0b", "\ud800", "~nobody-of-that-name"])
def test_an_unusable_path_is_refused(given: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_directory(given, {})
    assert caught.value.code == "wrong_directory"
    assert caught.value.message == f"--dir is not a usable path: {given!a}."


def test_an_unusable_variable_is_named() -> None:
    with pytest.raises(UserError, match=r"^EC_HOME is not a usable path: 'a\\x00b'\.$"):
        choose_directory(None, {"EC_HOME": "a\0b"})


def test_a_deleted_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert choose_directory(None, {}) == tmp_path / "edge-connector"
    with pytest.raises(UserError) as caught:
        choose_directory("sub", {})
    assert caught.value.message == "--dir is relative, but the current directory does not exist any more."


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)

    def unknown(number: int) -> None:  # a container with a random user id
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(UserError) as caught:
        choose_directory(None, {})
    assert caught.value.code == "no_home_directory"


def test_a_new_directory_is_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert prepare_directory(path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert list(path.iterdir()) == []
    prepare_directory(path)


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError) as caught:
            prepare_directory(path)
        assert caught.value.code == "not_a_directory"
        assert str(tmp_path / "file") in caught.value.message


def test_a_directory_that_may_not_be_written() -> None:
    with as_ordinary_user() as directory:
        inner = directory / "inner"
        inner.mkdir()
        inner.chmod(0o500)
        for path in (inner, inner / "below"):
            with pytest.raises(UserError) as caught:
                prepare_directory(path)
            assert caught.value.code == "not_writable"
            assert "may not be read or written by this user" in caught.value.message
            assert "--dir" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, "disk_full", "No space left on the disk"),
        (errno.EROFS, "not_writable", "is on a read-only file system"),
    ],
)
def test_a_disk_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, said: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError) as caught:
        prepare_directory(tmp_path)
    assert caught.value.code == code
    assert said in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_the_identity_stays(tmp_path: Path) -> None:
    first = instance_id(tmp_path)
    assert uuid.UUID(first).version == 4
    assert instance_id(tmp_path) == first
    path = InstallationPaths(tmp_path).instance_file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_copied_directory_gets_an_identity_of_its_own(tmp_path: Path) -> None:
    first = instance_id(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = instance_id(tmp_path / "b")
    assert second != first
    assert instance_id(tmp_path / "a") == first
    assert instance_id(tmp_path / "b") == second


def test_a_directory_reached_through_a_link_keeps_its_identity(tmp_path: Path) -> None:
    first = instance_id(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    assert instance_id(tmp_path / "link") == first


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"instanceId": 7}', '{"instanceId": "x", "directory": "%s"}']
)
def test_a_damaged_identity_mends_itself(tmp_path: Path, content: str) -> None:
    path = InstallationPaths(tmp_path).instance_file
    path.write_text(content.replace("%s", str(tmp_path)))
    made = instance_id(tmp_path)
    assert json.loads(path.read_text())["instanceId"] == made
    assert instance_id(tmp_path) == made


def test_an_identity_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    InstallationPaths(tmp_path).instance_file.mkdir()
    with pytest.raises(UserError) as caught:
        instance_id(tmp_path)
    assert caught.value.code == "instance_is_directory"


def test_every_path_lies_in_the_directory(tmp_path: Path) -> None:
    paths = InstallationPaths(tmp_path)
    names = [name for name in dir(InstallationPaths) if isinstance(getattr(InstallationPaths, name), property)]
    found = [getattr(paths, name) for name in names]
    assert len(found) == len(set(found)) >= 10
    assert all(tmp_path in path.parents for path in found)
    assert paths.config_file.name == "config.json"
    assert paths.lock_file.name == "edge-runtime.lock"
    assert paths.manifest.name == "manifest.json"
    assert paths.dist.name == "dist"
