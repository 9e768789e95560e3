"""The Exec line: our writing and reading agree with each other, with the specification and with GLib."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.autostart import desktop_entry
from tests.support.waiting import eventually_sync
from tests.unit.autostart.launches import HARD_WORDS, words

TABLE = [
    (("/usr/bin/x", "--dir", "/a"), "/usr/bin/x --dir /a"),
    (("/opt/My Tools/x",), '"/opt/My Tools/x"'),
    (("x", ""), 'x ""'),
    (("x", "100%"), "x 100%%"),
    (("x", "$HOME"), r'x "\\$HOME"'),
    (("x", "a\\b"), r'x "a\\\\b"'),
    (("x", 'say "hi"'), r'x "say \\"hi\\""'),
    (("x", "`id`"), r'x "\\`id\\`"'),
    (("x", "it's"), 'x "it\'s"'),
    (("x", "täst"), "x täst"),
]
"""Command and Exec value, written by hand from the specification."""


@pytest.mark.parametrize(("command", "line"), TABLE)
def test_exec_line_of_the_specification(command: tuple[str, ...], line: str) -> None:
    assert desktop_entry.exec_line(command) == line
    assert desktop_entry.parse_exec(line) == command


@given(st.lists(words, min_size=1, max_size=6))
def test_every_command_is_read_back(command: list[str]) -> None:
    line = desktop_entry.exec_line(command)
    assert "\n" not in line
    assert desktop_entry.parse_exec(line) == tuple(command)


@given(words)
def test_every_string_is_read_back(text: str) -> None:
    entry = desktop_entry.parse(desktop_entry.render({"Name": desktop_entry.escape(text.rstrip())}))
    assert desktop_entry.unescape(entry["Name"]) == text.rstrip()


@pytest.mark.parametrize("line", ['x "open', "x %f", "x 'single'", "x $HOME", r"x \q", "x \\"])
def test_a_line_that_is_no_command_is_refused(line: str) -> None:
    with pytest.raises(desktop_entry.EntryError):
        desktop_entry.parse_exec(line)


@pytest.mark.parametrize("text", ["", "# nothing", "Exec=x", "[Desktop Entry]\nno key", "[Other]\nExec=x"])
def test_text_that_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(desktop_entry.EntryError):
        desktop_entry.parse(text)


def test_other_groups_and_comments_are_passed_over() -> None:
    text = "# c\n[Desktop Entry]\nExec = x\n\n[Desktop Action a]\nExec=y\n"
    assert desktop_entry.parse(text) == {"Exec": "x"}


def entry_file(path: Path, command: list[str]) -> Path:
    values = {"Type": "Application", "Name": "x", "Exec": desktop_entry.exec_line(command)}
    path.write_text(desktop_entry.render(values), encoding="utf-8")
    return path


def test_desktop_file_validate_accepts_every_line(tmp_path: Path) -> None:
    validator = shutil.which("desktop-file-validate")
    assert validator, "desktop-file-utils is not installed"
    entry = entry_file(tmp_path / "hard.desktop", ["/usr/bin/x y", *HARD_WORDS])
    ended = subprocess.run([validator, str(entry)], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


GLIB_LAUNCH = """
import ctypes, sys
gio = ctypes.CDLL("libgio-2.0.so.0")
gio.g_desktop_app_info_new_from_filename.restype = ctypes.c_void_p
app = gio.g_desktop_app_info_new_from_filename(sys.argv[1].encode())
assert app, "GLib does not read the entry"
assert gio.g_app_info_launch(ctypes.c_void_p(app), None, None, None), "GLib does not launch it"
"""


def test_glib_starts_the_program_with_exactly_these_words(tmp_path: Path) -> None:
    """The judge is the library with which GNOME, Xfce and others start their autostart entries."""
    folder = tmp_path / "a $folder `with` \"all\" 'of' it \\ &"
    folder.mkdir()
    recorder, record = folder / "recorder", tmp_path / "record.json"
    recorder.write_text(
        f"#!{sys.executable}\nimport json, os, sys\nwith open({str(record)!r} + '.part', 'w') as file:\n"
        f"    json.dump(sys.argv[1:], file)\nos.rename({str(record)!r} + '.part', {str(record)!r})\n"
    )
    recorder.chmod(0o755)
    entry = entry_file(tmp_path / "hard.desktop", [str(recorder), *HARD_WORDS])
    ended = subprocess.run(
        [sys.executable, "-c", GLIB_LAUNCH, str(entry)], capture_output=True, text=True, timeout=20
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    eventually_sync(record.exists, what="the started program wrote its words", deadline_s=10)
    assert json.loads(record.read_text()) == HARD_WORDS
