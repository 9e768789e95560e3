"""Two readings of the clocks in, what happened between them out."""

from __future__ import annotations

import pytest

from edge_connector.core.clock import SystemClock
from edge_connector.net.wakeup import GapKind, Reading, find_gap

BEFORE = Reading(monotonic=100.0, asleep=3.0, wall=1_700_000_000.0)


@pytest.mark.parametrize(
    ("ran", "slept", "wall", "kind", "seconds"),
    [
        (5.0, 0.0, 5.0, None, 0.0),
        (5.4, 0.0, 5.4, None, 0.0),
        (9.9, 0.0, 9.9, None, 0.0),
        (0.1, 0.0, 0.1, None, 0.0),
        (5.0, 0.9, 5.9, None, 0.0),
        # Suspended: only the clock that counts it and the wall clock went on.
        (5.0, 3600.0, 3605.0, GapKind.SLEPT, 3600.0),
        (60.0, 2.0, 62.0, GapKind.SLEPT, 2.0),
        # Stopped, or a machine whose monotonic clock went on while it was paused.
        (65.0, 0.0, 65.0, GapKind.STALLED, 60.0),
        # A paused machine whose wall clock was set afterwards.
        (5.0, 0.0, 3605.0, GapKind.CLOCK_SET, 3600.0),
        (5.0, 0.0, -55.0, GapKind.CLOCK_SET, -60.0),
        # The clock is drawn near slowly by NTP.
        (5.0, 0.0, 5.4, None, 0.0),
    ],
)
def test_what_the_clocks_say(ran: float, slept: float, wall: float, kind: GapKind | None, seconds: float) -> None:
    after = Reading(BEFORE.monotonic + ran, BEFORE.asleep + slept, BEFORE.wall + wall)
    gap = find_gap(BEFORE, after, expected_s=5.0)
    if kind is None:
        assert gap is None
    else:
        assert gap is not None
        assert gap.kind is kind
        assert gap.seconds == pytest.approx(seconds, abs=0.01)
        assert f"{abs(seconds):.0f} s" in str(gap)


def test_the_machines_own_clocks_have_no_gap_from_one_moment_to_the_next() -> None:
    clock = SystemClock()
    assert find_gap(Reading.of(clock), Reading.of(clock), expected_s=0.0) is None
