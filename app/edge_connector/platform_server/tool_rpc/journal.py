"""Calls on their way into the store's history, off the call path: one row for most calls, written in batches.

A call that ends before the next flush is written once, ended; a longer one is written open first: a restart finds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_connector.core.errors import EdgeError
from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_server.store.records import CallRow, Store

if TYPE_CHECKING:
    from edge_connector.platform_server.tool_rpc.calls import PendingCall

log = logging.getLogger(__name__)

FLUSH_S = 0.05
CONFIRM_S = 5.0


class CallJournal:
    """Collects rows for `FLUSH_S` seconds at most."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new: dict[str, PendingCall] = {}
        self._ended: list[CallRow] = []
        self._kept: list[tuple[Callable[[str], None], str]] = []
        self._tasks = TaskOwner("journal")
        self._confirming: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many calls were collected and not handed over yet."""
        return len(self._new) + len(self._ended)

    def when_kept(self, confirm: Callable[[str], None], call_id: str) -> None:
        """Call `confirm(call_id)` once everything that was collected until now is committed; never when that fails."""
        self._kept.append((confirm, call_id))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def started(self, call: PendingCall) -> None:
        """An open call."""
        self._new[call.row.id] = call
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def ended(self, call: PendingCall) -> None:
        """A call got its outcome."""
        self._new.pop(call.row.id, None)
        self._ended.append(call.row)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def late(self, organization_id: str, call_id: str, deployment_id: str, outcome: str) -> None:
        """An outcome came for a call that had ended without one."""
        self.flush()
        self._store.note_late_outcome(organization_id, call_id, deployment_id, outcome)

    def flush(self) -> None:
        """Hand over what was collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows = self._ended
        rows.extend(call.row for call in self._new.values())
        self._ended = []
        self._new = {}
        if rows:
            self._store.note_calls(rows)
        if self._kept:
            kept, self._kept = self._kept, []
            task = self._tasks.spawn(self._confirm(kept), name="confirm")
            self._confirming.add(task)
            task.add_done_callback(self._confirming.discard)

    async def _confirm(self, kept: list[tuple[Callable[[str], None], str]]) -> None:
        try:
            await self._store.settle()
        except EdgeError as error:
            # Without a receipt the connector keeps its outcomes and sends them again after the next reconnect.
            log.warning("outcomes were not kept calls=%d code=%s error=%s", len(kept), error.code, error)
            return
        for confirm, call_id in kept:
            confirm(call_id)

    async def close(self) -> None:
        """Hand over everything and let the confirmations go out; what is collected later needs another `flush`."""
        self.flush()
        if self._confirming:
            await asyncio.wait(self._confirming, timeout=CONFIRM_S)
        await self._tasks.close()
