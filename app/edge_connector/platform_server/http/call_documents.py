"""Calls as the API shows them, from the router's open calls and from rows of the store."""

from __future__ import annotations

from msgspec import UNSET, Raw

from edge_connector.core.clock import to_iso
from edge_connector.platform_api import models as api
from edge_connector.platform_server.store.records import CallRow
from edge_connector.platform_server.tool_rpc.calls import NO_DETAIL, PendingCall
from edge_connector.wire import messages as m


def document_of(call: PendingCall) -> api.Call:
    """A call of this process, open or just ended."""
    row = call.row
    shown = _document(row)
    if not row.outcome:
        shown.state = "accepted" if call.is_accepted else "received"
        if call.progress is not None:
            shown.progress = call.progress.fraction if call.progress.fraction >= 0 else None
            shown.progress_message = call.progress.message
        return shown
    if call.result is not None:
        shown.result = call.result
    if call.error is not None:
        shown.error = failure_of(call.error)
    return shown


def document_of_row(row: CallRow) -> api.Call:
    """A call of the store."""
    shown = _document(row)
    if row.result is not None:
        shown.result = Raw(row.result)
    if row.error_code:
        detail = Raw(row.error_detail) if row.error_detail is not None else UNSET
        shown.error = api.CallFailure(
            code=row.error_code, message=row.error_message, hint=row.error_hint, detail=detail
        )
    return shown


def failure_of(error: m.CallError) -> api.CallFailure:
    """A wire error in the API's words."""
    detail = UNSET if bytes(error.detail) == NO_DETAIL else error.detail
    return api.CallFailure(code=error.code, message=error.message, hint=error.hint, detail=detail)


def _document(row: CallRow) -> api.Call:
    return api.Call(
        id=row.id,
        tool=row.tool,
        state="finished" if row.outcome else "received",
        outcome=row.outcome or None,  # type: ignore[arg-type]
        deployment=row.deployment_id,
        attempts=row.attempt,
        duration_ms=row.duration_ms,
        started_at=to_iso(row.started_at),
        agent=row.agent,
        user=row.user,
        late_outcome=row.late_outcome,
    )
