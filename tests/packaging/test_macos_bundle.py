"""The property lists of the macOS bundle are well-formed and say what the program needs. They are not used here."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_connector.autostart.entry import Kind
from edge_connector.autostart.program import launch_of
from tests.support.documents import ROOT

FOLDER = ROOT / "installers/macos"


@pytest.mark.parametrize("name", ["Info.plist", "edge-connector.plist"])
def test_property_lists_are_read_alike_by_two_readers(name: str) -> None:
    tool = shutil.which("plistutil")
    assert tool, "libplist-utils is not installed"
    command = [tool, "-i", str(FOLDER / name), "-o", "-", "-f", "bin"]
    read = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout
    assert plistlib.loads(read) == plistlib.loads((FOLDER / name).read_bytes())


def test_the_bundle_lives_in_the_menu_bar_and_is_never_put_to_sleep() -> None:
    bundle = plistlib.loads((FOLDER / "Info.plist").read_bytes())
    assert bundle["CFBundleExecutable"] == "edge-connector-desktop"
    assert bundle["LSUIElement"] is True
    assert bundle["NSAppSleepDisabled"] is True
    assert 'installers" / "macos" / "Info.plist' in (ROOT / "pyinstaller.spec").read_text()


def test_the_agent_starts_as_the_program_s_own_would() -> None:
    agent = plistlib.loads((FOLDER / "edge-connector.plist").read_bytes())
    own = launch_of(Path("/a"), Kind.DESKTOP).command
    assert agent["ProgramArguments"][1:] == [word for word in own[1:] if word in ("--auto-resume", "--hidden")]
    assert agent["RunAtLoad"] is True
