"""Outcomes as messages to the platform: of a call that just ended, and of one that the ledger kept."""

from __future__ import annotations

from msgspec import Raw

from edge_connector.tools.calls import CallOutcome, OutcomeKind
from edge_connector.tools.ledger.records import OUTCOME_UNKNOWN, CallRow
from edge_connector.wire import messages as m

NO_DETAIL = Raw(b"null")
RESULT_NOT_KEPT = "result_not_kept"


def is_repeatable(repeat: str) -> bool:
    """Whether a call of a tool with this declaration may run again when its outcome is unknown."""
    return repeat in ("read", "repeatable")


def message_of_outcome(outcome: CallOutcome, attempt: int) -> m.Result | m.Failure:
    """What the platform hears of a call that ended now."""
    if outcome.kind is OutcomeKind.SUCCEEDED:
        assert outcome.result is not None, "a succeeded call has a result"
        return m.Result(id=outcome.id, result=outcome.result, duration_ms=outcome.duration_ms)
    return m.Failure(
        id=outcome.id,
        outcome=m.Outcome(outcome.kind),
        error=m.CallError(
            code=outcome.code, message=outcome.message, hint=outcome.hint, detail=outcome.detail or NO_DETAIL
        ),
        duration_ms=outcome.duration_ms,
        attempt=attempt,
    )


def message_of_row(row: CallRow) -> m.Result | m.Failure:
    """What the platform hears of a call that the ledger kept; one without an outcome was interrupted."""
    if row.outcome == OutcomeKind.SUCCEEDED:
        if row.result is not None:
            return m.Result(id=row.id, result=Raw(row.result.encode()), duration_ms=row.duration_ms)
        error = m.CallError(
            code=RESULT_NOT_KEPT,
            message=f"The call succeeded before; its result of {row.result_bytes} bytes was confirmed and is not kept.",
            hint="Look into the history of whoever called first.",
        )
        return m.Failure(id=row.id, outcome=m.Outcome.FAILED, error=error, attempt=row.attempt)
    if not row.outcome:
        error = m.CallError(
            code=OUTCOME_UNKNOWN,
            message="interrupted, outcome unknown: the call began before, and what came of it is not known.",
            hint="Check on the connector's machine whether the tool ran before calling it again.",
        )
        return m.Failure(id=row.id, outcome=m.Outcome.INTERRUPTED, error=error, attempt=row.attempt)
    detail = NO_DETAIL if row.detail is None else Raw(row.detail.encode())
    error = m.CallError(code=row.code, message=row.message, hint=row.hint, detail=detail)
    return m.Failure(
        id=row.id, outcome=m.Outcome(row.outcome), error=error, duration_ms=row.duration_ms, attempt=row.attempt
    )


def message_size(message: m.Result | m.Failure) -> int:
    """About how many bytes an outcome takes."""
    if isinstance(message, m.Result):
        return len(memoryview(message.result))
    return len(memoryview(message.error.detail)) + len(message.error.message) + 256
