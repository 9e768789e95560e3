"""What the tools did lately: the last calls, and calls per minute with their latency over the last hour.

Kept in memory for people to look at; it is no record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_connector.core.clock import Clock, to_iso
from edge_connector.core.status import Activity
from edge_connector.runtime.call_counts import CallCounts
from edge_connector.tools.calls import CallOutcome, CallRequest

MAX_RECENT = 500
MINUTES = 60
MAX_SAMPLES = 256
"""Latencies kept for each minute; enough for a p99 that a line of 20 pixels shows."""


@dataclass(slots=True)
class RecentCall:
    """One finished call."""

    id: str
    tool: str
    outcome: str
    started_wall: float
    duration_ms: float
    agent: str
    user: str
    code: str
    message: str

    def to_document(self) -> dict[str, object]:
        """As the command socket shows it."""
        return {
            "id": self.id,
            "tool": self.tool,
            "outcome": self.outcome,
            "startedAt": to_iso(self.started_wall),
            "durationMs": round(self.duration_ms, 3),
            "agent": self.agent,
            "user": self.user,
            "code": self.code,
            "message": self.message,
        }


@dataclass(slots=True)
class _Minute:
    calls: int = 0
    latencies_ms: list[float] = field(default_factory=list)


class ActivityLog:
    """Counts finished calls; probes are left out, they are not work."""

    def __init__(self, clock: Clock, is_served: Callable[[str], bool]) -> None:
        """`is_served` says whether a tool of this name is offered."""
        self._clock = clock
        self.counts = CallCounts(is_served)
        self._recent: deque[RecentCall] = deque(maxlen=MAX_RECENT)
        self._minutes: deque[_Minute] = deque((_Minute() for _ in range(MINUTES)), maxlen=MINUTES)
        self._minute = int(clock.monotonic() // 60)

    def finished(self, request: CallRequest, started_wall: float, outcome: CallOutcome) -> None:
        """Note a call that ended."""
        if request.probe:
            return
        self.counts.add(outcome.tool, outcome.kind, outcome.duration_ms)
        self._roll()
        minute = self._minutes[-1]
        minute.calls += 1
        if len(minute.latencies_ms) < MAX_SAMPLES:
            minute.latencies_ms.append(outcome.duration_ms)
        else:
            # Replacing in turn keeps a spread over the minute without drawing random numbers on the call path.
            minute.latencies_ms[minute.calls % MAX_SAMPLES] = outcome.duration_ms
        self._recent.appendleft(
            RecentCall(
                outcome.id, outcome.tool, outcome.kind.value, started_wall, outcome.duration_ms,
                request.agent, request.user, outcome.code, outcome.message,
            )
        )  # fmt: skip

    def recent(self, limit: int, tool: str = "") -> list[RecentCall]:
        """The last calls, newest first."""
        found = [call for call in self._recent if not tool or call.tool == tool]
        return found[:limit]

    def summary(self) -> Activity:
        """The last hour, oldest minute first; the last entry is the minute that runs."""
        self._roll()
        return Activity(
            per_minute=[minute.calls for minute in self._minutes],
            latency_p50_ms=[_quantile(minute.latencies_ms, 0.5) for minute in self._minutes],
            latency_p99_ms=[_quantile(minute.latencies_ms, 0.99) for minute in self._minutes],
        )

    def _roll(self) -> None:
        minute = int(self._clock.monotonic() // 60)
        for _ in range(min(minute - self._minute, MINUTES)):
            self._minutes.append(_Minute())
        self._minute = max(minute, self._minute)


def _quantile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 3)
