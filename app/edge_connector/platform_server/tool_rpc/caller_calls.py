"""The calls of WebSocket callers by the callers' own ids, so that an id which comes again is the same call.

A caller whose connection was lost sends its calls again in its next session: those that run go on and report there,
those that are over give their outcome again, and none runs twice. Kept in memory and bounded; a restart of the platform
forgets it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from edge_connector.platform_server.tool_rpc.calls import PendingCall
from edge_connector.platform_server.tool_rpc.connection import error_bytes
from edge_connector.wire import messages as m

MAX_CALLS = 20_000
MAX_BYTES = 64 * 1024 * 1024


class Reporter(Protocol):
    """The session that hears about a call."""

    def send(self, message: m.Message) -> None:
        """Queue a message for the caller."""
        ...


class CallerCall:
    """One call of a caller: open, or over with its outcome kept."""

    def __init__(self, call_id: str, reporter: Reporter | None) -> None:
        self.id = call_id
        self.reporter = reporter
        """The session that started it, or the last one that asked for it; None once that is closed."""
        self.pending: PendingCall | None = None
        self.outcome: m.Result | m.Failure | None = None

    def news(self, message: m.Message) -> None:
        """The connector accepted it or made progress."""
        if self.reporter is None:
            return
        if isinstance(message, m.Progress):
            self.reporter.send(m.Progress(id=self.id, fraction=message.fraction, message=message.message))
        else:
            self.reporter.send(m.Accepted(id=self.id))

    def end(self, call: PendingCall) -> m.Result | m.Failure:
        """Keep the outcome and report it."""
        duration_ms = call.row.duration_ms or 0.0
        if call.result is not None:
            # Copied, as below, because a raw value keeps the whole frame it came in alive.
            self.outcome = m.Result(id=self.id, result=call.result.copy(), duration_ms=duration_ms)
        else:
            assert call.error is not None, "a call without a result has an error"
            error = msgspec.structs.replace(call.error, detail=call.error.detail.copy())
            outcome = m.Outcome(call.row.outcome)
            self.outcome = m.Failure(id=self.id, outcome=outcome, error=error, duration_ms=duration_ms)
        self.pending = None
        if self.reporter is not None:
            self.reporter.send(self.outcome)
        return self.outcome


class CallerCalls:
    """All calls of all callers, by credential and the caller's id; the oldest that are over are forgotten first."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], CallerCall] = {}
        self._bytes = 0

    def find(self, credential: str, call_id: str) -> CallerCall | None:
        """The call that this credential started under this id."""
        return self._calls.get((credential, call_id))

    def add(self, credential: str, call: CallerCall) -> None:
        """Keep a call from its start."""
        self._calls[credential, call.id] = call

    def discard(self, credential: str, call: CallerCall) -> None:
        """Forget a call that never started."""
        self._calls.pop((credential, call.id), None)

    def ended(self, outcome: m.Result | m.Failure) -> None:
        """Count a kept outcome, and forget old ones when there are too many."""
        self._bytes += _size(outcome)
        while len(self._calls) > MAX_CALLS or self._bytes > MAX_BYTES:
            over = next(((key, call.outcome) for key, call in self._calls.items() if call.outcome is not None), None)
            if over is None:
                return
            del self._calls[over[0]]
            self._bytes -= _size(over[1])


def _size(outcome: m.Result | m.Failure) -> int:
    size = len(memoryview(outcome.result)) if isinstance(outcome, m.Result) else 512 + error_bytes(outcome.error)
    return len(outcome.id) + size
