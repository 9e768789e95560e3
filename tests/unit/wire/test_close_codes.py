from __future__ import annotations

import pytest

from edge_connector.wire.close_codes import MEANING, RETRY, CloseCode, Retry, retry_after_close


@pytest.mark.parametrize("code", CloseCode)
def test_each_code_has_a_meaning_and_a_next_step(code: CloseCode) -> None:
    assert MEANING[code]
    assert retry_after_close(code.value) is RETRY[code]


def test_no_fact_without_a_code() -> None:
    assert set(MEANING) == set(RETRY) == set(CloseCode)


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1009, 1011, 1012, 4999, 0])
def test_a_code_that_is_not_listed_means_backoff(code: int) -> None:
    assert retry_after_close(code) is Retry.BACKOFF


def test_codes_are_legal_in_a_close_frame() -> None:
    """RFC 6455, section 7.4: 1000 or the private range; 1005, 1006 and 1015 must not be sent."""
    assert all(code == 1000 or 4000 <= code <= 4999 for code in CloseCode)


def test_meanings_fit_a_close_frame() -> None:
    assert all(len(meaning.encode()) <= 123 for meaning in MEANING.values())
