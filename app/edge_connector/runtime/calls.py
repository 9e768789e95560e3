"""Between the link and the tools: each call that arrives becomes exactly one outcome that the platform confirms.

An outcome is kept until its receipt. One that could not be sent, or whose receipt was lost with the link, is sent
again after the reconnect; a call id that comes again gets the stored outcome and never runs twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from msgspec import Raw

from edge_connector.core.clock import Clock
from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind
from edge_connector.wire import messages as m

log = logging.getLogger(__name__)

MAX_HELD = 10_000
NO_DETAIL = Raw(b"null")
MAX_HELD_BYTES = 64 * 1024 * 1024
MAX_RECENT = 1_000
MAX_RECENT_BYTES = 16 * 1024 * 1024


class Executor(Protocol):
    """What runs the calls."""

    def submit(self, request: CallRequest) -> None:
        """Start or queue a call; its outcome comes back exactly once."""
        ...

    def cancel(self, call_id: str, reason: str) -> None:
        """Stop a call; unknown ids are ignored."""
        ...


class CallDesk:
    """Takes calls from the link to the executor and outcomes back. It is the executor's sink."""

    def __init__(
        self,
        send: Callable[[m.Message], bool],
        *,
        on_change: Callable[[], None],
        on_finished: Callable[[CallRequest, float, CallOutcome], None],
        clock: Clock,
    ) -> None:
        """`on_finished` hears of each call with the wall-clock moment of its start and its outcome."""
        self._send = send
        self._on_change = on_change
        self._on_finished = on_finished
        self._clock = clock
        self._executor: Executor | None = None
        self._running: dict[str, tuple[CallRequest, float]] = {}
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
        """Give the desk its executor, which in turn needs the desk as its sink."""
        self._executor = executor

    @property
    def unconfirmed(self) -> int:
        """Outcomes that the platform has not confirmed yet."""
        return len(self._held)

    @property
    def open(self) -> int:
        """Calls that have no outcome yet; probes are not work."""
        return sum(1 for request, _ in self._running.values() if not request.probe)

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
        if (stored := self._held.get(call.id) or self._recent.get(call.id)) is not None:
            self._send(stored)
            return
        if call.id in self._running:
            self._send(m.Accepted(id=call.id))
            return
        self.received += 1
        if call.probe:
            self._probe_calls[call.id] = call.probe
        context = call.context
        self._submit(
            CallRequest(
                id=call.id,
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
        )

    def _submit(self, request: CallRequest) -> None:
        assert self._executor is not None, "the executor is attached before anybody can call"
        self._running[request.id] = (request, self._clock.wall())
        self._executor.submit(request)

    def on_cancel(self, cancel: m.Cancel) -> None:
        """Stop a call."""
        assert self._executor is not None, "the executor is attached before the link starts"
        self._executor.cancel(cancel.id, cancel.reason)

    def on_receipt(self, receipt: m.Receipt) -> None:
        """Forget confirmed outcomes."""
        for call_id in receipt.ids:
            outcome = self._held.pop(call_id, None)
            if outcome is None:
                continue
            self._held_bytes -= _size(outcome)
            self._remember(outcome)
            if (nonce := self._probe_calls.pop(call_id, None)) is not None:
                self.on_probe_done(nonce, isinstance(outcome, m.Result))
        self._look_whether_settled()

    async def run_locally(self, request: CallRequest) -> CallOutcome:
        """Run a call of somebody on this machine: same executor, limits and checks, but the platform does not hear of
        it.
        """
        assert self._executor is not None, "the executor is attached before anybody can call"
        future: asyncio.Future[CallOutcome] = asyncio.get_running_loop().create_future()
        self._local[request.id] = future
        self._submit(request)
        try:
            return await future
        finally:
            if not future.done() or future.cancelled():
                self._executor.cancel(request.id, "whoever asked went away")

    def send_held(self) -> None:
        """After a reconnect: send every outcome that was never confirmed."""
        if self._held:
            log.info("sending outcomes that were not confirmed count=%d", len(self._held))
        for call_id, outcome in self._held.items():
            # The platform that is back may take less than the one the outcome was kept for.
            self._held[call_id] = fitting = self._fit(outcome)
            self._send(fitting)

    # ---- from the executor

    def accepted(self, call_id: str) -> None:
        """The call takes longer than an instant."""
        if call_id not in self._local:
            self._send(m.Accepted(id=call_id))

    def progress(self, call_id: str, fraction: float | None, message: str) -> None:
        """Pass a tool's progress on."""
        if call_id not in self._local:
            self._send(m.Progress(id=call_id, fraction=-1.0 if fraction is None else fraction, message=message))

    def finished(self, outcome: CallOutcome) -> None:
        """Keep the outcome and send it if the link is up."""
        request, started = self._running.pop(outcome.id)
        self._on_finished(request, started, outcome)
        self.outcomes[outcome.kind] += 1
        if (local := self._local.pop(outcome.id, None)) is not None:
            if not local.done():
                local.set_result(outcome)
            self._look_whether_settled()
            self._on_change()
            return
        message = self._fit(_to_message(outcome))
        self._hold(message)
        self._send(message)
        self._on_change()

    def _hold(self, message: m.Result | m.Failure) -> None:
        self._held[message.id] = message
        self._held_bytes += _size(message)
        while len(self._held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
            oldest = next(iter(self._held))
            self._held_bytes -= _size(self._held.pop(oldest))
            self._probe_calls.pop(oldest, None)
            self.dropped += 1
            log.warning("outcome given up, too many wait for the platform call=%s dropped=%d", oldest, self.dropped)

    def _fit(self, message: m.Result | m.Failure) -> m.Result | m.Failure:
        if not isinstance(message, m.Result) or _size(message) <= self.max_result_bytes:
            return message
        error = m.CallError(
            code="result_too_large",
            message=f"The result has {_size(message)} bytes, the platform takes {self.max_result_bytes}.",
            hint="Let the tool return less, or a path or page instead of everything.",
        )
        return m.Failure(id=message.id, outcome=m.Outcome.FAILED, error=error, duration_ms=message.duration_ms)

    def _remember(self, outcome: m.Result | m.Failure) -> None:
        """Keep a confirmed outcome for a while: a call that is sent twice must not run twice."""
        self._recent[outcome.id] = outcome
        self._recent_bytes += _size(outcome)
        while len(self._recent) > MAX_RECENT or self._recent_bytes > MAX_RECENT_BYTES:
            oldest = self._recent.pop(next(iter(self._recent)))
            self._recent_bytes -= _size(oldest)


def _to_message(outcome: CallOutcome) -> m.Result | m.Failure:
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
    )


def _size(message: m.Result | m.Failure) -> int:
    if isinstance(message, m.Result):
        return len(memoryview(message.result))
    return len(memoryview(message.error.detail)) + len(message.error.message) + 256
