"""A ledger in a temporary folder, and calls to put into it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Raw

from edge_connector.core.clock import SystemClock
from edge_connector.tools.calls import MIB, CallOutcome, CallRequest, OutcomeKind, ToolInfo
from edge_connector.tools.ledger.ledger import CallLedger
from edge_connector.tools.ledger.retention import Limits

DAY = 86_400.0


class SetClock(SystemClock):
    """The wall clock stands still where a test puts it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now


def tool_info(name: str = "t", *, repeat: str = "read", parameters: bytes = b'{"type":"object"}') -> ToolInfo:
    """A tool as the executor describes it."""
    return ToolInfo(name, name, "", Raw(parameters), Raw(b"{}"), "read", repeat, None, "local", False)


def request(call_id: str, arguments: bytes = b'{"x":1}', *, attempt: int = 1) -> CallRequest:
    """A call of somebody."""
    return CallRequest(
        id=call_id, tool="t", arguments=Raw(arguments), user="ann", organization="o", deployment="d", agent="a",
        attempt=attempt,
    )  # fmt: skip


def success(call_id: str, result: bytes = b'{"y":2}') -> CallOutcome:
    """It worked."""
    return CallOutcome(call_id, OutcomeKind.SUCCEEDED, "t", Raw(result), duration_ms=2.5)


def failure(call_id: str) -> CallOutcome:
    """It did not."""
    return CallOutcome(
        call_id, OutcomeKind.FAILED, "t", code="no_file", message="There is no file.", hint="Name one.",
        detail=Raw(b'{"path":"/x"}'), duration_ms=1.0,
    )  # fmt: skip


@asynccontextmanager
async def open_ledger(
    folder: Path, *, clock: SystemClock | None = None, max_age_s: float = 30 * DAY, max_bytes: int = 100 * MIB
) -> AsyncIterator[tuple[CallLedger, list[tuple[str, str]]]]:
    """A started ledger and the list of problems it told of."""
    problems: list[tuple[str, str]] = []
    ledger = CallLedger(
        folder / "calls.sqlite3",
        limits=Limits(max_age_s=max_age_s, max_bytes=max_bytes),
        clock=clock or SystemClock(),
        on_problem=lambda code, detail: problems.append((code, detail)),
    )
    await ledger.start()
    try:
        yield ledger, problems
    finally:
        await ledger.stop()


def whole_call(ledger: CallLedger, call_id: str, outcome: CallOutcome | None = None) -> None:
    """A call from its arrival to its receipt."""
    ledger.received(request(call_id), tool_info())
    ledger.finished(outcome or success(call_id), is_reported=True)
    ledger.confirmed(call_id)


def change(folder: Path, *statements: str) -> None:
    """Tamper with the file of a ledger that is closed."""
    connection = sqlite3.connect(folder / "calls.sqlite3")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()
