"""The Windows installer compiles, and its uninstaller names every file of the payload. It is not run here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_connector import __version__
from tests.support.documents import ROOT

SCRIPT = ROOT / "installers/windows/build_installer.py"
FILES = [
    "edge-connector.exe",
    "edge-connector-desktop.exe",
    "_internal/LICENSE",
    "_internal/deep/er/a b.pyc",
    "_internal/$x",
]


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    """Placeholders in the places of a real build's files."""
    for name in FILES:
        file = tmp_path / "payload" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("placeholder\n" * 100)
    return tmp_path / "payload"


def build(payload: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(payload), str(target)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)


def test_the_installer_compiles(payload: Path, tmp_path: Path) -> None:
    ended = build(payload, tmp_path / "dist")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    installer = tmp_path / "dist" / f"edge-connector-{__version__}-setup.exe"
    assert ended.stdout.splitlines()[-1] == str(installer)
    data = installer.read_bytes()
    assert data.startswith(b"MZ")
    assert b"NullsoftInst" in data


def test_the_uninstaller_removes_exactly_what_was_installed(payload: Path) -> None:
    code = (
        "import runpy, sys; from pathlib import Path\n"
        f"print(runpy.run_path({str(SCRIPT)!r})['removal'](Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(payload)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True).stdout.split("\n")
    deleted = [re.sub(r"\$\$", "$", line).replace("\\", "/") for line in lines if line.startswith("Delete")]
    assert sorted(deleted) == sorted(f'Delete "$INSTDIR/{name}"' for name in FILES)
    folders = [line.rpartition("\\")[2] for line in lines if line.startswith("RMDir")]
    assert folders == ['er"', 'deep"', '_internal"']


def test_a_folder_that_is_no_build_is_refused(payload: Path, tmp_path: Path) -> None:
    (payload / "edge-connector.exe").unlink()
    ended = build(payload, tmp_path / "dist")
    assert ended.returncode != 0
    assert "edge-connector.exe missing" in ended.stderr
    assert not (tmp_path / "dist").exists()


def test_it_asks_for_no_administrator_and_keeps_data_unless_asked() -> None:
    script = (ROOT / "installers/windows/edge-connector.nsi").read_text()
    assert "RequestExecutionLevel user" in script
    assert "HKLM" not in script
    (recursive,) = re.findall(r"^.*RMDir /r.*$", script, re.MULTILINE)
    assert recursive.strip() == r'RMDir /r "$LOCALAPPDATA\edge-connector"'
    assert script.index("Section /o") < script.index(recursive)
