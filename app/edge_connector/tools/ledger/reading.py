"""Questions to the ledger, answered on a connection that may belong to a running connector or to a command.

`answer` takes the same requests as the command socket (docs/control.md): what a runtime answers, and what a command
reads from the file while none runs, cannot differ.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge_connector.core.clock import from_iso, to_iso
from edge_connector.core.errors import UserError
from edge_connector.core.sqlite import database_error
from edge_connector.tools.ledger.chain import ChainRow
from edge_connector.tools.ledger.records import CallRow
from edge_connector.tools.ledger.tables import CALL_COLUMNS, read_ends

Q = TypeVar("Q")

MAX_LISTED = 1_000
PAGE = 500
"""Events in one page of an export, at most; a page also ends after `PAGE_BYTES` of results."""
PAGE_BYTES = 1024 * 1024
MAX_SHOWN = 1024 * 1024
"""Characters of a result that leave the ledger; only one that is not confirmed yet can be longer."""
METHODS = ("calls.list", "calls.show", "calls.export")
OPEN = "open"
"""Filter word for calls without an outcome."""

_SHORT = CALL_COLUMNS.replace("arguments, ", "NULL, ", 1).replace("detail, ", "NULL, ").replace(" result, ", " NULL, ")
_PREFIXED = ", ".join(f"calls.{name}" for name in CallRow.__struct_fields__)


class ListQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which calls, the newest first."""

    limit: int = 50
    tool: str = ""
    outcome: str = ""
    since: str = ""
    """RFC 3339: only calls received then or later."""


class ShowQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One call."""

    id: str


class ExportQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of the chain: the events after `after`; -1 begins with the first that is kept, or that `since` names."""

    after: int = -1
    since: str = ""


def answer(connection: sqlite3.Connection, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of one request.

    Raises:
        UserError: `bad_request`, or `unknown_call`.
    """
    match method:
        case "calls.list":
            return _list(connection, _query(params, ListQuery))
        case "calls.show":
            return _show(connection, _query(params, ShowQuery))
        case "calls.export":
            return _export(connection, _query(params, ExportQuery))
    raise AssertionError(f"no request of the ledger: {method}")


def _query(params: dict[str, Any], kind: type[Q]) -> Q:
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        raise UserError("bad_request", f"{error}.", hint="See docs/control.md.") from error


def _list(connection: sqlite3.Connection, query: ListQuery) -> dict[str, Any]:
    if not 1 <= query.limit <= MAX_LISTED:
        raise UserError("bad_request", f"`limit` must be a number from 1 to {MAX_LISTED}.")
    where, values = ["1"], []
    if query.tool:
        where.append("tool = ?")
        values.append(query.tool)
    if query.outcome:
        where.append("outcome = ?")
        values.append("" if query.outcome == OPEN else query.outcome)
    if query.since:
        where.append("received_at >= ?")
        values.append(str(_stamp(query.since)))
    sql = f"SELECT {_SHORT} FROM calls WHERE {' AND '.join(where)} ORDER BY rowid DESC LIMIT {query.limit}"
    rows = connection.execute(sql, values).fetchall()
    return {"calls": [call_document(_call(row)) for row in rows]}


def _show(connection: sqlite3.Connection, query: ShowQuery) -> dict[str, Any]:
    row = connection.execute(f"SELECT {CALL_COLUMNS} FROM calls WHERE id = ?", (query.id,)).fetchone()
    if row is None:
        raise UserError(
            "unknown_call", f"The ledger has no call {query.id[:100]!r}.", hint="List them with `calls list`."
        )
    call = _shortened(_call(row))
    # Its own row tells where its events are; those of earlier attempts may be anywhere before.
    first = call.first_seq if call.attempt == 1 else 0
    bodies = connection.execute(
        "SELECT body FROM events WHERE seq BETWEEN ? AND ? AND call = ? ORDER BY seq", (first, call.last_seq, call.id)
    ).fetchall()
    return {
        **call_document(call, whole=True),
        "events": [msgspec.json.decode(body) for (body,) in bodies],
    }


def _export(connection: sqlite3.Connection, query: ExportQuery) -> dict[str, Any]:
    connection.execute("BEGIN")
    try:
        ends = read_ends(connection)
        after, anchor_hash = query.after, ends.anchor_hash
        if after < 0:
            after = ends.anchor_seq
            if query.since and (before := _last_before(connection, _stamp(query.since))) is not None:
                after, anchor_hash = before
        elif after < ends.anchor_seq:
            raise UserError(
                "ledger_cut", "The oldest rows were cut off while they were read.", hint="Do the same again."
            )
        rows = list(_chain_rows(connection, after))
        document: dict[str, Any] = {
            "after": after,
            "anchorHash": anchor_hash,
            "headSeq": ends.head_seq,
            "headHash": ends.head_hash,
            "rows": msgspec.to_builtins(rows),
        }
        if not rows:
            document["stray"] = msgspec.to_builtins(list(_strays(connection, ends.anchor_seq)))
        return document
    finally:
        connection.execute("ROLLBACK")


def _last_before(connection: sqlite3.Connection, stamp: int) -> tuple[int, str] | None:
    """The last event before the first call that was received at `stamp` or later."""
    row = connection.execute("SELECT min(first_seq) FROM calls WHERE received_at >= ?", (stamp,)).fetchone()
    first = row[0] if row and row[0] is not None else None
    where, values = ("", ()) if first is None else (" WHERE seq < ?", (first,))
    found = connection.execute(f"SELECT seq, hash FROM events{where} ORDER BY seq DESC LIMIT 1", values).fetchone()
    return None if found is None else (int(found[0]), str(found[1]))


def _chain_rows(connection: sqlite3.Connection, after: int) -> Iterator[ChainRow]:
    sql = (
        f"SELECT seq, call, body, hash, {_PREFIXED} FROM events"
        " LEFT JOIN calls ON calls.id = events.call AND calls.last_seq = events.seq"
        f" WHERE seq > ? ORDER BY seq LIMIT {PAGE}"
    )
    size = 0
    for seq, call, body, digest, *rest in connection.execute(sql, (after,)):
        row = None if rest[0] is None else _shortened(_call(rest))
        yield ChainRow(seq=seq, call=call, body=body, hash=digest, row=row)
        size += len(body) + (0 if row is None else len(row.result or "") + len(row.arguments or ""))
        if size > PAGE_BYTES:
            return


def _strays(connection: sqlite3.Connection, anchor_seq: int) -> Iterator[CallRow]:
    sql = (
        f"SELECT {CALL_COLUMNS} FROM calls WHERE last_seq > ? AND NOT EXISTS"
        " (SELECT 1 FROM events WHERE events.seq = calls.last_seq AND events.call = calls.id) LIMIT 100"
    )
    for row in connection.execute(sql, (anchor_seq,)):
        yield _call(row)


def find_call(connection: sqlite3.Connection, call_id: str) -> CallRow | None:
    """A call with its arguments and result."""
    row = connection.execute(f"SELECT {CALL_COLUMNS} FROM calls WHERE id = ?", (call_id,)).fetchone()
    return None if row is None else _call(row)


def open_calls(connection: sqlite3.Connection, *, limit: int, max_bytes: int) -> list[CallRow]:
    """Calls that the platform waits for or has not confirmed, the newest within the bounds, oldest first."""
    sql = f"SELECT {CALL_COLUMNS} FROM calls WHERE is_open ORDER BY received_at DESC LIMIT ?"
    found, size = [], 0
    for row in connection.execute(sql, (limit,)):
        call = _call(row)
        size += max(call.result_bytes, 0)
        if size > max_bytes:
            break
        found.append(call)
    return found[::-1]


def recent_ids(connection: sqlite3.Connection, limit: int) -> list[str]:
    """Ids of the newest calls, oldest first."""
    rows = connection.execute("SELECT id FROM calls ORDER BY rowid DESC LIMIT ?", (limit,)).fetchall()
    return [row[0] for row in reversed(rows)]


@contextmanager
def reading_file(path: Path) -> Iterator[sqlite3.Connection]:
    """The ledger of a connector that does not run, read-only.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if not path.exists():
        raise UserError(
            "no_ledger", f"There is no call ledger at {path}.", hint="It begins with the first `edge-connector run`."
        )
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0, isolation_level=None
        )
        try:
            read_ends(connection)
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def call_document(call: CallRow, *, whole: bool = False) -> dict[str, Any]:
    """A call as people and programs see it; `whole` with arguments, result and error."""
    document: dict[str, Any] = {
        "id": call.id,
        "tool": call.tool,
        "state": call.state.value,
        "outcome": call.outcome or None,
        "attempt": call.attempt,
        "repeat": call.repeat,
        "source": call.source,
        "receivedAt": _iso(call.received_at),
        "durationMs": call.duration_ms,
        "agent": call.agent,
        "user": call.user,
        "code": call.code,
        "message": call.message,
    }
    if whole:
        document |= {
            "organization": call.organization,
            "deployment": call.deployment,
            "hint": call.hint,
            **{
                f"{name}At": _iso(stamp)
                for name in ("accepted", "started", "finished", "reported", "confirmed")
                if (stamp := getattr(call, f"{name}_at")) is not None
            },
            "arguments": _value(call.arguments),
            "argumentsBytes": call.arguments_bytes,
            "result": _value(call.result),
            "resultBytes": max(call.result_bytes, 0),
            "detail": _value(call.detail),
        }
    return document


def _call(row: Any) -> CallRow:
    call = CallRow(**dict(zip(CallRow.__struct_fields__, row, strict=True)))
    call.is_open = bool(call.is_open)
    return call


def _shortened(call: CallRow) -> CallRow:
    if call.result is not None and len(call.result) > MAX_SHOWN:
        call.result = None
    return call


def _value(text: str | None) -> Any:
    """JSON as it is; a text that was cut stays text."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _stamp(since: str) -> int:
    try:
        return int(from_iso(since) * 1000)
    except ValueError as error:
        raise UserError(
            "bad_request", f"`since` is no time: {since[:60]!r}.", hint="Write it like 2026-11-21T10:00:00Z."
        ) from error


def _iso(stamp: int) -> str:
    return to_iso(stamp / 1000)
