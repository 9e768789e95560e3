"""The worker processes of one loaded set of tools: one for all async calls, one a sync call, replaced when they die.

A reload makes a new pool and retires the old one. Which call goes where is `dispatch`'s business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Protocol

from edge_connector.core.tasks import TaskOwner
from edge_connector.tools import frames
from edge_connector.tools.active import ActiveCall
from edge_connector.tools.calls import Counters, ExecutorConfig, ToolInfo, ToolProblem
from edge_connector.tools.process import WorkerProcess

log = logging.getLogger(__name__)

DELAYS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Before the replacement of a worker that died by itself, by deaths in a row."""
HEALTHY_AFTER_S = 30.0
"""A worker that lived this long forgives the deaths before it."""
PATIENCE_S = 2.0
"""Calls wait for a replacement that starts within this time; later means `workers_unavailable`."""
STARTS_BEFORE_REFUSAL = 2
MAX_STARTING = 4
"""Sync workers that start at the same time: each costs a core some 60 ms."""


class PoolEvents(Protocol):
    """What a pool tells the dispatcher."""

    def worker_free(self, pool: WorkerPool) -> None: ...
    def call_replied(self, call: ActiveCall, reply: frames.Done | frames.Fail) -> None: ...
    def call_said(self, call: ActiveCall, event: frames.Progress | frames.LogLine) -> None: ...
    def calls_lost(self, worker: WorkerProcess, calls: list[ActiveCall]) -> None: ...
    def pool_changed(self, pool: WorkerPool) -> None: ...


@dataclass(slots=True)
class _Recovery:
    """The deaths of one kind of worker."""

    deaths: int = 0
    failed_starts: int = 0
    reason: str = ""
    retry_at: float = 0.0
    timer: asyncio.TimerHandle | None = None
    starting: int = 0
    serving: set[WorkerProcess] = field(default_factory=set)


class WorkerPool:
    """All workers that serve one state of the code on disk.

    Attributes:
        tools: what they serve, known when the first is ready.
        async_worker: the one for async calls; None while it is not ready.
        idle: sync workers without a call; the last one in is the first one out, so that the others can end.
    """

    def __init__(
        self, generation: int, config: ExecutorConfig, events: PoolEvents, tasks: TaskOwner, counters: Counters
    ) -> None:
        self.generation = generation
        self.config = config
        self.tools: dict[str, ToolInfo] = {}
        self.async_worker: WorkerProcess | None = None
        self.idle: list[WorkerProcess] = []
        self.workers: set[WorkerProcess] = set()
        self.retired = False
        self._events = events
        self._tasks = tasks
        self._counters = counters
        self._load_problems: list[ToolProblem] = []
        self._crash_problems: list[ToolProblem] = []
        self._skip: list[str] = []
        self._kinds = {"async": _Recovery(), "sync": _Recovery()}
        self._number = 0
        self._cleaning: set[WorkerProcess] = set()
        self._settled = asyncio.Event()
        self._trim_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Start one worker of each kind."""
        self._spawn("async")
        self._spawn("sync")

    async def settled(self) -> None:
        """Wait until each kind serves or is known not to."""
        await self._settled.wait()

    # ---- what is served

    @property
    def problems(self) -> tuple[ToolProblem, ...]:
        """What went wrong while loading, and whether workers are missing now."""
        problems = [*self._load_problems, *self._crash_problems]
        for kind in self._kinds:
            if reason := self.unavailable(kind):
                message = f"No process for {kind} tools can be started: {reason}."
                hint = "It is tried again by itself; look into the connector's log."
                problems += [ToolProblem("workers_unavailable", kind, message, hint)]
        return tuple(problems)

    def unavailable(self, kind: str) -> str:
        """Why calls of this kind cannot be served soon; empty when they can."""
        recovery = self._kinds[kind]
        if recovery.serving or recovery.starting or recovery.timer is None:
            return ""
        wait_s = recovery.retry_at - time.monotonic()
        if recovery.failed_starts >= STARTS_BEFORE_REFUSAL or wait_s > PATIENCE_S:
            return f"{recovery.reason}; next try in {max(wait_s, 0):.1f} s"
        return ""

    # ---- taking and giving back sync workers

    def take_sync(self) -> WorkerProcess | None:
        """A sync worker for one call."""
        while self.idle:
            worker = self.idle.pop()
            if not worker.ending:
                return worker
        return None

    def want_sync(self, waiting: int, *, at_most: int) -> None:
        """So many sync calls wait: start more workers, a few at a time, up to `at_most` in all."""
        recovery = self._kinds["sync"]
        if recovery.timer is not None:
            return  # the last one died: wait for its back-off
        room = min(at_most - len(recovery.serving), MAX_STARTING, waiting) - recovery.starting
        for _ in range(room):
            self._spawn("sync")

    def _give_back(self, worker: WorkerProcess) -> None:
        if worker.kind == "sync" and not worker.ending:
            worker.idle_since = time.monotonic()
            self.idle.append(worker)
            if len(self.idle) > 1 and self._trim_timer is None:
                self._trim_timer = self._loop.call_later(self.config.idle_worker_s, self._trim)

    def _trim(self) -> None:
        """End sync workers that had nothing to do for a while, but one."""
        self._trim_timer = None
        limit = time.monotonic() - self.config.idle_worker_s
        while len(self.idle) > 1 and self.idle[0].idle_since <= limit:
            self.idle.pop(0).close()
        if len(self.idle) > 1:
            due = self.idle[0].idle_since + self.config.idle_worker_s - time.monotonic()
            self._trim_timer = self._loop.call_later(max(due, 0.1), self._trim)

    # ---- events of the workers

    def worker_ready(self, worker: WorkerProcess, ready: frames.Ready) -> None:
        recovery = self._kinds[worker.kind]
        recovery.starting -= 1
        recovery.serving.add(worker)
        recovery.failed_starts = 0
        if not self.tools:
            self.tools = {line.name: _tool_info(line) for line in ready.tools}
            self._load_problems = [
                ToolProblem(line.code, line.name, line.message, line.hint, line.traceback) for line in ready.problems
            ]
        if worker.kind == "async":
            self.async_worker = worker
        self._give_back(worker)
        if self.retired:
            worker.close()
        self._check_settled()
        self._events.pool_changed(self)
        self._events.worker_free(self)

    def worker_replied(self, worker: WorkerProcess, reply: frames.Done | frames.Fail) -> None:
        call = worker.calls.pop(reply.seq, None)
        if call is None:
            return
        if not worker.calls:
            self._give_back(worker)
            if self.retired:
                worker.close()
        self._events.call_replied(call, reply)

    def worker_said(self, worker: WorkerProcess, event: frames.Progress | frames.LogLine) -> None:
        call = worker.calls.get(event.seq)
        if call is not None:
            self._events.call_said(call, event)
        elif isinstance(event, frames.LogLine):
            log.log(event.level, "%s worker=%s pid=%d", event.message, worker.name, worker.pid)

    def worker_gone(self, worker: WorkerProcess) -> None:
        recovery = self._kinds[worker.kind]
        self.workers.discard(worker)
        self._cleaning = {known for known in self._cleaning if not known.cleaned.is_set()} | {worker}
        recovery.serving.discard(worker)
        if worker in self.idle:
            self.idle.remove(worker)
        if self.async_worker is worker:
            self.async_worker = None
        if not worker.ready:
            recovery.starting -= 1
        on_purpose = worker.killed or worker.closing
        if not on_purpose or not worker.ready:
            self._counters.workers_lost += 1
            log.warning(
                "worker died worker=%s kind=%s pid=%d reason=%s",
                worker.name,
                worker.kind,
                worker.pid,
                worker.exit_reason,
            )
        self._counters.output_lines_dropped += sum(reader.dropped for reader in worker.outputs)
        lost = list(worker.calls.values())
        worker.calls.clear()
        if not self.retired:
            self._replace(worker, recovery, on_purpose)
        self._check_settled()
        self._events.calls_lost(worker, lost)
        self._events.pool_changed(self)

    def _replace(self, worker: WorkerProcess, recovery: _Recovery, on_purpose: bool) -> None:
        if not worker.ready and worker.loading:
            self._blame_module(worker)
            delay = 0.0
        elif worker.ready and on_purpose:
            delay = 0.0
        else:
            if worker.ready and time.monotonic() - worker.started_at >= HEALTHY_AFTER_S:
                recovery.deaths = 0
            recovery.deaths += 1
            recovery.failed_starts += not worker.ready
            recovery.reason = f"the last one ended with {worker.exit_reason}"
            delay = DELAYS_S[min(recovery.deaths, len(DELAYS_S)) - 1]
        if not recovery.serving and not recovery.starting:
            self._spawn_later(worker.kind, delay)

    def _blame_module(self, worker: WorkerProcess) -> None:
        """A module that kills its worker while it is imported is left out, so that the others serve."""
        if worker.loading in self._skip:
            return
        self._skip.append(worker.loading)
        reason = "it took too long" if worker.killed else worker.exit_reason
        self._crash_problems.append(
            ToolProblem(
                "module_crashed",
                worker.loading,
                f"Importing {worker.loading} ended its process ({reason}); its tools are not served.",
                "Mend the module and reload the tools.",
            )
        )

    # ---- starting

    def _spawn_later(self, kind: str, delay_s: float) -> None:
        recovery = self._kinds[kind]
        if recovery.timer is not None:
            return
        recovery.retry_at = time.monotonic() + delay_s
        recovery.timer = self._loop.call_later(delay_s, self._respawn, kind)

    def _respawn(self, kind: str) -> None:
        self._kinds[kind].timer = None
        if not self.retired:
            self._spawn(kind)

    def _spawn(self, kind: str) -> None:
        recovery = self._kinds[kind]
        self._number += 1
        worker = WorkerProcess(f"{self.generation}.{self._number}", kind, self.config, self, self._tasks)
        try:
            worker.start(list(self._skip))
        except OSError as error:
            log.error("worker cannot be started kind=%s error=%s", kind, error)
            recovery.deaths += 1
            recovery.failed_starts += 1
            recovery.reason = f"the system refused a new process ({error})"
            self._spawn_later(kind, DELAYS_S[min(recovery.deaths, len(DELAYS_S)) - 1])
            self._check_settled()
            self._events.pool_changed(self)
            return
        recovery.starting += 1
        self._counters.workers_started += 1
        self.workers.add(worker)
        self._tasks.spawn(self._limit_start(worker), name=f"start.{worker.name}")

    async def _limit_start(self, worker: WorkerProcess) -> None:
        """A module may hang while it is imported."""
        deadline = time.monotonic() + self.config.ready_timeout_s
        while not worker.ready and not worker.gone.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                worker.kill()
                return
            try:
                async with asyncio.timeout(min(left, 1.0)):
                    await worker.gone.wait()
            except TimeoutError:
                pass

    def _check_settled(self) -> None:
        if all(recovery.serving or self.unavailable(kind) for kind, recovery in self._kinds.items()):
            self._settled.set()

    # ---- the end

    def retire(self) -> None:
        """Start no more; workers end when their last call does."""
        self.retired = True
        for recovery in self._kinds.values():
            if recovery.timer is not None:
                recovery.timer.cancel()
                recovery.timer = None
        if self._trim_timer is not None:
            self._trim_timer.cancel()
            self._trim_timer = None
        for worker in list(self.workers):
            if not worker.calls and worker.ready:
                worker.close()

    async def stop(self) -> None:
        """End and reap all workers now."""
        self.retire()
        workers = list(self.workers)
        for worker in workers:
            if worker.calls or not worker.ready:
                worker.kill()
        for worker in (*workers, *self._cleaning):
            await worker.cleaned.wait()


def _tool_info(line: frames.ToolLine) -> ToolInfo:
    return ToolInfo(
        name=line.name,
        title=line.title,
        description=line.description,
        parameters=line.parameters,
        result=line.result,
        risk=line.risk,
        repeat=line.repeat,
        timeout_s=line.timeout_s,
        source=line.source,
        is_async=line.is_async,
    )
