from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.core.backoff import Backoff, documented_delay_s

DOCUMENTED = [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def after(failures: int) -> Backoff:
    backoff = Backoff()
    for _ in range(failures):
        backoff = backoff.failed()
    return backoff


def test_the_documented_delays() -> None:
    assert [documented_delay_s(attempt) for attempt in range(1, 8)] == DOCUMENTED


def test_without_jitter_the_delays_are_the_documented_ones() -> None:
    assert [after(failures).delay_s(lambda: 0.0) for failures in range(1, 8)] == DOCUMENTED


@pytest.mark.parametrize(("failures", "most"), [(1, 6.0), (2, 12.0), (3, 24.0), (4, 48.0)])
def test_jitter_is_added_above(failures: int, most: float) -> None:
    assert after(failures).delay_s(lambda: 1.0) == pytest.approx(most)


def test_jitter_is_drawn_below_at_the_cap_only() -> None:
    assert after(5).delay_s(lambda: 1.0) == pytest.approx(48.0)
    assert after(500).delay_s(lambda: 1.0) == pytest.approx(48.0)


@given(failures=st.integers(0, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_never_over_a_minute_and_never_under_the_documented_delay_before_the_cap(failures: int, draw: float) -> None:
    delay = Backoff(failures).delay_s(lambda: draw)
    least = documented_delay_s(failures)
    assert (48.0 if least == 60.0 else least) <= delay <= 60.0


def test_a_failure_makes_a_new_value() -> None:
    first = Backoff()
    assert first.failed() == Backoff(1) and first == Backoff(0)
