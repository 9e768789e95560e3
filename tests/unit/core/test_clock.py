from __future__ import annotations

import time

import pytest

from edge_connector.core.clock import Clock, SystemClock, to_iso


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1769860800.0, "2026-01-31T12:00:00.000Z"),
        (1769860800.5, "2026-01-31T12:00:00.500Z"),
        (-1.0, "1969-12-31T23:59:59.000Z"),
    ],
)
def test_stamps_are_utc_with_milliseconds(stamp: float, text: str) -> None:
    assert to_iso(stamp) == text


def test_stamps_do_not_depend_on_the_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert to_iso(0.0) == "1970-01-01T00:00:00.000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_machine_s_clocks() -> None:
    clock: Clock = SystemClock()
    before, after = time.monotonic(), clock.monotonic()
    assert before <= after <= time.monotonic()
    assert abs(clock.wall() - time.time()) < 5
