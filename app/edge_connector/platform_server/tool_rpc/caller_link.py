"""A program that calls tools over a WebSocket session instead of HTTP: same router, same outcomes."""

from __future__ import annotations

from edge_connector.platform_api.models import MAX_TIMEOUT_MS
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.tool_rpc.arguments import problem_of
from edge_connector.platform_server.tool_rpc.calls import CallOrder, CallRouter, PendingCall
from edge_connector.platform_server.tool_rpc.connection import Connection
from edge_connector.wire import messages as m

MAX_OPEN = 10_000


class CallerLink:
    """The platform's side of one caller. Call ids are the caller's own and mean nothing outside its session."""

    def __init__(self, connection: Connection, principal: Principal, router: CallRouter) -> None:
        self._connection = connection
        self._principal = principal
        self._router = router
        self._open: dict[str, PendingCall] = {}
        self._is_closed = False

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
            call = self._open.get(message.id)
            if call is not None:
                self._router.cancel(call, message.reason or "cancelled by the caller")

    def before_flush(self) -> None:
        return

    def closed(self, reason: str) -> None:
        # The calls go on: their outcomes are in the history.
        self._is_closed = True
        self._open.clear()

    def _call(self, asked: m.Call) -> None:
        if asked.id in self._open:
            # The same id is the same call: it runs already.
            self.send(m.Accepted(id=asked.id))
            return
        if len(self._open) >= MAX_OPEN:
            self._refuse(asked.id, "too_many_calls", f"More than {MAX_OPEN} calls are open in this session.")
            return
        if problem := problem_of(asked.arguments):
            self._refuse(asked.id, "invalid_arguments", f"The arguments cannot be sent: {problem}.")
            return
        order = CallOrder(
            organization_id=self._principal.organization_id,
            tool=asked.tool,
            arguments=asked.arguments,
            size=len(memoryview(asked.arguments)),
            deployment=asked.deployment,
            timeout_ms=min(max(asked.remaining_ms, 0), MAX_TIMEOUT_MS),
            agent=asked.context.agent,
            user=self._principal.email
            if self._principal.kind == "user"
            else asked.context.user or self._principal.email,
            credential=self._principal.name,
        )
        try:
            call = self._router.start(order, lambda ended: self._report(asked.id, ended))
        except Refused as error:
            self._refuse(asked.id, error.code, error.message, error.hint)
            return
        if not call.row.outcome:
            self._open[asked.id] = call
            call.on_progress = lambda news: self._news(asked.id, news)

    def _news(self, call_id: str, news: m.Message) -> None:
        if self._is_closed:
            return
        if isinstance(news, m.Progress):
            self.send(m.Progress(id=call_id, fraction=news.fraction, message=news.message))
        else:
            self.send(m.Accepted(id=call_id))

    def _report(self, call_id: str, call: PendingCall) -> None:
        self._open.pop(call_id, None)
        if self._is_closed:
            return
        duration_ms = call.row.duration_ms or 0.0
        if call.result is not None:
            self.send(m.Result(id=call_id, result=call.result, duration_ms=duration_ms))
        else:
            assert call.error is not None, "a call without a result has an error"
            self.send(
                m.Failure(id=call_id, outcome=m.Outcome(call.row.outcome), error=call.error, duration_ms=duration_ms)
            )

    def _refuse(self, call_id: str, code: str, message: str, hint: str = "") -> None:
        error = m.CallError(code=code, message=message, hint=hint)
        self.send(m.Failure(id=call_id, outcome=m.Outcome.REFUSED, error=error))
