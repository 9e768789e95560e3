"""Calls on their way into the store's history, off the call path: one row for most calls, written in batches.

A call that ends before the next flush is written once, ended; a longer one is written open first: a restart finds it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge_connector.platform_server.store.records import CallRow, Store

if TYPE_CHECKING:
    from edge_connector.platform_server.tool_rpc.calls import PendingCall

FLUSH_S = 0.05


class CallJournal:
    """Collects rows for `FLUSH_S` seconds at most."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new: dict[str, PendingCall] = {}
        self._ended: list[CallRow] = []
        self._timer: asyncio.TimerHandle | None = None

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

    def late(self, call_id: str, deployment_id: str, outcome: str) -> None:
        """An outcome came for a call that had ended without one."""
        self.flush()
        self._store.note_late_outcome(call_id, deployment_id, outcome)

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
