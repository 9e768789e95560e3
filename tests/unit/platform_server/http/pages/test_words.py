"""Words of pages: moments, browsers, actions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_connector.platform_server.http.pages.words import (
    ACTIONS,
    KINDS,
    action_words,
    ago,
    browser_name,
    duration,
    when,
)

SERVER = Path(__file__).parents[5] / "app/edge_connector/platform_server"


def test_moments() -> None:
    assert when(None) == "–"
    assert when(0.0) == '<time datetime="1970-01-01T00:00:00.000Z">1970-01-01 00:00 UTC</time>'
    assert ">12 s ago<" in ago(100.0, 112.0)
    assert ">in 5 min<" in ago("1970-01-01T00:05:00.000Z", 0.0)
    assert ago(None, 0.0) == "never"
    assert ">0 s ago<" in ago(100.5, 100.0)  # of two clocks readings the later one may come first


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86400, "24 h"), (172800, "2 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("curl/8.5", "curl/8.5"),
        ("", "A program without a name"),
    ],
)
def test_browsers(agent: str, name: str) -> None:
    assert browser_name(agent) == name


def test_every_action_of_the_log_has_words() -> None:
    known = "|".join(re.escape(kind) for kind in KINDS)
    found = {
        action
        for file in SERVER.rglob("*.py")
        if "pages" not in file.relative_to(SERVER).parts
        for action in re.findall(rf'"((?:{known})[a-z_]+)"', file.read_text())
    }
    assert len(found) > 15
    assert found <= set(ACTIONS), found - set(ACTIONS)
    assert {action.partition(".")[0] + "." for action in ACTIONS} == set(KINDS)
    assert action_words("newer.action") == "newer.action"
