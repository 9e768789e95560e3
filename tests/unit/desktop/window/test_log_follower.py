"""Reading a log's end and what comes after, through rotation and cutting."""

from __future__ import annotations

from pathlib import Path

from edge_connector.desktop.window.log_follower import TAIL_BYTES, read_after


def test_the_end_of_a_long_file_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%08d\n" % number for number in range(40_000)))
    identity, offset, data = read_after(path, None, 0)
    assert identity is not None and offset == path.stat().st_size
    assert len(data) <= TAIL_BYTES and len(data.split(b"\n")[0]) == 8 and data.endswith(b"00039999\n")


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    identity, offset, data = read_after(path, None, 0)
    assert data == b"one\n"
    assert read_after(path, identity, offset)[2] == b""
    with path.open("ab") as file:
        file.write(b"two\n")
    assert read_after(path, identity, offset)[1:] == (8, b"two\n")


def test_another_file_of_the_name_and_a_cut_one_are_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a long first line\n")
    identity, offset, _ = read_after(path, None, 0)
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"new\n")
    other, offset, data = read_after(path, identity, offset)
    assert other != identity and data == b"new\n"
    path.write_bytes(b"x\n")
    assert read_after(path, other, offset)[2] == b"x\n"


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert read_after(tmp_path / "none", (1, 2), 30) == (None, 0, b"")
