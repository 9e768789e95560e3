"""Which faults come when, drawn from a seed: the same seed gives the same storm. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

CLOSE_CODES = (1000, 1001, 1011, 1012, 4400, 4422, 4429, 4500, 4503)
"""Those after which a connector dials again with the documented delays; the others wait for somebody."""

LINK_ENDING = ("reset", "fin", "tear", "half_open", "corrupt_up", "corrupt_down", "refuse", "close")
LINK_LASTING = ("freeze", "delay", "slow")
CALLER = ("caller_reset", "caller_fin", "caller_freeze", "caller_delay", "caller_slow")
KILLS = ("kill_worker", "kill_connector", "kill_platform")
KINDS = (*LINK_ENDING, *LINK_LASTING, *CALLER, *KILLS)


@dataclass(frozen=True, slots=True)
class Event:
    """One fault.

    Attributes:
        after_s: seconds to wait before it.
        for_s: how long it lasts, or how long what was killed stays away; 0 for a moment.
        value: what belongs to the kind: a close code, seconds of delay, bytes a second, the number of a worker.
        redial_after_s: seconds until somebody asks the connector to dial now; None: nobody does.
    """

    kind: str
    after_s: float
    for_s: float = 0.0
    value: float = 0.0
    redial_after_s: float | None = None

    def __str__(self) -> str:
        value = f" {self.value:g}" if self.value else ""
        return f"{self.kind}{value}" + (f" for {self.for_s:.1f} s" if self.for_s else "")


def storm(seed: int, events: int, *, kinds: tuple[str, ...] = KINDS) -> list[Event]:
    """Each kind comes once before any comes again, in an order and at moments that the seed decides."""
    draw = random.Random(seed)
    found: list[Event] = []
    while len(found) < events:
        order = list(kinds)
        draw.shuffle(order)
        found += [_event(draw, kind) for kind in order]
    return found[:events]


def _event(draw: random.Random, kind: str) -> Event:
    after_s = draw.uniform(0.15, 0.55)
    redial = draw.uniform(0.05, 0.25)
    match kind.removeprefix("caller_"):
        case "freeze":
            return Event(kind, after_s, for_s=draw.uniform(0.2, 1.2))
        case "delay":
            return Event(kind, after_s, for_s=draw.uniform(0.4, 1.2), value=round(draw.uniform(0.02, 0.2), 3))
        case "slow":
            return Event(kind, after_s, for_s=draw.uniform(0.4, 1.2), value=draw.randrange(20_000, 400_000))
        case "refuse":
            return Event(kind, after_s, for_s=draw.uniform(0.3, 1.0), value=502, redial_after_s=redial)
        case "close":
            return Event(kind, after_s, value=draw.choice(CLOSE_CODES), redial_after_s=redial)
        case "half_open":
            # Silence has to be noticed first.
            return Event(kind, after_s, redial_after_s=1.4 + redial)
        case "kill_worker":
            return Event(kind, after_s, value=draw.randrange(8))
        case "kill_connector":
            return Event(kind, after_s, for_s=draw.uniform(0.0, 0.4))
        case "kill_platform":
            return Event(kind, after_s, for_s=draw.uniform(0.0, 0.4), redial_after_s=redial)
    return Event(kind, after_s, redial_after_s=None if kind.startswith("caller_") else redial)
