"""Opens a ledger and takes up what an earlier process left in it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edge_connector.core.sqlite import SqliteDatabase
from edge_connector.tools.calls import CallOutcome, OutcomeKind
from edge_connector.tools.ledger import reading, retention
from edge_connector.tools.ledger.records import OUTCOME_UNKNOWN, CallRow, LedgerFacts
from edge_connector.tools.ledger.tables import prepare_file
from edge_connector.tools.ledger.writing import LOCAL, LedgerWriter, Noted

log = logging.getLogger(__name__)

MAX_UNFINISHED = 10_000
MAX_UNFINISHED_BYTES = 64 * 1024 * 1024
MAX_KNOWN = 10_000
"""Ids of earlier calls that are known at once; older ones are looked up when a call says that it is a repetition."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A ledger that can be written, and what was in it."""

    database: SqliteDatabase
    unfinished: list[CallRow]
    known: list[str]
    facts: LedgerFacts


async def open_ledger(path: Path, writer: LedgerWriter, *, now: float) -> Opened:
    """Make or open the file; calls that an earlier process left open end as interrupted, at `now` (Unix seconds).

    Raises:
        UserError: the file cannot be used; the code says why.
    """
    await asyncio.to_thread(prepare_file, path)
    database = SqliteDatabase(path)
    try:
        await asyncio.to_thread(database.open)
        unfinished, known, facts = await database.write(lambda connection: _recover(connection, writer, now))
    except BaseException:
        await database.close()
        raise
    return Opened(database, unfinished, known, facts)


def _recover(
    connection: sqlite3.Connection, writer: LedgerWriter, now: float
) -> tuple[list[CallRow], list[str], LedgerFacts]:
    lost = connection.execute("SELECT id, tool, source FROM calls WHERE is_open AND outcome = ''").fetchall()
    ends = []
    for call_id, tool, source in lost:
        noted = Noted(call_id)
        noted.finished, noted.outcome, noted.is_local = now, _interrupted(call_id, tool), source == LOCAL
        noted.note = "found open at the start"
        ends.append(noted)
    if ends:
        writer.write(connection, ends)
        log.warning("calls were open when the connector ended without a word calls=%d", len(ends))
    unfinished = reading.open_calls(connection, limit=MAX_UNFINISHED, max_bytes=MAX_UNFINISHED_BYTES)
    known = reading.recent_ids(connection, MAX_KNOWN)
    calls = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    events, head = connection.execute("SELECT head_seq - anchor_seq, head_hash FROM chain").fetchone()
    facts = LedgerFacts(calls=calls, events=events, size_bytes=retention.used_bytes(connection), head=head)
    return unfinished, known, facts


def _interrupted(call_id: str, tool: str) -> CallOutcome:
    return CallOutcome(
        call_id,
        OutcomeKind.INTERRUPTED,
        tool,
        code=OUTCOME_UNKNOWN,
        message="interrupted, outcome unknown: the connector ended while the call was open.",
        hint="Check on the connector's machine whether the tool ran before calling it again.",
    )
