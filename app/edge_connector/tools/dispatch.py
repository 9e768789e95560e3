"""Moves calls from `submit` to their one outcome: queue, slots, deadlines, cancellation, deaths of workers.

It starts no process itself; `pool` does. Everything runs on the loop's thread and nothing blocks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable

from msgspec import Raw

from edge_connector.core.tasks import TaskOwner
from edge_connector.tools import endings, frames
from edge_connector.tools.active import NEVER, ActiveCall
from edge_connector.tools.calls import CallOutcome, CallRequest, CallSink, Counters, ExecutorConfig, OutcomeKind
from edge_connector.tools.children import ChildrenWatch
from edge_connector.tools.endings import Ending
from edge_connector.tools.pool import WorkerPool
from edge_connector.tools.process import WorkerProcess

log = logging.getLogger(__name__)

SWEEP_S = 0.02
"""One timer looks after all deadlines; it runs only while there are calls."""
ACCEPT_AFTER_S = 0.05
MORE_WORKERS_AFTER_S = 0.015
"""A sync call that waited this long for a worker is worth a new process; shorter waits are cheaper than a start."""
_CORES = os.cpu_count() or 1


class Dispatcher:
    """All calls that are not finished. It is the pool's event target (`pool.PoolEvents`).

    Attributes:
        pool: where new calls go; None before start and after stop.
        closing: why new calls are refused; empty while they are taken.
    """

    def __init__(self, config: ExecutorConfig, sink: CallSink, tasks: TaskOwner, counters: Counters) -> None:
        self.pool: WorkerPool | None = None
        self.closing = ""
        self.calls: dict[str, ActiveCall] = {}
        self.running = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._config = config
        self._sink = sink
        self._counters = counters
        self._queues: dict[bool, deque[ActiveCall]] = {True: deque(), False: deque()}  # by `is_async`
        self._sequence = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._probe: ActiveCall | None = None
        self._children = ChildrenWatch(config.max_children, tasks)
        self.on_pool_changed: Callable[[], None] = lambda: None

    @property
    def queued(self) -> int:
        """Calls that wait for a slot or a worker."""
        return sum(map(len, self._queues.values()))

    # ---- in

    def submit(self, request: CallRequest) -> None:
        """Take a call, or refuse it at once."""
        if request.id in self.calls:
            log.warning("call is running already, the repetition is ignored call=%s tool=%s", request.id, request.tool)
            return
        self._counters.calls += 1
        now = time.monotonic()
        pool = self.pool
        if self.closing or pool is None:
            self._refuse(request, endings.draining(self.closing or "it has not started"))
            return
        info = pool.tools.get(request.tool)
        if info is None:
            self._refuse(request, self._unknown(request, pool))
            return
        if reason := pool.unavailable("async" if info.is_async else "sync"):
            self._refuse(request, endings.workers_unavailable(request.tool, reason))
            return
        try:
            arguments = frames.one_value(request.arguments)
        except ValueError as error:
            self._refuse(request, endings.arguments_unreadable(request.tool, str(error)))
            return
        limit = info.timeout_s if info.timeout_s is not None else self._config.default_timeout_s
        if request.remaining_s is not None and request.remaining_s < limit:
            limit = request.remaining_s
        call = ActiveCall(request, info, arguments, next(self._sequence), now, now + limit)
        if request.probe and self._probe is None:
            self._probe = call
            call.uses_probe_slot = True
        queue = self._queues[info.is_async]
        if (queue and not call.uses_probe_slot) or not self._try_run(call, now):
            if self.queued >= self._config.queue and not call.uses_probe_slot:
                self._refuse(request, endings.busy(self.running, self.queued))
                return
            if call.uses_probe_slot:
                queue.appendleft(call)
            else:
                queue.append(call)
        self.calls[request.id] = call
        if self._timer is None:
            self.idle.clear()
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def use(self, pool: WorkerPool) -> None:
        """Serve from this pool from now on; waiting calls meet its tools, running ones stay where they are."""
        self.pool = pool
        for call in [call for queue in self._queues.values() for call in queue]:
            if call.request.tool not in pool.tools:
                self._finish_as(call, self._unknown(call.request, pool))
        waiting = sorted((call for queue in self._queues.values() for call in queue), key=lambda call: call.seq)
        for queue in self._queues.values():
            queue.clear()
        for call in waiting:
            call.info = pool.tools[call.request.tool]  # it may have become async, or have been
            self._queues[call.info.is_async].append(call)
        self._pump()

    def cancel(self, call_id: str, reason: str) -> None:
        """Stop a call; its outcome follows. Unknown ids are ignored: the call may just have ended."""
        call = self.calls.get(call_id)
        if call is not None and call.ending is None:
            self._end(call, endings.cancelled(call.request.tool, reason))

    def _end(self, call: ActiveCall, ending: Ending) -> None:
        """Make a call stop: at once when it waits, otherwise by asking its worker, who is given the grace time."""
        if call.worker is None:
            self._finish_as(call, ending)
            return
        call.ending = ending
        call.kill_at = time.monotonic() + self._config.cancel_grace_s
        call.worker.cancel(call.seq)

    def _refuse(self, request: CallRequest, ending: Ending) -> None:
        self._report(CallOutcome(request.id, ending.kind, request.tool, None, ending.code, ending.message, ending.hint))

    @staticmethod
    def _unknown(request: CallRequest, pool: WorkerPool) -> Ending:
        if pool.tools:
            return endings.unknown_tool(request.tool, pool.tools)
        reason = pool.unavailable("async") or pool.unavailable("sync") or "none has loaded the tools yet"
        return endings.workers_unavailable(request.tool, reason)

    # ---- running

    def _try_run(self, call: ActiveCall, now: float) -> bool:
        """Give the call to a worker if there are a slot and a worker for it."""
        if self.running >= self._config.concurrency and not call.uses_probe_slot:
            return False
        pool = self.pool
        assert pool is not None
        worker = pool.async_worker if call.info.is_async else pool.take_sync()
        if worker is None or worker.ending:
            return False
        request = call.request
        worker.send(
            frames.Call(
                call.seq,
                request.id,
                request.tool,
                call.arguments,
                call.deadline - now,
                request.user,
                request.organization,
                request.deployment,
                request.agent,
            )
        )
        call.worker = worker
        call.started = now
        worker.calls[call.seq] = call
        if not call.uses_probe_slot:
            self.running += 1
        return True

    def _pump(self) -> None:
        """Start waiting calls while there are slots and workers, the oldest first."""
        if self.pool is None or not any(self._queues.values()):
            return
        now = time.monotonic()
        blocked: set[bool] = set()
        while len(blocked) < 2:
            heads = [(queue[0].seq, key) for key, queue in self._queues.items() if queue and key not in blocked]
            if not heads:
                return
            key = min(heads)[1]
            if self._try_run(self._queues[key][0], now):
                self._queues[key].popleft()
            else:
                blocked.add(key)

    # ---- events of the pool

    def worker_free(self, pool: WorkerPool) -> None:
        """A worker became ready."""
        self._pump()

    def call_replied(self, call: ActiveCall, reply: frames.Done | frames.Fail) -> None:
        """A worker answered."""
        ending = call.ending
        if isinstance(reply, frames.Done):
            # A cancelled call that came to its end all the same did succeed; one that is out of time did not.
            if ending is None or ending.kind is OutcomeKind.CANCELLED:
                self._finish(call, OutcomeKind.SUCCEEDED, result=reply.result)
            else:
                self._finish_as(call, ending)
        else:
            if reply.traceback:
                self._counters.last_traceback = reply.traceback
                log.warning(
                    "tool failed tool=%s call=%s code=%s\n%s",
                    call.request.tool,
                    call.request.id,
                    reply.code,
                    reply.traceback,
                )
            if ending is not None:
                self._finish_as(call, ending)
            else:
                kind, detail = OutcomeKind(reply.kind), reply.detail_or_none()
                self._finish(call, kind, reply.code, reply.message, reply.hint, detail=detail)
        self._pump()

    def call_said(self, call: ActiveCall, event: frames.Progress | frames.LogLine) -> None:
        """A tool reported progress or wrote to its log."""
        if isinstance(event, frames.LogLine):
            log.log(event.level, "%s tool=%s call=%s", event.message, call.request.tool, call.request.id)
            return
        try:
            self._sink.progress(call.request.id, None if event.fraction < 0 else event.fraction, event.message)
        except Exception:
            log.exception("sink failed call=%s", call.request.id)

    def calls_lost(self, worker: WorkerProcess, calls: list[ActiveCall]) -> None:
        """A worker died with these calls."""
        for call in calls:
            died = endings.worker_died(call.request.tool, worker.exit_reason)
            self._finish_as(call, call.ending or worker.verdict or died)
        self._pump()

    def pool_changed(self, pool: WorkerPool) -> None:
        """Tools or problems of a pool changed."""
        if pool is self.pool:
            for is_async, kind in ((True, "async"), (False, "sync")):
                if self._queues[is_async] and (reason := pool.unavailable(kind)):
                    for call in list(self._queues[is_async]):
                        self._finish_as(call, endings.workers_unavailable(call.request.tool, reason))
        self.on_pool_changed()

    # ---- out

    def _finish_as(self, call: ActiveCall, ending: Ending) -> None:
        self._finish(call, ending.kind, ending.code, ending.message, ending.hint)

    def _finish(
        self,
        call: ActiveCall,
        kind: OutcomeKind,
        code: str = "",
        message: str = "",
        hint: str = "",
        *,
        result: Raw | None = None,
        detail: Raw | None = None,
    ) -> None:
        """The only way out of a call; the second time does nothing."""
        if call.finished:
            return
        call.finished = True
        if call.worker is None:
            self._queues[call.info.is_async].remove(call)
        elif not call.uses_probe_slot:
            self.running -= 1
        if self._probe is call:
            self._probe = None
        request = call.request
        del self.calls[request.id]
        duration_ms = (time.monotonic() - (call.started or call.submitted)) * 1000
        self._report(CallOutcome(request.id, kind, request.tool, result, code, message, hint, detail, duration_ms))

    def _report(self, outcome: CallOutcome) -> None:
        self._counters.outcomes[outcome.kind] += 1
        try:
            self._sink.finished(outcome)
        except Exception:
            log.exception("sink failed call=%s", outcome.id)

    # ---- time

    def _sweep(self) -> None:
        """Deadlines, announcements, overdue stops, more workers: one pass over all calls."""
        self._timer = None
        if not self.calls:
            self.idle.set()
            return
        now = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        for call in list(self.calls.values()):
            if call.finished:
                continue
            if not call.accepted and now - call.submitted >= ACCEPT_AFTER_S:
                call.accepted = True
                try:
                    self._sink.accepted(call.request.id)
                except Exception:
                    log.exception("sink failed call=%s", call.request.id)
            if call.ending is None:
                if now >= call.deadline:
                    seconds = call.deadline - call.submitted
                    started = call.worker is not None
                    self._end(call, endings.out_of_time(call.request.tool, seconds, started=started))
            elif now >= call.kill_at:
                call.kill_at = NEVER
                self._kill_for(call)
        self._grow(now)
        if self.pool is not None:
            self._children.look(self.calls.values(), now)

    def _kill_for(self, call: ActiveCall) -> None:
        """The call did not stop when asked: its process has to."""
        worker = call.worker
        if worker is None or call.seq not in worker.calls:
            # Its worker knows nothing of it: only a fault in this program leads here, and the caller is owed an end.
            log.error("call without a worker tool=%s call=%s", call.request.tool, call.request.id)
            self._finish(call, OutcomeKind.INTERRUPTED, "worker_died", "The call was lost between two processes.")
            return
        log.warning(
            "tool ignores its end, its worker is killed tool=%s call=%s pid=%d",
            call.request.tool,
            call.request.id,
            worker.pid,
        )
        worker.kill(endings.killed_for(call.request.tool))

    def _grow(self, now: float) -> None:
        """Start sync workers when waiting calls would profit.

        Quick calls are served best by few processes, about one a core; each worker tied up by a slow call adds one.
        """
        if self.pool is None or not self._queues[False]:
            return
        limit = now - MORE_WORKERS_AFTER_S
        waiting = sum(call.submitted <= limit for call in self._queues[False])
        slow = sum(
            call.worker is not None and not call.info.is_async and call.started <= limit for call in self.calls.values()
        )
        self.pool.want_sync(waiting, at_most=min(slow + _CORES, self._config.concurrency))

    # ---- the end

    async def end_all(self, ending: Ending, *, timeout_s: float) -> None:
        """Finish every call as `ending`: waiting ones now, running ones when their processes are dead."""
        for call in list(self.calls.values()):
            if call.worker is None:
                self._finish_as(call, ending)
            else:
                call.ending = call.ending or ending
                call.worker.kill()
        workers = {call.worker for call in self.calls.values() if call.worker is not None}
        try:
            async with asyncio.timeout(timeout_s):
                for worker in workers:
                    await worker.gone.wait()
        except TimeoutError:
            pass
        for call in list(self.calls.values()):  # its process hangs in the kernel: the outcome is due all the same
            self._finish_as(call, ending)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.idle.set()
