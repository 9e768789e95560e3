"""The routing of calls: which connector runs it, what is open, and exactly one outcome for each. No sockets, no HTTP.

An open call whose link drops stays open until its deadline: the same deployment may bring its outcome over a new link.
When it comes back, or says that the call was interrupted, a call of a tool that may be repeated is sent again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec import Raw

from edge_connector.core.clock import Clock
from edge_connector.platform_server.fleet import DeploymentState, Link, SessionDirectory
from edge_connector.platform_server.refusals import (
    connector_busy,
    connector_unavailable,
    not_found,
    platform_stopping,
    unknown_tool,
)
from edge_connector.platform_server.store.records import CallRow, call_id_at
from edge_connector.platform_server.tool_rpc.journal import CallJournal
from edge_connector.wire import messages as m

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_MS = 60_000
GRACE_S = 0.25
"""The connector enforces the deadline; the platform waits this much longer for its report before it speaks itself."""
MAX_QUEUED_BYTES = 32 * 1024 * 1024
MAX_OPEN_PER_CONNECTOR = 10_000
MAX_ATTEMPTS = 3
"""How often a call of a tool that may be repeated is sent, within its one deadline."""
REPEATABLE = ("read", "repeatable")
OUTCOME_UNKNOWN = "outcome_unknown"
NO_DETAIL = b"null"

OnEnd = Callable[["PendingCall"], None]


class PendingCall(msgspec.Struct, kw_only=True, eq=False):
    """A call from its start to its outcome; afterwards `row.outcome` is set."""

    row: CallRow
    deployment: DeploymentState
    link: Link | None
    """The link that it was sent over; None once that was lost."""
    started: float
    arguments: Raw
    on_end: OnEnd
    keep: bool
    """Whether the result goes into the store."""
    deadline: float = 0.0
    """On the loop's clock."""
    timer: asyncio.TimerHandle | None = None
    is_accepted: bool = False
    cancel_reason: str | None = None
    progress: m.Progress | None = None
    on_progress: Callable[[m.Message], None] | None = None
    result: Raw | None = None
    error: m.CallError | None = None


class CallOrder(msgspec.Struct, kw_only=True):
    """A call as it is asked for."""

    organization_id: str
    tool: str
    arguments: Raw
    deployment: str = ""
    timeout_ms: int = 0
    agent: str = ""
    user: str = ""
    credential: str = ""
    keep: bool = False
    idempotency_key: str | None = None
    request_digest: bytes | None = None


class CallRouter:
    """Open calls of this process."""

    def __init__(self, directory: SessionDirectory, journal: CallJournal, clock: Clock) -> None:
        self._directory = directory
        self._journal = journal
        self._clock = clock
        self._open: dict[str, PendingCall] = {}
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        self.is_stopping = False
        self.outcomes: Counter[str] = Counter()
        """Of all calls that ended since the start."""

    # ---- starting

    def choose(self, order: CallOrder) -> DeploymentState:
        """The deployment that shall run it: the named one, else the least busy one, by id when equal.

        Raises:
            Refused: unknown tool or deployment, nobody there, or nobody with room.
        """
        if self.is_stopping:
            raise platform_stopping()
        directory, organization_id = self._directory, order.organization_id
        if order.deployment:
            state = directory.find(organization_id, order.deployment)
            if state is None:
                raise not_found("deployment", order.deployment)
            if not state.is_serving:
                raise connector_unavailable(state.absence())
            if order.tool not in state.tools:
                raise unknown_tool(order.tool, state.tools)
            chosen = state
        else:
            chosen = self._least_busy(organization_id, order.tool)
        assert chosen.link is not None, "a serving deployment has a link"
        if chosen.open_calls >= MAX_OPEN_PER_CONNECTOR or chosen.link.queued_bytes > MAX_QUEUED_BYTES:
            raise connector_busy(chosen.row.name)
        return chosen

    def _least_busy(self, organization_id: str, tool: str) -> DeploymentState:
        best: DeploymentState | None = None
        absent: DeploymentState | None = None
        for state in self._directory.offering(organization_id, tool):
            if not state.is_serving:
                if absent is None or (state.last_seen_at() or 0.0) > (absent.last_seen_at() or 0.0):
                    absent = state
            elif best is None or (state.open_calls, state.row.id) < (best.open_calls, best.row.id):
                best = state
        if best is not None:
            return best
        if absent is not None:
            raise connector_unavailable(absent.absence())
        everyone = self._directory.of_organization(organization_id)
        if not everyone:
            raise connector_unavailable("this organization has no deployment yet")
        if not any(state.is_serving for state in everyone):
            last = max(everyone, key=lambda state: state.last_seen_at() or 0.0)
            raise connector_unavailable(last.absence())
        raise unknown_tool(tool, self._directory.tool_names(organization_id))

    def prepare(self, order: CallOrder, state: DeploymentState, on_end: OnEnd) -> PendingCall:
        """A call that is not sent yet, with its id."""
        now = self._clock.wall()
        row = CallRow(
            id=f"{call_id_at(now)}{self._run}{next(self._numbers):x}",
            organization_id=order.organization_id,
            deployment_id=state.row.id,
            tool=order.tool,
            started_at=now,
            agent=order.agent,
            user=order.user,
            credential=order.credential,
            idempotency_key=order.idempotency_key,
            request_digest=order.request_digest,
        )
        return PendingCall(
            row=row,
            deployment=state,
            link=state.link,
            started=asyncio.get_running_loop().time(),
            arguments=order.arguments,
            on_end=on_end,
            keep=order.keep,
        )

    def dispatch(self, call: PendingCall, order: CallOrder, *, recorded: bool = False) -> None:
        """Send a prepared call; its outcome comes to `on_end`, exactly once.

        Args:
            recorded: the store has it already.
        """
        state = call.deployment
        if not state.is_serving:
            # The link went away while the call was being recorded.
            call.link = None
            self._settle(call, "refused", error=m.CallError(code="connector_unavailable", message=state.absence()))
            return
        link = call.link = state.link
        assert link is not None, "a serving deployment has a link"
        row = call.row
        timeout_ms = order.timeout_ms or state.tools[row.tool].timeout_ms or DEFAULT_TIMEOUT_MS
        self._open[row.id] = call
        self._all_ended.clear()
        state.open_calls += 1
        link.send(self._message(call, timeout_ms))
        call.deadline = call.started + timeout_ms / 1000
        loop = asyncio.get_running_loop()
        call.timer = loop.call_at(call.deadline + GRACE_S, self._deadline, call, timeout_ms)
        if not recorded:
            self._journal.started(call)

    @staticmethod
    def _message(call: PendingCall, remaining_ms: int) -> m.Call:
        row = call.row
        return m.Call(
            id=row.id,
            tool=row.tool,
            arguments=call.arguments,
            remaining_ms=remaining_ms,
            context=m.CallContext(
                user=row.user, organization=row.organization_id, deployment=row.deployment_id, agent=row.agent
            ),
            attempt=row.attempt,
        )

    def start(self, order: CallOrder, on_end: OnEnd) -> PendingCall:
        """Choose, prepare and dispatch.

        Raises:
            Refused: nobody can run it.
        """
        call = self.prepare(order, self.choose(order), on_end)
        self.dispatch(call, order)
        return call

    def probe(self, link: Link, nonce: str) -> None:
        """Answer a connector's probe with an ordinary call of `echo`; its outcome is the connector's own business."""
        link.send(
            m.Call(
                id=f"probe_{self._run}{next(self._numbers):010x}",
                tool="echo",
                arguments=Raw(msgspec.json.encode({"message": nonce})),
                remaining_ms=10_000,
                probe=nonce,
            )
        )

    # ---- what connectors report

    def accepted(self, state: DeploymentState, message: m.Accepted) -> None:
        """The connector has it."""
        call = self._of(state, message.id)
        if call is not None:
            call.is_accepted = True
            if call.on_progress is not None:
                call.on_progress(message)

    def progress(self, state: DeploymentState, message: m.Progress) -> None:
        """The connector is at it."""
        call = self._of(state, message.id)
        if call is not None:
            call.is_accepted = True
            call.progress = message
            if call.on_progress is not None:
                call.on_progress(message)

    def result(self, state: DeploymentState, message: m.Result) -> None:
        """The call succeeded."""
        call = self._of(state, message.id)
        if call is not None:
            call.result = message.result
            self._settle(call, "succeeded")
        elif message.id not in self._open:
            self._late(state, message.id, "succeeded")

    def failure(self, state: DeploymentState, message: m.Failure) -> bool:
        """The call ended without a result; False when another attempt took its place, which needs no receipt."""
        call = self._of(state, message.id)
        if call is None:
            if message.id not in self._open:
                self._late(state, message.id, message.outcome.value)
        elif message.outcome is m.Outcome.INTERRUPTED:
            return self._interrupted(call, message)
        elif message.outcome is m.Outcome.REFUSED and call.row.attempt > 1:
            # An earlier attempt may have run: `refused` would say that it did not.
            reason = f"interrupted, outcome unknown: a later attempt was refused: {message.error.message}"
            error = msgspec.structs.replace(message.error, code=OUTCOME_UNKNOWN, message=reason)
            self._settle(call, "interrupted", error=error)
        else:
            self._settle(call, message.outcome.value, error=message.error)
        return True

    def _interrupted(self, call: PendingCall, message: m.Failure) -> bool:
        """An attempt ended and nobody knows how far it came: send the call again if that may be."""
        if 0 < message.attempt < call.row.attempt:
            return False
        state = call.deployment
        if not self._may_repeat(call):
            self._settle(call, "interrupted", error=message.error)
        elif state.is_serving and state.link is not None:
            self._send_again(call, state.link)
            return False
        else:
            # It is about to go; it may be back in time.
            call.link = None
            call.error = message.error
        return True

    def _may_repeat(self, call: PendingCall) -> bool:
        if self.is_stopping or call.cancel_reason is not None or call.row.attempt >= MAX_ATTEMPTS:
            return False
        spec = call.deployment.tools.get(call.row.tool)
        return spec is not None and spec.repeat in REPEATABLE and _remaining_ms(call) > 0

    def _send_again(self, call: PendingCall, link: Link) -> None:
        row = call.row
        row.attempt += 1
        call.link = link
        call.error = None
        log.info("call sent again call=%s tool=%s attempt=%d", row.id, row.tool, row.attempt)
        link.send(self._message(call, _remaining_ms(call)))
        self._journal.started(call)

    def _of(self, state: DeploymentState, call_id: str) -> PendingCall | None:
        call = self._open.get(call_id)
        if call is None:
            return None
        if call.deployment is not state:
            # One deployment never answers for another, whatever ids it sends.
            log.warning("message for a call of another deployment deployment=%s call=%s", state.row.id, call_id)
            return None
        return call

    def _late(self, state: DeploymentState, call_id: str, outcome: str) -> None:
        if not call_id.startswith("probe_"):
            self._journal.late(state.row.organization_id, call_id, state.row.id, outcome)

    def link_lost(self, state: DeploymentState, link: Link) -> None:
        """Calls sent over `link` stay open; their outcome may come over another."""
        if state.open_calls:
            for call in self._open.values():
                if call.link is link:
                    call.link = None

    def link_registered(self, state: DeploymentState, link: Link) -> None:
        """Tell a new link which of the calls it may still hold are not wanted any more, and send others again."""
        if state.open_calls:
            for call in self._open.values():
                if call.deployment is not state:
                    continue
                if call.cancel_reason is not None:
                    link.send(m.Cancel(id=call.row.id, reason=call.cancel_reason))
                elif call.link is None and self._may_repeat(call):
                    self._send_again(call, link)

    # ---- ending

    def get(self, organization_id: str, call_id: str) -> PendingCall | None:
        """An open call of this organization."""
        call = self._open.get(call_id)
        return call if call is not None and call.row.organization_id == organization_id else None

    def expects(self, deployment_id: str, call_id: str) -> bool:
        """Whether this deployment runs an open call of this id."""
        call = self._open.get(call_id)
        return call is not None and call.deployment.row.id == deployment_id

    def cancel(self, call: PendingCall, reason: str) -> None:
        """Ask the connector to stop; the outcome it reports is still the outcome."""
        if call.cancel_reason is None:
            call.cancel_reason = reason
            if call.link is not None:
                call.link.send(m.Cancel(id=call.row.id, reason=reason))

    def _deadline(self, call: PendingCall, timeout_ms: int) -> None:
        call.timer = None
        if call.link is None:
            self._settle(call, "interrupted", error=call.error or outcome_unknown())
            return
        call.link.send(m.Cancel(id=call.row.id, reason="deadline"))
        text = f"The tool {call.row.tool!r} gave no outcome within {timeout_ms / 1000:g} s."
        error = m.CallError(code="timed_out", message=text, hint="Give the call more time, or look at the connector.")
        self._settle(call, "timed_out", error=error)

    def _settle(self, call: PendingCall, outcome: str, *, error: m.CallError | None = None) -> None:
        row = call.row
        if self._open.pop(row.id, None) is not None:
            call.deployment.open_calls -= 1
            if not self._open:
                self._all_ended.set()
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        row.outcome = outcome
        self.outcomes[outcome] += 1
        row.duration_ms = round((asyncio.get_running_loop().time() - call.started) * 1000, 3)
        if error is not None:
            call.error = error
            row.error_code, row.error_message, row.error_hint = error.code, error.message, error.hint
            if call.keep and bytes(error.detail) != NO_DETAIL:
                row.error_detail = bytes(error.detail)
        elif call.keep and call.result is not None:
            row.result = bytes(call.result)
        self._journal.ended(call)
        call.on_end(call)

    async def drain(self, timeout_s: float) -> None:
        """Take no new calls, wait for the open ones, and end the rest as interrupted."""
        self.is_stopping = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_ended.wait()
        except TimeoutError:
            log.info("calls interrupted by the stop calls=%d", len(self._open))
        for call in list(self._open.values()):
            self._settle(call, "interrupted", error=outcome_unknown())

    @property
    def open_calls(self) -> int:
        """How many calls have no outcome yet."""
        return len(self._open)


def _remaining_ms(call: PendingCall) -> int:
    """Time left for the tool."""
    return int((call.deadline - asyncio.get_running_loop().time()) * 1000)


def outcome_unknown() -> m.CallError:
    """The link went away and nobody brought the outcome in time."""
    return m.CallError(
        code=OUTCOME_UNKNOWN,
        message="interrupted, outcome unknown: the link to the connector was lost while the call was open.",
        hint="Check on the connector's machine whether the tool ran before calling it again.",
    )
