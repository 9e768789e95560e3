"""Retention: the oldest events are cut off a step at a time; the hash of the last one that went stays as the anchor.

A call goes with its newest event. Each step is a short transaction, so that a `once` call never waits long behind it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import msgspec

from edge_connector.tools.ledger.records import Event

STEP = 500
"""Events that go in one transaction."""
SHRINK = 0.1
"""A ledger that is too large becomes this share smaller than its limit, so that it is not cut all the time."""
VACUUM_PAGES = 500
"""Free pages that go back to the disk in one step."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept."""

    max_age_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What one step removed, and what is left."""

    events: int
    calls: int
    size_bytes: int
    is_done: bool


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the rows take, without pages that are free."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def cut_step(connection: sqlite3.Connection, limits: Limits, *, now: float, shrinking: bool) -> Cut:
    """Cut one step in the transaction that is open; `shrinking` goes on below the limit, as `SHRINK` says."""
    anchor_seq, head_seq = connection.execute("SELECT anchor_seq, head_seq FROM chain").fetchone()
    oldest = int((now - limits.max_age_s) * 1000)
    too_large = used_bytes(connection) > limits.max_bytes * (1 - SHRINK if shrinking else 1)
    cut = min(head_seq, anchor_seq + STEP) if too_large else _last_older(connection, anchor_seq, oldest)
    row = connection.execute("SELECT hash FROM events WHERE seq = ?", (cut,)).fetchone()
    if cut <= anchor_seq or row is None:
        # No row where one has to be: somebody removed it, and cutting there would hide the gap.
        return Cut(0, 0, used_bytes(connection), True)
    # What the platform has not confirmed is still to be sent, unless it is too old even for that.
    calls = connection.execute(
        "DELETE FROM calls WHERE last_seq <= ?1 AND NOT is_open AND id IN (SELECT call FROM events WHERE seq <= ?1)",
        (cut,),
    ).rowcount
    calls += connection.execute(
        "DELETE FROM calls WHERE is_open AND received_at < ? AND last_seq <= ?", (oldest, cut)
    ).rowcount
    events = connection.execute("DELETE FROM events WHERE seq <= ?", (cut,)).rowcount
    connection.execute("UPDATE chain SET anchor_seq=?, anchor_hash=?", (cut, row[0]))
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(min(free, VACUUM_PAGES)):
        # One page a step: this module takes a single step of a statement that gives no rows.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return Cut(events, calls, used_bytes(connection), cut == head_seq or not (too_large or cut == anchor_seq + STEP))


def _last_older(connection: sqlite3.Connection, anchor_seq: int, stamp: int) -> int:
    """The last of the next events before the first one that is not older than `stamp`."""
    found = anchor_seq
    sql = f"SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT {STEP}"
    for seq, body in connection.execute(sql, (anchor_seq,)):
        event = msgspec.json.decode(body, type=Event)
        stamps = (event.received, event.accepted, event.started, event.finished, event.reported, event.confirmed)
        if max(filter(None, stamps), default=0) >= stamp:
            break
        found = seq
    return found
