"""Problems in other languages: complete, with the same words filled in, and English where nothing is known."""

from __future__ import annotations

import string

import pytest

from edge_connector.core.problem_words import PROBLEM_WORDS, problem_words
from edge_connector.core.problems import KINDS, describe


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", PROBLEM_WORDS)
def test_every_problem_has_words_with_the_same_places(language: str) -> None:
    assert PROBLEM_WORDS[language].keys() == KINDS.keys()
    for code, (sentence, fix) in PROBLEM_WORDS[language].items():
        assert places(sentence) == places(KINDS[code].sentence), code
        assert places(fix) == places(KINDS[code].fix), code


@pytest.mark.parametrize("code", KINDS)
def test_what_was_filled_in_is_found_again(code: str) -> None:
    words = {"url": "wss://platform.example:3001/a?b=(c)", "detail": "[Errno 111] refused: {x}.\nsecond line"}
    _, sentence, fix = describe(code, **words)
    german = tuple(text.format(**words) for text in PROBLEM_WORDS["de"][code])
    assert problem_words(code, sentence, fix, "de") == german
    assert problem_words(code, sentence, fix, "en") == (sentence, fix)
    assert problem_words(code, sentence, fix, "xx") == (sentence, fix)


def test_unknown_code_and_other_wording_stay_as_they_are() -> None:
    assert problem_words("brand_new", "Something.", "Do it.", "de") == ("Something.", "Do it.")
    assert problem_words("forbidden", "Other words.", "Do it.", "de") == ("Other words.", "Do it.")
