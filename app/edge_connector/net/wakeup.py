"""Finds from clocks alone that this process did not run for a while. Pure: two readings in, what happened out.

Suspend is seen by the clock that counts it (CLOCK_BOOTTIME against CLOCK_MONOTONIC). A stopped process, and a virtual
machine whose monotonic clock went on, are seen by a tick that comes late. A paused virtual machine whose clocks stood
still is seen once somebody sets its wall clock; until then nothing in it can know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge_connector.core.clock import Clock

SLEPT_S = 1.0
LATE_S = 5.0
JUMP_S = 5.0


class GapKind(StrEnum):
    """What a gap was."""

    SLEPT = "slept"
    """The machine was suspended."""
    STALLED = "stalled"
    """The process did not run, while the machine may have."""
    CLOCK_SET = "clock_set"
    """The wall clock was set, as it is after a pause of a virtual machine."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which this process did not run."""

    kind: GapKind
    seconds: float

    def __str__(self) -> str:
        match self.kind:
            case GapKind.SLEPT:
                return f"the machine slept for {self.seconds:.0f} s"
            case GapKind.STALLED:
                return f"the process stood still for {self.seconds:.0f} s"
        return f"the clock was set by {self.seconds:+.0f} s"


@dataclass(frozen=True, slots=True)
class Reading:
    """The clocks at one moment, in seconds."""

    monotonic: float
    asleep: float
    wall: float

    @classmethod
    def of(cls, clock: Clock) -> Reading:
        """The clocks now."""
        return cls(clock.monotonic(), clock.asleep(), clock.wall())


def find_gap(before: Reading, after: Reading, *, expected_s: float) -> Gap | None:
    """What happened between two readings that should lie `expected_s` seconds apart, or less."""
    ran = after.monotonic - before.monotonic
    slept = after.asleep - before.asleep
    jumped = after.wall - before.wall - ran - slept
    if slept > SLEPT_S:
        return Gap(GapKind.SLEPT, slept)
    if ran - expected_s > LATE_S:
        return Gap(GapKind.STALLED, ran - expected_s)
    if abs(jumped) > JUMP_S:
        return Gap(GapKind.CLOCK_SET, jumped)
    return None
