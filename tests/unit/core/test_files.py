from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edge_connector.core.errors import UserError
from edge_connector.core.files import explain_os_error, os_error_as_user_error, write_atomically


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"", mode=mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_secret_is_never_readable_by_others_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    replace = os.replace

    def watched(source: str, target: Path) -> None:
        seen.append(stat.S_IMODE(os.stat(source).st_mode))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_atomically(tmp_path / "file", b"secret", mode=0o600)
    assert seen == [0o600]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError) as caught:
        write_atomically(path, b"new")
    assert caught.value.code == "disk_full"
    assert str(path) in caught.value.message and caught.value.hint
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        write_atomically(tmp_path / "file" / "below", b"")
    assert caught.value.code == "not_a_directory"
    assert str(tmp_path / "file") in caught.value.message


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EACCES, "not_writable"),
        (errno.EPERM, "not_writable"),
        (errno.EROFS, "not_writable"),
        (errno.ENOTDIR, "not_a_directory"),
        (errno.EEXIST, "not_a_directory"),
        (errno.EIO, "file_error"),
    ],
)
def test_what_the_system_says_becomes_a_sentence_with_a_next_step(number: int, code: str) -> None:
    path = Path("/srv/thing")
    with pytest.raises(UserError) as caught, explain_os_error(path):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == code
    assert caught.value.message.endswith(".") and str(path) in caught.value.message
    assert caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)


def test_a_read_only_disk_is_named_as_such() -> None:
    error = os_error_as_user_error(OSError(errno.EROFS, "x"), Path("/srv/thing"))
    assert "read-only" in error.message


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), explain_os_error(Path("/srv/thing")):
        raise KeyError("x")
