"""Ends workers below which too many processes run, by counting them now and then while calls run.

It is a limit for accidents, not a wall: what a call leaves behind is ended by its worker (`proctree.end_leftovers`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from edge_connector.core.tasks import TaskOwner
from edge_connector.tools import endings, proctree
from edge_connector.tools.active import ActiveCall
from edge_connector.tools.process import WorkerProcess

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
"""Between two counts at least; calls that are younger are left alone, most end sooner than that."""
RESTLESS_S = 5.0
"""An async worker that is never without calls ends no leftovers: it is counted so often even if all calls are quick."""
SHARE = 0.02
"""Of the time may be spent on counting: where it is dear it is done less often, but every `LONGEST_S` at least."""
LONGEST_S = 5.0


class ChildrenWatch:
    """Counts the processes below busy workers.

    Args:
        limit: how many may run below one worker.
        tasks: owner of the counting task; there is one at most.
    """

    def __init__(self, limit: int, tasks: TaskOwner) -> None:
        self._limit = limit
        self._tasks = tasks
        self._counting = False
        self._next_at = 0.0
        self._restless_at = 0.0

    def look(self, calls: Iterable[ActiveCall], now: float) -> None:
        """Start a count if one is due; cheap otherwise. `now` is monotonic."""
        if self._counting or now < self._next_at:
            return
        self._next_at = now + INTERVAL_S
        restless = now >= self._restless_at
        if restless:
            self._restless_at = now + RESTLESS_S
        workers: set[WorkerProcess] = set()
        for call in calls:
            worker = call.worker
            if worker is None or worker.killed:
                continue
            if now - call.started >= INTERVAL_S or (restless and call.info.is_async):
                workers.add(worker)
        if workers:
            self._counting = True
            self._tasks.spawn(self._count(workers), name="children")

    async def _count(self, workers: set[WorkerProcess]) -> None:
        try:
            began = time.monotonic()
            counts = await asyncio.to_thread(proctree.count_below, [worker.pid for worker in workers])
            now = time.monotonic()
            self._next_at = now + max(INTERVAL_S, min((now - began) / SHARE, LONGEST_S))
            for worker in workers:
                count = counts[worker.pid]
                if count > self._limit and not worker.gone.is_set():
                    log.warning("too many processes worker=%s pid=%d count=%d", worker.name, worker.pid, count)
                    worker.kill(endings.too_many_children(count, self._limit, calls=len(worker.calls)))
        finally:
            self._counting = False
