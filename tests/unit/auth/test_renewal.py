from __future__ import annotations

import pytest

from edge_connector.auth.claims import TokenInfo
from edge_connector.auth.renewal import DAY_S, HOUR_S, next_change, renew_at, span, warned_at, warning

START = 1_800_000_000.0


def info(life_s: float | None, *, issued: bool = True) -> TokenInfo:
    ends = None if life_s is None else START + life_s
    return TokenInfo("org_1", ("org_1",), expires_at=ends, issued_at=START if issued else None)


def test_a_token_is_renewed_at_four_fifths_of_its_life() -> None:
    assert renew_at(info(HOUR_S)) == START + 0.8 * HOUR_S
    assert renew_at(info(30 * DAY_S)) == pytest.approx(START + 24 * DAY_S)
    assert renew_at(info(None)) is None
    assert renew_at(info(DAY_S, issued=False)) == START + DAY_S - 0.2 * HOUR_S


def test_warnings_come_seven_days_a_day_and_an_hour_ahead() -> None:
    end = START + 30 * DAY_S
    assert warned_at(info(30 * DAY_S)) == [end - 7 * DAY_S, end - DAY_S, end - HOUR_S]
    assert warned_at(info(2 * DAY_S)) == [START + DAY_S, START + 2 * DAY_S - HOUR_S]
    assert warned_at(info(1000.0)) == [pytest.approx(START + 800.0)], "short ones warn as well"
    assert warned_at(info(None)) == []


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (8 * DAY_S, ""),
        (7 * DAY_S, "7 days"),
        (2.5 * DAY_S, "2 days"),
        (DAY_S, "24 hours"),
        (1.5 * HOUR_S, "90 minutes"),
        (61.0, "1 minute"),
        (5.0, "1 minute"),
        (0.0, ""),
    ],
)
def test_the_warning_says_how_long_is_left(left_s: float, words: str) -> None:
    month = info(30 * DAY_S)
    assert month.expires_at is not None
    assert warning(month, now=month.expires_at - left_s) == words


def test_the_next_change_is_the_next_moment_the_words_differ() -> None:
    month = info(30 * DAY_S)
    assert next_change(month, now=START) == START + 23 * DAY_S
    for left_s in (7 * DAY_S, 5.5 * DAY_S, 1.2 * DAY_S, 3 * HOUR_S, 600.0, 130.0):
        now = START + 30 * DAY_S - left_s
        coming = next_change(month, now=now)
        assert coming is not None and coming > now
        assert warning(month, now=coming + 1) != warning(month, now=now), left_s
    assert next_change(month, now=START + 31 * DAY_S) is None
    assert next_change(info(None), now=START) is None


def test_a_span_in_words() -> None:
    assert [span(seconds) for seconds in (3 * DAY_S, 5 * HOUR_S, 90 * 60, 60, 1)] == [
        "3 days", "5 hours", "90 minutes", "1 minute", "1 minute",
    ]  # fmt: skip
