"""Reconnect delays, decided without a clock: 5, 10, 20, 40, then 60 seconds, never under and never over.

Jitter is added above the documented delay (up to 20 %) and drawn below it only at the cap (48 to 60 s), so that the
documented numbers stay recognisable and a crowd of connectors does not come back in one burst.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FIRST_DELAY_S = 5.0
MAX_DELAY_S = 60.0
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before the next attempt.

    Attributes:
        attempt: failed attempts in a row so far; 0 after a proven link.
    """

    attempt: int = 0

    def failed(self) -> Backoff:
        """One more attempt failed."""
        return Backoff(self.attempt + 1)

    def delay_s(self, draw: Callable[[], float]) -> float:
        """Seconds to wait after the last failure; `draw` gives a number in [0, 1)."""
        base = documented_delay_s(self.attempt)
        if base >= MAX_DELAY_S:
            return MAX_DELAY_S * (1 - JITTER * draw())
        return min(base * (1 + JITTER * draw()), MAX_DELAY_S)


def documented_delay_s(attempt: int) -> float:
    """The documented delay in seconds after `attempt` failures in a row (1 gives 5 s)."""
    exponent = min(max(attempt - 1, 0), 10)
    return min(FIRST_DELAY_S * 2.0**exponent, MAX_DELAY_S)
