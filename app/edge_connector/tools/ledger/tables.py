"""The tables of `calls.sqlite3`, and how the file is made, checked and put aside.

Blocking: for threads and commands.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from edge_connector.core.errors import UserError
from edge_connector.core.files import explain_os_error
from edge_connector.core.sqlite import database_error
from edge_connector.tools.ledger.chain import GENESIS
from edge_connector.tools.ledger.records import CallRow, ChainEnds

VERSION = 1
_TABLES = """
CREATE TABLE calls (
  id TEXT PRIMARY KEY, tool TEXT NOT NULL, repeat TEXT NOT NULL, attempt INTEGER NOT NULL, source TEXT NOT NULL,
  user TEXT NOT NULL, organization TEXT NOT NULL, deployment TEXT NOT NULL, agent TEXT NOT NULL,
  received_at INTEGER NOT NULL, accepted_at INTEGER, started_at INTEGER, finished_at INTEGER, reported_at INTEGER,
  confirmed_at INTEGER, arguments TEXT, arguments_bytes INTEGER NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL,
  message TEXT NOT NULL, hint TEXT NOT NULL, detail TEXT, duration_ms REAL NOT NULL, result TEXT,
  result_bytes INTEGER NOT NULL, is_open INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL
);
CREATE INDEX calls_open ON calls (received_at) WHERE is_open;
CREATE TABLE events (seq INTEGER PRIMARY KEY, call TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE chain (
  anchor_seq INTEGER NOT NULL, anchor_hash TEXT NOT NULL, head_seq INTEGER NOT NULL, head_hash TEXT NOT NULL,
  begun_at INTEGER NOT NULL
)
"""
CALL_COLUMNS = ", ".join(CallRow.__struct_fields__)
_READ_CHAIN = "SELECT anchor_seq, anchor_hash, head_seq, head_hash, begun_at FROM chain"


def prepare_file(path: Path) -> None:
    """Make the file with its tables when it is not there, and see that an existing one can be used.

    Raises:
        UserError: `not_a_database`, `database_damaged`, `ledger_too_new`, `disk_full` or what else the system says.
    """
    with explain_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here and not by SQLite, so that nobody can read it for even a moment.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > VERSION:
                raise UserError(
                    "ledger_too_new",
                    f"The ledger {path} has version {version}; this program knows versions up to {VERSION}.",
                    hint="Start the newer edge-connector that made it, or move the file away.",
                )
            if version == 0:
                _make(connection)
            found = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
            if found < 3:
                raise _damaged("a table is missing")
            read_ends(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def _make(connection: sqlite3.Connection) -> None:
    # What retention frees is given back to the disk; this cannot be chosen later.
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    now = int(time.time() * 1000)
    connection.execute("INSERT INTO chain VALUES (0, ?1, 0, ?1, ?2)", (GENESIS, now))
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")


def put_aside(path: Path, *, now: float) -> Path:
    """Rename a damaged ledger with its companions, so that a new one can begin; nothing is deleted.

    Returns:
        where the damaged file is now.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    with explain_os_error(path):
        for companion in ("-wal", "-shm"):
            source = path.with_name(path.name + companion)
            if source.exists():
                os.replace(source, target.with_name(target.name + companion))
        os.replace(path, target)
    return target


def _damaged(reason: str) -> UserError:
    return UserError("database_damaged", f"The call ledger is damaged: {reason}.", hint="Move the file away.")


def read_ends(connection: sqlite3.Connection) -> ChainEnds:
    """Where the chain begins and ends.

    Raises:
        UserError: `database_damaged`.
    """
    row = connection.execute(_READ_CHAIN).fetchone()
    if row is None:
        raise _damaged("the ends of the chain are missing")
    return ChainEnds(anchor_seq=row[0], anchor_hash=row[1], head_seq=row[2], head_hash=row[3], begun_at=row[4])
