"""`edge-connector autostart`: what it prints and how it ends, in a home of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_connector.autostart.entry import entry_name
from edge_connector.cli.autostart import autostart
from edge_connector.core.errors import UserError


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path / "user"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "installation").mkdir()
    return tmp_path / "installation"


def command(home: Path, *words: str) -> Result:
    return CliRunner().invoke(autostart, [*words, "--dir", str(home)], standalone_mode=False)


def document(home: Path, *words: str) -> dict[str, Any]:
    result = command(home, *words, "--json")
    assert result.exception is None
    loaded: dict[str, Any] = json.loads(result.stdout)
    return loaded


@pytest.mark.parametrize("flags", [(), ("--runtime",)])
def test_one_document_each(user: Path, home: Path, flags: tuple[str, ...]) -> None:
    off = document(home, "status", *flags)
    assert (off["enabled"], off["wouldStart"], off["command"]) == (False, False, [])
    on = document(home, "enable", *flags)
    assert (on["enabled"], on["wouldStart"], on["programExists"], on["problem"]) == (True, True, True, "")
    assert Path(on["entry"]).is_relative_to(user)
    assert on["kind"] == ("runtime" if flags else "desktop")
    assert document(home, "status", *flags) == on
    gone = document(home, "disable", *flags)
    assert gone["removed"][0] == on["entry"]
    assert document(home, "disable", *flags)["removed"] == []


def test_the_words_for_a_person(user: Path, home: Path) -> None:
    assert "off" in command(home, "status").stdout
    assert "next login" in command(home, "enable").stdout
    shown = command(home, "status")
    assert shown.return_value == 0
    assert "--auto-resume --hidden" in shown.stdout
    assert "Removed: " in command(home, "disable").stdout
    assert "already" in command(home, "disable").stdout
    assert "login" in command(home, "enable", "--runtime").stdout


def test_a_problem_is_an_exit_code_a_sentence_and_a_cure(user: Path, home: Path) -> None:
    entry = Path(document(home, "enable")["entry"])
    entry.write_text(entry.read_text().replace(f"Exec={Path(sys.executable).parent}", "Exec=/gone"))
    shown = command(home, "status")
    assert shown.return_value == 1
    assert "which is not there any more" in shown.stderr
    assert "fix: Run `edge-connector autostart enable" in shown.stderr
    assert entry_name(home) in shown.stdout


def test_refused_by_the_variable(user: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EC_DISABLE_AUTOSTART", "1")
    result = command(home, "enable", "--json")
    assert isinstance(result.exception, UserError)
    assert result.exception.code == "autostart_disabled"
    assert not user.exists()
