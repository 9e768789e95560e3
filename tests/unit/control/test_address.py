"""Where the command socket is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge_connector.control.address import control_address, prepare_folder
from edge_connector.core.errors import UserError


def test_address_depends_on_the_directory_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert control_address(tmp_path / "a") == control_address(tmp_path / "link")
    assert control_address(tmp_path / "a") != control_address(tmp_path / "b")


def test_a_very_deep_directory_still_has_a_short_address(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["directory"] * 40)
    assert len(os.fsencode(control_address(deep))) <= 107


def test_too_long_a_runtime_folder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with pytest.raises(UserError) as error:
        control_address(tmp_path)
    assert error.value.code == "socket_path_too_long"


def test_folder_is_made_for_this_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir(mode=0o755)
    prepare_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "sockets").symlink_to(tmp_path / "real")
    with pytest.raises(UserError) as error:
        prepare_folder(tmp_path / "sockets")
    assert error.value.code == "socket_folder_unsafe"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away needs root")
@pytest.mark.parametrize("mode", [0o700, 0o777, 0o1777])
def test_folder_of_another_user_is_refused_and_left_alone(tmp_path: Path, mode: int) -> None:
    """In /tmp anybody can make the folder first."""
    folder = tmp_path / "sockets"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, 65534, 65534)
    with pytest.raises(UserError) as error:
        prepare_folder(folder)
    assert error.value.code == "socket_folder_unsafe"
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_folder_that_is_a_file_or_a_dead_link_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("file", "link"):
        with pytest.raises(UserError) as error:
            prepare_folder(tmp_path / name)
        assert error.value.code == "socket_folder_unsafe"


def test_folder_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        prepare_folder(tmp_path / "sockets")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "sockets").stat().st_mode) == 0o700
