"""A program that calls tools over a WebSocket session instead of HTTP: same router, same outcomes."""

from __future__ import annotations

from edge_connector.platform_api.models import MAX_TIMEOUT_MS
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.tool_rpc.arguments import problem_of
from edge_connector.platform_server.tool_rpc.caller_calls import CallerCall, CallerCalls
from edge_connector.platform_server.tool_rpc.calls import CallOrder, CallRouter, PendingCall
from edge_connector.platform_server.tool_rpc.connection import Connection
from edge_connector.wire import messages as m

MAX_OPEN = 10_000
MAX_TEXT = 200
"""Characters of a name in a call, as in `CallRequest`; longer ones could make the connector's frame too large."""


class CallerLink:
    """The platform's side of one caller. Call ids are the caller's own and mean nothing outside its credential."""

    def __init__(self, connection: Connection, principal: Principal, router: CallRouter, calls: CallerCalls) -> None:
        self._connection = connection
        self._principal = principal
        self._router = router
        self._calls = calls
        self._open: dict[str, CallerCall] = {}

    def request_close(self, code: int, reason: str) -> None:
        """End the session soon."""
        self._connection.request_close(code, reason)

    @property
    def principal(self) -> Principal:
        """Whose session it is."""
        return self._principal

    def send(self, message: m.Message) -> None:
        """Queue a message for the caller."""
        self._connection.send(message)

    def handle(self, message: m.Message) -> None:
        if isinstance(message, m.Call):
            self._call(message)
        elif isinstance(message, m.Cancel):
            call = self._calls.find(self._principal.id, message.id)
            if call is not None and call.pending is not None:
                self._router.cancel(call.pending, message.reason or "cancelled by the caller")

    def before_flush(self) -> None:
        return

    def closed(self, reason: str) -> None:
        # The calls go on: a later session that sends their ids again hears how they end.
        for call in self._open.values():
            if call.reporter is self:
                call.reporter = None
        self._open.clear()

    def _call(self, asked: m.Call) -> None:
        known = self._calls.find(self._principal.id, asked.id)
        if known is not None:
            self._repeat(known)
            return
        if len(self._open) >= MAX_OPEN:
            self._refuse(asked.id, "too_many_calls", f"More than {MAX_OPEN} calls are open in this session.")
            return
        if problem := _long_text(asked) or problem_of(asked.arguments):
            self._refuse(asked.id, "invalid_arguments", f"The call cannot be sent: {problem}.")
            return
        order = CallOrder(
            organization_id=self._principal.organization_id,
            tool=asked.tool,
            arguments=asked.arguments,
            deployment=asked.deployment,
            timeout_ms=min(max(asked.remaining_ms, 0), MAX_TIMEOUT_MS),
            agent=asked.context.agent,
            user=self._principal.email
            if self._principal.kind == "user"
            else asked.context.user or self._principal.email,
            credential=self._principal.name,
        )
        call = CallerCall(asked.id, self)
        self._calls.add(self._principal.id, call)
        try:
            pending = self._router.start(order, lambda ended: self._ended(call, ended))
        except Refused as error:
            # Nothing started, so the same id may be tried again.
            self._calls.discard(self._principal.id, call)
            self._refuse(asked.id, error.code, error.message, error.hint)
            return
        if call.outcome is None:
            call.pending = pending
            self._open[asked.id] = call
            pending.on_progress = call.news

    def _repeat(self, known: CallerCall) -> None:
        if known.outcome is not None:
            self.send(known.outcome)
            return
        known.reporter = self
        self._open[known.id] = known
        self.send(m.Accepted(id=known.id))

    def _ended(self, call: CallerCall, pending: PendingCall) -> None:
        if isinstance(call.reporter, CallerLink):
            call.reporter._open.pop(call.id, None)
        self._calls.ended(call.end(pending))

    def _refuse(self, call_id: str, code: str, message: str, hint: str = "") -> None:
        error = m.CallError(code=code, message=message, hint=hint)
        self.send(m.Failure(id=call_id, outcome=m.Outcome.REFUSED, error=error))


def _long_text(asked: m.Call) -> str:
    """Which text of a call is longer than HTTP takes it, in words; empty when none is."""
    texts = (
        ("tool", asked.tool),
        ("deployment", asked.deployment),
        ("context.agent", asked.context.agent),
        ("context.user", asked.context.user),
    )
    return next(
        (f"More than {MAX_TEXT} characters - at `$.{name}`" for name, text in texts if len(text) > MAX_TEXT), ""
    )
