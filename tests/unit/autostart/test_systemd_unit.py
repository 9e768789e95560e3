"""The user unit: our writing and reading agree, and systemd finds no fault and the very program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.autostart import systemd_unit
from tests.unit.autostart.launches import HARD_WORDS, words


@given(st.lists(words, min_size=1, max_size=6), words)
def test_every_command_is_read_back(command: list[str], directory: str) -> None:
    assert systemd_unit.parse(systemd_unit.render(command, directory)) == (tuple(command), directory)


@pytest.mark.parametrize("line", ["", "ExecStart=", 'ExecStart="open', r'ExecStart="a\x41"'])
def test_text_that_is_no_unit_of_ours_is_refused(line: str) -> None:
    with pytest.raises(systemd_unit.UnitError):
        systemd_unit.parse(f"[Service]\n{line}\n")


def test_a_unit_edited_by_hand_is_read() -> None:
    assert systemd_unit.parse("[Service]\nExecStart=/usr/bin/x run  --dir /a\n")[0] == (
        "/usr/bin/x",
        "run",
        "--dir",
        "/a",
    )


def verify(unit: Path) -> tuple[int, str]:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd is not installed"
    command = [analyze, "--user", "--recursive-errors=no", "--man=no", "verify", str(unit)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(unit.parent)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    return ended.returncode, ended.stdout + ended.stderr


def test_systemd_accepts_the_unit_and_finds_the_program(tmp_path: Path) -> None:
    folder = tmp_path / "a $folder with ; & 100%"
    folder.mkdir()
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "edge-connector-test.service"
    unit.write_text(systemd_unit.render([str(program), *HARD_WORDS], "/a/b 100%"))
    assert verify(unit) == (0, "")
    program.unlink()
    code, said = verify(unit)
    assert code != 0
    assert "not executable" in said  # so the check above would have told


def test_systemd_takes_no_quote_in_the_path_of_a_program(tmp_path: Path) -> None:
    """Why such an installation is refused when its entry is checked."""
    unit = tmp_path / "edge-connector-test.service"
    unit.write_text(systemd_unit.render(["/opt/o'brien/program"], "/a"))
    code, said = verify(unit)
    assert code != 0
    assert "special characters" in said
