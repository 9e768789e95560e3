"""Time as a dependency: durations come from the monotonic clock, stamps from the wall clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What code that measures or stamps time is given."""

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump."""
        ...

    def asleep(self) -> float:
        """Seconds that the machine was suspended since it booted; 0.0 where the system does not say."""
        ...


_SLEEP_CLOCKS = (("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"), ("CLOCK_MONOTONIC_RAW", "CLOCK_UPTIME_RAW"))
"""Clocks that count time in suspend, and those that do not: clock_gettime(2) of Linux, clock_gettime(3) of macOS."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def asleep(self) -> float:
        for counting, pausing in _SLEEP_CLOCKS:
            if hasattr(time, counting) and hasattr(time, pausing):
                return time.clock_gettime(getattr(time, counting)) - time.clock_gettime(getattr(time, pausing))
        return 0.0


def to_iso(wall_s: float) -> str:
    """A wall-clock stamp as RFC 3339 in UTC with milliseconds, e.g. `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(stamp: str) -> float:
    """The wall-clock seconds of what `to_iso` wrote."""
    return datetime.fromisoformat(stamp).timestamp()
