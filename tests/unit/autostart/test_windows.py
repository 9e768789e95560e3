"""The Run key's logic over a registry in memory; winreg itself is Windows' own and not run here."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.autostart.entry import Kind, Launch
from edge_connector.autostart.windows import APPROVED, RUN, WindowsAutostart, split_command
from edge_connector.autostart.windows_registry import user_registry
from edge_connector.core.errors import UserError
from tests.unit.autostart.launches import HARD_WORDS, words


class MemoryRegistry:
    """Keys and values in a dictionary."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, str | bytes]] = {}

    def read(self, key: str) -> Mapping[str, str | bytes]:
        return self.keys.get(key, {})

    def write(self, key: str, name: str, value: str) -> None:
        self.keys.setdefault(key, {})[name] = value

    def delete(self, key: str, name: str) -> None:
        self.keys.get(key, {}).pop(name, None)


PROGRAM = r"C:\Program Files\Edge Connector\edge-connector-desktop.exe"
LAUNCH = Launch(Kind.DESKTOP, Path("C:/Users/a b"), (PROGRAM, "--dir", r"C:\Users\a b", "--hidden"))


@given(st.lists(words, min_size=1, max_size=6))
def test_every_command_is_read_back(command: list[str]) -> None:
    assert split_command(subprocess.list2cmdline(command)) == tuple(command)


def test_hard_words_are_read_back() -> None:
    assert split_command(subprocess.list2cmdline(HARD_WORDS)) == tuple(HARD_WORDS)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (r'"a b c" d e', ("a b c", "d", "e")),
        (r'"ab\"c" "\\" d', ('ab"c', "\\", "d")),
        (r"a\\b d", (r"a\\b", "d")),
        (r"a\\\b d", (r"a\\\b", "d")),
        (r'a\\\"b c d', (r"a\"b", "c", "d")),
        (r'a\\\\"b c" d e', (r"a\\b c", "d", "e")),
        ("  ", ()),
    ],
)  # fmt: skip
def test_splitting_as_microsoft_documents_it(line: str, command: tuple[str, ...]) -> None:
    assert split_command(line) == command


def test_the_value_is_written_read_back_and_removed() -> None:
    registry = MemoryRegistry()
    system = WindowsAutostart(registry)
    system.install(LAUNCH)
    expected = rf'"{PROGRAM}" --dir "C:\Users\a b" --hidden'
    assert registry.keys[RUN] == {LAUNCH.name: expected}
    found = system.find(LAUNCH.name, Kind.DESKTOP)
    assert found is not None
    assert (found.command, found.directory, found.refusal) == (LAUNCH.command, r"C:\Users\a b", "")
    assert found.place == rf"HKEY_CURRENT_USER\{RUN}\{LAUNCH.name}"
    assert system.remove(found.place, Kind.DESKTOP) == [found.place]
    assert system.remove(found.place, Kind.DESKTOP) == []
    assert system.find(LAUNCH.name, Kind.DESKTOP) is None


@pytest.mark.parametrize(("mark", "off"), [(b"\x03" + bytes(11), True), (b"\x02" + bytes(11), False), (b"", False)])
def test_what_the_task_manager_switched_off_is_told_and_mended(mark: bytes, off: bool) -> None:
    registry = MemoryRegistry()
    system = WindowsAutostart(registry)
    system.install(LAUNCH)
    registry.keys[APPROVED] = {LAUNCH.name: mark}
    found = system.find(LAUNCH.name, Kind.DESKTOP)
    assert found is not None
    assert ("switched off" in found.refusal) is off
    system.install(LAUNCH)
    found = system.find(LAUNCH.name, Kind.DESKTOP)
    assert found is not None
    assert found.refusal == ""


def test_values_of_other_programs_and_types_are_left_alone() -> None:
    registry = MemoryRegistry()
    registry.keys[RUN] = {"OneDrive": "onedrive.exe", "edge-connector-0": b"\0"}
    system = WindowsAutostart(registry)
    assert [entry.command for entry in system.entries(Kind.DESKTOP)] == [()]


def test_a_command_that_windows_would_pass_over_is_refused() -> None:
    registry = MemoryRegistry()
    with pytest.raises(UserError, match="260"):
        WindowsAutostart(registry).install(Launch(Kind.DESKTOP, Path("x"), ("C:\\" + "a" * 300,)))
    assert registry.keys == {}


def test_the_headless_runtime_is_refused() -> None:
    with pytest.raises(UserError, match="headless"):
        WindowsAutostart(MemoryRegistry()).place("edge-connector-0", Kind.RUNTIME)


def test_other_systems_have_no_registry() -> None:
    with pytest.raises(UserError, match="registry"):
        user_registry()
