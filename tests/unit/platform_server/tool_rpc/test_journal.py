"""Receipts go out after the commit, and not at all when the disk failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from edge_connector.core.errors import UserError
from edge_connector.platform_server.store.records import CallRow
from edge_connector.platform_server.tool_rpc.journal import CallJournal


class SlowHistory:
    """A store whose commit happens when the test says so."""

    def __init__(self) -> None:
        self.commit = asyncio.Event()
        self.error: UserError | None = None

    def note_calls(self, calls: Sequence[CallRow]) -> None:
        return

    async def settle(self) -> None:
        await self.commit.wait()
        if self.error is not None:
            raise self.error


async def test_a_confirmation_waits_for_the_commit() -> None:
    history = SlowHistory()
    journal = CallJournal(history)  # type: ignore[arg-type]
    confirmed: list[str] = []
    journal.when_kept(confirmed.append, "call_1")
    journal.when_kept(confirmed.append, "call_2")
    journal.flush()
    await asyncio.sleep(0)
    assert confirmed == []
    history.commit.set()
    await journal.close()
    assert confirmed == ["call_1", "call_2"]


async def test_a_failed_commit_confirms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    history = SlowHistory()
    history.error = UserError("disk_full", "No space left.")
    history.commit.set()
    journal = CallJournal(history)  # type: ignore[arg-type]
    confirmed: list[str] = []
    journal.when_kept(confirmed.append, "call_1")
    await journal.close()
    assert confirmed == []
    assert "code=disk_full" in caplog.text
