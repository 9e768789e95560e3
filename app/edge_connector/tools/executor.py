"""The service that runs tools: start, submit, cancel, reload, drain, stop, and what can be known about it.

It holds the pieces together: `dispatch` moves the calls, `pool` keeps the workers.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from edge_connector.core.errors import UserError
from edge_connector.core.feed import Feed
from edge_connector.core.files import explain_os_error
from edge_connector.core.tasks import TaskOwner
from edge_connector.tools.calls import (
    CallRequest,
    CallSink,
    Catalogue,
    Counters,
    ExecutorConfig,
    ToolInfo,
    ToolProblem,
    WorkerInfo,
)
from edge_connector.tools.dispatch import Dispatcher
from edge_connector.tools.endings import STOPPING
from edge_connector.tools.pool import WorkerPool

log = logging.getLogger(__name__)

END_TIMEOUT_S = 5.0
"""For killed processes to disappear."""


class ToolExecutor:
    """Runs tools in worker processes. A `core.services.Service`.

    Each submitted id gets exactly one `sink.finished`, whatever happens.

    Attributes:
        changes: tools and problems, published whenever they change.
        counters: what happened since the start.
    """

    name = "tools"

    def __init__(self, config: ExecutorConfig, sink: CallSink) -> None:
        self.config = config
        self.counters = Counters()
        self.changes: Feed[Catalogue] = Feed(Catalogue(0, (), ()))
        self._tasks = TaskOwner("tools")
        self._dispatcher = Dispatcher(config, sink, self._tasks, self.counters)
        self._dispatcher.on_pool_changed = self._publish
        self._pools: list[WorkerPool] = []
        self._generation = 0
        self._reloading = asyncio.Lock()

    # ---- life

    async def start(self) -> None:
        """Returns when the tools serve, or when it is known why they do not: that is a problem, not an error.

        Raises:
            UserError: the scratch directory cannot be written, or the system cannot run tool workers.
        """
        if sys.platform == "win32":
            raise UserError(
                "platform_unsupported", "Tool workers run on Linux and macOS only.", hint="Run the connector there."
            )
        await asyncio.to_thread(self._prepare_scratch)
        pool = self._new_pool(self.config)
        self._dispatcher.pool = pool
        await self._settle(pool)
        self._publish()
        log.info("tools serve tools=%d problems=%d", len(pool.tools), len(pool.problems))

    def _prepare_scratch(self) -> None:
        root = self.config.scratch_root
        with explain_os_error(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for leftover in root.glob("worker-*"):
                shutil.rmtree(leftover, ignore_errors=True)

    def _new_pool(self, config: ExecutorConfig) -> WorkerPool:
        self._generation += 1
        pool = WorkerPool(self._generation, config, self._dispatcher, self._tasks, self.counters)
        self._pools.append(pool)
        pool.start()
        return pool

    async def _settle(self, pool: WorkerPool) -> bool:
        try:
            async with asyncio.timeout(self.config.ready_timeout_s + END_TIMEOUT_S):
                await pool.settled()
        except TimeoutError:
            return False
        return bool(pool.tools) and not pool.unavailable("async") and not pool.unavailable("sync")

    async def reload(self, implementations: Path | None = None) -> None:
        """Serve the code as it is on disk now: new workers for new calls, running calls finish on the old ones.

        Args:
            implementations: another directory from now on; None keeps the present one.

        Raises:
            UserError: workers cannot serve the new state; the old one goes on serving.
        """
        async with self._reloading:
            if self._dispatcher.closing or self._dispatcher.pool is None:
                raise UserError("not_serving", "Tools cannot be reloaded while the executor is not serving.")
            config = self.config if implementations is None else replace(self.config, implementations=implementations)
            pool = self._new_pool(config)
            if not await self._settle(pool):
                reason = next((problem.message for problem in pool.problems), "its workers do not start")
                self._pools.remove(pool)
                await pool.stop()
                raise UserError(
                    "reload_failed", f"The tools were not reloaded: {reason}", hint="Mend it and try again."
                )
            old, self.config = self._dispatcher.pool, config
            self._dispatcher.use(pool)
            old.retire()
            self._pools = [known for known in self._pools if known.workers or known is pool]
            self._publish()
            log.info("tools reloaded tools=%d problems=%d", len(pool.tools), len(pool.problems))

    async def drain(self, grace_s: float) -> None:
        """Take no more calls and wait for the present ones, at once when there are none.

        Calls that are not over after `grace_s` seconds end as interrupted (`connector_stopping`); their processes die.
        """
        self._dispatcher.closing = self._dispatcher.closing or "it is stopping"
        if self._dispatcher.calls:
            try:
                async with asyncio.timeout(grace_s):
                    await self._dispatcher.idle.wait()
                return
            except TimeoutError:
                log.warning(
                    "calls outlast the grace period calls=%d grace_s=%.1f", len(self._dispatcher.calls), grace_s
                )
        await self._dispatcher.end_all(STOPPING, timeout_s=END_TIMEOUT_S)

    async def stop(self) -> None:
        """End and reap every worker; calls that still run are interrupted."""
        self._dispatcher.closing = self._dispatcher.closing or "it is stopping"
        await self._dispatcher.end_all(STOPPING, timeout_s=END_TIMEOUT_S)
        self._dispatcher.pool = None
        pools, self._pools = self._pools, []
        for pool in pools:
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await pool.stop()
            except TimeoutError:
                log.error("workers do not end pids=%s", [worker.pid for worker in pool.workers])
        await self._tasks.close()

    # ---- calls

    def submit(self, request: CallRequest) -> None:
        """Run a call. Never blocks; a refusal is reported before it returns.

        An id that is running already is not taken again: the running call's outcome serves both.
        """
        self._dispatcher.submit(request)

    def cancel(self, call_id: str, reason: str = "") -> None:
        """Stop a call; its outcome follows. Unknown and finished ids are ignored."""
        self._dispatcher.cancel(call_id, reason)

    # ---- what can be known

    def tool(self, name: str) -> ToolInfo | None:
        """The tool of that name, if it is served now."""
        pool = self._dispatcher.pool
        return None if pool is None else pool.tools.get(name)

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """What is served now."""
        return self.changes.value.tools

    @property
    def problems(self) -> tuple[ToolProblem, ...]:
        """What somebody has to mend."""
        return self.changes.value.problems

    def load(self) -> tuple[int, int, int]:
        """Calls running, calls waiting, slots."""
        return self._dispatcher.running, self._dispatcher.queued, self.config.concurrency

    def workers(self) -> list[WorkerInfo]:
        """Each living worker process; some 0.1 ms each."""
        return [worker.info() for pool in self._pools for worker in sorted(pool.workers, key=lambda worker: worker.pid)]

    def _publish(self) -> None:
        pool = self._dispatcher.pool
        if pool is None:
            return
        now = self.changes.value
        tools, problems = tuple(pool.tools.values()), pool.problems
        # The seconds in a problem's sentence move all the time; its code and name say whether it is the same.
        same = tools is now.tools or [id(tool) for tool in tools] == [id(tool) for tool in now.tools]
        if not same or [(p.code, p.name) for p in problems] != [(p.code, p.name) for p in now.problems]:
            self.changes.publish(Catalogue(now.revision + 1, tools, problems))
