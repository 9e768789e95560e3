"""The word catalogue: complete in both languages, and the sentences of the look."""

from __future__ import annotations

import string

import pytest

from edge_connector.core.status import LinkPhase, State
from edge_connector.core.words import WORDS, duration, sentence, word


def test_languages_have_the_same_keys_and_placeholders() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english = WORDS["en"]
    for words in WORDS.values():
        assert words.keys() == english.keys()
        for key, text in words.items():
            assert places(text) == places(english[key]), key


def test_every_state_has_its_word() -> None:
    for state in State:
        assert word(f"state.{state}")


@pytest.mark.parametrize(
    ("state", "age", "next_in", "phase", "expected"),
    [
        (State.WORKING, 12.4, None, LinkPhase.OPEN, "Working · proven 12 s ago"),
        (State.WORKING_WITH_PROBLEMS, 90.0, None, LinkPhase.OPEN, "Working, with problems · proven 1 min ago"),
        (State.CONNECTING, None, 4.2, LinkPhase.WAITING, "Connecting · next attempt in 4 s"),
        (State.CONNECTING, None, None, LinkPhase.DIALLING, "Connecting · dialling"),
        (State.CONNECTING, 70.0, None, LinkPhase.OPEN, "Connecting · linked, waiting for proof"),
        (State.NEEDS_YOU, None, 290.0, LinkPhase.REFUSED, "Needs you"),
        (State.STOPPED, None, None, LinkPhase.IDLE, "Stopped"),
    ],
)
def test_sentences(state: State, age: float | None, next_in: float | None, phase: LinkPhase, expected: str) -> None:
    assert sentence(state, proof_age_s=age, next_attempt_in_s=next_in, phase=phase) == expected


def test_german() -> None:
    shown = sentence(State.WORKING, proof_age_s=12, next_attempt_in_s=None, phase=LinkPhase.OPEN, language="de")
    assert shown == "Arbeitet · vor 12 s bewiesen"


def test_unknown_language_is_english() -> None:
    assert word("state.asleep", "xx") == "Asleep"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (90_000, "1 d"), (864_000, "10 d")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
