"""What others said is shown without doing anything to the terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.core.printable import json_text, lines, one_line

TEXTS = st.text(st.characters(codec=None), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("grün 😀 中 \\x1b", "grün 😀 中 \\x1b"),
    ],
)
def test_controls_become_their_escapes(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(TEXTS)
def test_no_control_is_left(text: str) -> None:
    for shown, kept in (
        (one_line(text), ""),
        (lines(text), "\n\t"),
        (json_text(json.dumps(text, ensure_ascii=False)), ""),
    ):
        assert all(unicodedata.category(character) not in ("Cc", "Cs") or character in kept for character in shown)
        assert not set("\u202a\u202e\u2066\u2069\u200f\u2028") & set(shown)
        shown.encode()


@given(TEXTS)
def test_json_means_the_same(text: str) -> None:
    document = {text: [text]}
    for indent in (None, 2):
        written = json.dumps(document, ensure_ascii=False, indent=indent)
        assert json.loads(json_text(written)) == document
