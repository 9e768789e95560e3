"""Between the link and the tools: each call that arrives becomes exactly one outcome that the platform confirms.

An outcome is kept until its receipt. One that could not be sent, or whose receipt was lost with the link or with this
process, is sent again after the reconnect; a call id that comes again gets the stored outcome. Only a call that was
interrupted, of a tool that may be repeated, runs again when it comes as a later attempt. What happens to each call is
noted in the ledger; a call of a `once` tool starts when its mark is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

import msgspec

from edge_connector.core.clock import Clock
from edge_connector.core.errors import EdgeError
from edge_connector.runtime.call_ports import Executor, Ledger, OpenCall
from edge_connector.runtime.outcomes import is_repeatable, message_of_outcome, message_of_row, message_size
from edge_connector.tools import endings
from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind
from edge_connector.tools.endings import Ending
from edge_connector.tools.ledger.ledger import Marked
from edge_connector.tools.ledger.records import CallRow
from edge_connector.wire import messages as m

log = logging.getLogger(__name__)

MAX_HELD = 10_000
MAX_HELD_BYTES = 64 * 1024 * 1024
MAX_RECENT = 1_000
MAX_RECENT_BYTES = 16 * 1024 * 1024
MAX_KNOWN = 20_000
"""Ids of calls that are over and not in memory any more; one of them that comes again is looked up in the ledger."""


class CallDesk:
    """Takes calls from the link to the executor and outcomes back. It is the executor's sink."""

    def __init__(
        self,
        send: Callable[[m.Message], bool],
        *,
        ledger: Ledger,
        on_change: Callable[[], None],
        on_finished: Callable[[CallRequest, float, CallOutcome], None],
        clock: Clock,
    ) -> None:
        """`on_finished` hears of each call with the wall-clock moment of its start and its outcome."""
        self._send = send
        self._ledger = ledger
        self._on_change = on_change
        self._on_finished = on_finished
        self._clock = clock
        self._executor: Executor
        self._running: dict[str, OpenCall] = {}
        self._held: dict[str, m.Result | m.Failure] = {}
        self._held_bytes = 0
        self._recent: dict[str, m.Result | m.Failure] = {}
        self._recent_bytes = 0
        self._probe_calls: dict[str, str] = {}
        self._settled = asyncio.Event()
        self._local: dict[str, asyncio.Future[CallOutcome]] = {}
        self.on_probe_done: Callable[[str, bool], None] = lambda nonce, tools_proven: None
        """Called when the platform confirmed the outcome of a probe's call."""
        self.max_result_bytes = m.MAX_RESULT_BYTES
        """What the platform takes; larger results would end the session each time they are sent."""
        self.received = 0
        self.outcomes: Counter[str] = Counter()
        self.dropped = 0
        """Outcomes given up because the platform was away for too long."""

    def attach(self, executor: Executor) -> None:
        """Give the desk its executor, which in turn needs the desk as its sink; before anybody can call."""
        self._executor = executor

    @property
    def unconfirmed(self) -> int:
        """Outcomes that the platform has not confirmed yet."""
        return len(self._held)

    @property
    def open(self) -> int:
        """Calls that have no outcome yet; probes are not work."""
        return sum(1 for call in self._running.values() if not call.request.probe)

    async def settled(self) -> None:
        """Returns when no call runs and the platform confirmed every outcome."""
        while self._running or self._held:
            self._settled.clear()
            await self._settled.wait()

    def _look_whether_settled(self) -> None:
        if not self._running and not self._held:
            self._settled.set()

    # ---- from the platform

    def on_call(self, call: m.Call) -> None:
        """Run a call, unless it is here already."""
        call_id = call.id
        if (running := self._running.get(call_id)) is not None:
            running.attempt = max(running.attempt, call.attempt)
            self._send(m.Accepted(id=call_id))
            return
        stored = self._held.get(call_id) or self._recent.get(call_id)
        if stored is not None:
            if not self._runs_again(call.tool, call.attempt, stored):
                self._send(stored)
                return
            self._forget(call_id)
        self.received += 1
        if call.probe:
            self._probe_calls[call_id] = call.probe
        context = call.context
        request = CallRequest(
            id=call_id,
            tool=call.tool,
            arguments=call.arguments,
            remaining_s=call.remaining_ms / 1000 if call.remaining_ms else None,
            user=context.user,
            organization=context.organization,
            deployment=context.deployment,
            agent=context.agent,
            attempt=call.attempt,
            probe=bool(call.probe),
        )
        open_call = OpenCall(request, self._clock.wall())
        if stored is None and (call.attempt > 1 or call_id in self._ledger.known):
            self._look_up(open_call)
        else:
            self._begin(open_call)

    def _begin(self, call: OpenCall) -> None:
        """Note the call and let it run; one that must not run twice waits for its mark."""
        request = call.request
        self._running[request.id] = call
        if not request.probe:
            info = self._executor.tool(request.tool)
            is_local = request.id in self._local
            if info is not None and not is_repeatable(info.repeat):
                call.is_held_back = True
                self._ledger.mark(request, info, lambda marked: self._marked(call, marked), is_local=is_local)
                return
            call.is_recorded = True
            self._ledger.received(request, info, is_local=is_local)
        self._executor.submit(request)

    def _marked(self, call: OpenCall, marked: Marked) -> None:
        """The mark of a `once` call is on the disk, or cannot be; or the call was here before."""
        call.is_held_back = False
        if marked.problem is not None:
            self._end(call, _not_started(marked.problem))
        elif marked.earlier is not None:
            self._answer_again(call, marked.earlier)
        else:
            call.is_recorded = True
            self._release(call, waited_s=self._clock.wall() - call.began)

    def _release(self, call: OpenCall, *, waited_s: float) -> None:
        """Give a call that was held back to the executor, unless it is too late for it."""
        request = call.request
        if call.cancelled is not None:
            self._end(call, endings.cancelled(request.tool, call.cancelled))
            return
        if request.remaining_s is not None and waited_s > 0:
            if waited_s >= request.remaining_s:
                self._end(call, endings.out_of_time(request.tool, request.remaining_s, started=False))
                return
            request = msgspec.structs.replace(request, remaining_s=request.remaining_s - waited_s)
        self._executor.submit(request)

    def _end(self, call: OpenCall, ending: Ending) -> None:
        """End a call that the executor never had."""
        request = call.request
        self.finished(
            CallOutcome(request.id, ending.kind, request.tool, None, ending.code, ending.message, ending.hint)
        )

    def on_cancel(self, cancel: m.Cancel) -> None:
        """Stop a call."""
        self._cancel(cancel.id, cancel.reason)

    def _cancel(self, call_id: str, reason: str) -> None:
        call = self._running.get(call_id)
        if call is not None and call.is_held_back:
            call.cancelled = reason
        else:
            self._executor.cancel(call_id, reason)

    def on_receipt(self, receipt: m.Receipt) -> None:
        """Forget confirmed outcomes."""
        for call_id in receipt.ids:
            outcome = self._held.pop(call_id, None)
            if outcome is None:
                continue
            self._held_bytes -= message_size(outcome)
            self._remember(outcome)
            if (nonce := self._probe_calls.pop(call_id, None)) is not None:
                self.on_probe_done(nonce, isinstance(outcome, m.Result))
            else:
                self._ledger.confirmed(call_id)
        self._look_whether_settled()

    async def run_locally(self, request: CallRequest) -> CallOutcome:
        """Run a call of somebody on this machine: same executor, limits and checks, but the platform does not hear of
        it.
        """
        future: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        self._local[request.id] = future
        self._begin(OpenCall(request, self._clock.wall()))
        try:
            return await future
        finally:
            if not future.done() or future.cancelled():
                self._cancel(request.id, "whoever asked went away")

    # ---- calls that were here before

    def _runs_again(self, tool: str, attempt: int, stored: m.Result | m.Failure) -> bool:
        """Whether a call that was interrupted runs as this later attempt."""
        if not isinstance(stored, m.Failure) or stored.outcome is not m.Outcome.INTERRUPTED:
            return False
        return attempt > stored.attempt and self._may_repeat(tool)

    def _may_repeat(self, tool: str) -> bool:
        info = self._executor.tool(tool)
        return info is not None and is_repeatable(info.repeat)

    def _look_up(self, call: OpenCall) -> None:
        """Ask the ledger about a call that may have been here before; until then it is held back."""
        call.is_held_back = True
        self._running[call.request.id] = call
        self._ledger.find(call.request.id, lambda earlier: self._looked_up(call, earlier))

    def _looked_up(self, call: OpenCall, earlier: CallRow | None) -> None:
        call.is_held_back = False
        if earlier is not None:
            self._answer_again(call, earlier)
        else:
            self._begin_unless_cancelled(call)

    def _answer_again(self, call: OpenCall, earlier: CallRow) -> None:
        """Send what came of the call the first time, or run it again if that may be."""
        request = call.request
        message = message_of_row(earlier)
        is_gone = isinstance(message, m.Failure) and earlier.outcome == OutcomeKind.SUCCEEDED
        if self._runs_again(request.tool, call.attempt, message) or (is_gone and self._may_repeat(request.tool)):
            self._begin_unless_cancelled(call)
            return
        del self._running[request.id]
        self._send(self._fit(message))
        self._look_whether_settled()

    def _begin_unless_cancelled(self, call: OpenCall) -> None:
        if call.cancelled is not None:
            self._end(call, endings.cancelled(call.request.tool, call.cancelled))
        else:
            self._begin(call)

    def _forget(self, call_id: str) -> None:
        """A later attempt takes the place of what came of an earlier one."""
        if (held := self._held.pop(call_id, None)) is not None:
            self._held_bytes -= message_size(held)
        if (recent := self._recent.pop(call_id, None)) is not None:
            self._recent_bytes -= message_size(recent)

    def take_up(self, deployment: str) -> None:
        """Hold what an earlier process could not deliver, if it was for this deployment (its id)."""
        others = 0
        for row in self._ledger.take_unfinished():
            if row.deployment and deployment and row.deployment != deployment:
                others += 1
            elif row.id not in self._held and row.id not in self._running:
                self._hold(message_of_row(row))
        if others:
            log.warning("outcomes for another deployment stay in the ledger count=%d", others)

    def send_held(self) -> None:
        """After a reconnect: send every outcome that was never confirmed."""
        if self._held:
            log.info("sending outcomes that were not confirmed count=%d", len(self._held))
        for call_id, outcome in self._held.items():
            # The platform that is back may take less than the one the outcome was kept for.
            self._held[call_id] = fitting = self._fit(outcome)
            if self._send(fitting) and call_id not in self._probe_calls:
                self._ledger.reported(call_id)

    # ---- from the executor

    def accepted(self, call_id: str) -> None:
        """The call takes longer than an instant."""
        if call_id not in self._local:
            self._send(m.Accepted(id=call_id))
        if self._running[call_id].is_recorded:
            self._ledger.accepted(call_id)
        # Who shows running calls need not hear of those that are over already.
        self._on_change()

    def progress(self, call_id: str, fraction: float | None, message: str) -> None:
        """Pass a tool's progress on."""
        if call_id not in self._local:
            self._send(m.Progress(id=call_id, fraction=-1.0 if fraction is None else fraction, message=message))

    def finished(self, outcome: CallOutcome) -> None:
        """Keep the outcome and send it if the link is up."""
        call = self._running.pop(outcome.id)
        self._on_finished(call.request, call.began, outcome)
        self.outcomes[outcome.kind] += 1
        if (local := self._local.pop(outcome.id, None)) is not None:
            if call.is_recorded:
                self._ledger.finished(outcome, is_reported=False, is_local=True)
            if not local.done():
                local.set_result(outcome)
            self._look_whether_settled()
            self._on_change()
            return
        message = self._fit(message_of_outcome(outcome, call.attempt))
        self._hold(message)
        is_reported = self._send(message)
        if call.is_recorded:
            self._ledger.finished(outcome, is_reported=is_reported)
        self._on_change()

    def _hold(self, message: m.Result | m.Failure) -> None:
        self._held[message.id] = message
        self._held_bytes += message_size(message)
        while len(self._held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
            oldest = next(iter(self._held))
            self._held_bytes -= message_size(self._held.pop(oldest))
            self._probe_calls.pop(oldest, None)
            self.dropped += 1
            log.warning("outcome given up, too many wait for the platform call=%s dropped=%d", oldest, self.dropped)

    def _fit(self, message: m.Result | m.Failure) -> m.Result | m.Failure:
        if not isinstance(message, m.Result) or message_size(message) <= self.max_result_bytes:
            return message
        error = m.CallError(
            code="result_too_large",
            message=f"The result has {message_size(message)} bytes, the platform takes {self.max_result_bytes}.",
            hint="Let the tool return less, or a path or page instead of everything.",
        )
        return m.Failure(id=message.id, outcome=m.Outcome.FAILED, error=error, duration_ms=message.duration_ms)

    def _remember(self, outcome: m.Result | m.Failure) -> None:
        """Keep a confirmed outcome for a while: a call that is sent twice must not run twice."""
        self._recent[outcome.id] = outcome
        self._recent_bytes += message_size(outcome)
        while len(self._recent) > MAX_RECENT or self._recent_bytes > MAX_RECENT_BYTES:
            oldest = self._recent.pop(next(iter(self._recent)))
            self._recent_bytes -= message_size(oldest)
            known = self._ledger.known
            known[oldest.id] = None
            if len(known) > MAX_KNOWN:
                del known[next(iter(known))]


def _not_started(problem: EdgeError) -> Ending:
    """The ledger cannot keep the start of a call that must not run twice."""
    message = f"{problem.message} Tools that must not run twice are not started meanwhile."
    return Ending(OutcomeKind.REFUSED, problem.code, message, problem.hint)
