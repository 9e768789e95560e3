"""From what the loop noted to rows: groups the notes of a batch by call, chains the events, writes both tables.

It runs in the writer thread. A batch is one statement for each kind of row: a step a row would hand the interpreter's
lock back and forth between the loop and the writer for each of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge_connector.tools.calls import CallOutcome, CallRequest, ToolInfo
from edge_connector.tools.ledger.chain import link_hash, text_digest
from edge_connector.tools.ledger.records import CallRow, Event
from edge_connector.tools.ledger.tables import CALL_COLUMNS, read_ends
from edge_connector.tools.redaction import Redactor, redactor_for

MAX_ARGUMENTS = 16 * 1024
"""Characters of arguments that are kept; the rest is cut off."""
KEEP_RESULT = 64 * 1024
"""Characters of a result that are kept after its confirmation; longer ones go then."""
MAX_WORDS = 2_000
"""Characters of an error's message, and of a hint."""
MAX_DETAIL = 64 * 1024
INLINE = 16 * 1024
"""Longer texts are bound as they are instead of being put into the one JSON parameter."""
LOCAL = "local"
PLATFORM = "platform"


@dataclass(slots=True)
class Received:
    """A call came; `info` is None for a tool that is not served."""

    call_id: str
    at: float
    request: CallRequest
    info: ToolInfo | None
    source: str = PLATFORM
    started_at: float | None = None
    """Set when it is given to the workers at once, as a `once` call is after its mark."""


@dataclass(slots=True)
class Step:
    """A call came further: `state` is `accepted`, `reported` or `confirmed`."""

    call_id: str
    at: float
    state: str


@dataclass(slots=True)
class Finished:
    """A call has its outcome."""

    call_id: str
    at: float
    outcome: CallOutcome
    is_reported: bool = False
    is_local: bool = False
    note: str = ""


@dataclass(slots=True)
class Note:
    """Something about the ledger itself."""

    at: float
    text: str
    call_id: str = ""


Entry = Received | Step | Finished | Note


@dataclass(slots=True)
class Written:
    """What a batch did."""

    calls: int
    events: int
    head_seq: int
    head_hash: str


@dataclass(slots=True)
class _Change:
    event: Event
    row: CallRow | None = None
    outcome: CallOutcome | None = None
    result: str | None = None
    detail: str | None = None
    is_local: bool = False
    is_superseded: bool = False
    """A later attempt in the same batch takes the place of its row."""


_COLUMNS = CallRow.__struct_fields__
_EXTRACTS = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(_COLUMNS)))
_PUT_CALL = f"REPLACE INTO calls ({CALL_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_PUT_CALLS = f"REPLACE INTO calls ({CALL_COLUMNS}) SELECT {_EXTRACTS} FROM json_each(?)"
_PUT_EVENTS = (
    "INSERT INTO events (seq, call, body, hash)"
    " SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),"
    " json_extract(value, '$[3]') FROM json_each(?)"
)
_PUT_EVENT = "INSERT INTO events (seq, call, body, hash) VALUES (?, ?, ?, ?)"
_STEPS = ("id", "seq", "accepted", "reported", "confirmed")
_STEP = (
    "UPDATE calls SET last_seq = new.seq, accepted_at = coalesce(new.accepted, accepted_at),"
    " reported_at = coalesce(new.reported, reported_at), confirmed_at = coalesce(new.confirmed, confirmed_at),"
    " is_open = CASE WHEN new.confirmed IS NULL THEN is_open ELSE 0 END,"
    f" result = CASE WHEN new.confirmed IS NOT NULL AND result_bytes > {KEEP_RESULT} THEN NULL ELSE result END"
)


def _from_values(names: tuple[str, ...]) -> str:
    return f" FROM (SELECT {', '.join(f'? AS {name}' for name in names)}) AS new WHERE calls.id = new.id"


def _from_json(names: tuple[str, ...]) -> str:
    values = ", ".join(f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(names))
    return f" FROM (SELECT {values} FROM json_each(?)) AS new WHERE calls.id = new.id"


_STEP_CALL = _STEP + _from_values(_STEPS)
_STEP_CALLS = _STEP + _from_json(_STEPS)
_FINISHED = (
    "id", "last_seq", "started_at", "accepted_at", "finished_at", "reported_at", "confirmed_at", "outcome", "code",
    "message", "hint", "detail", "duration_ms", "result", "result_bytes", "is_open",
)  # fmt: skip
_SET = ", ".join(
    f"{name} = coalesce(new.{name}, calls.{name})" if name in ("started_at", "accepted_at") else f"{name} = new.{name}"
    for name in _FINISHED[1:]
)
_FINISH_CALL = f"UPDATE calls SET {_SET}" + _from_values(_FINISHED)
_FINISH_CALLS = f"UPDATE calls SET {_SET}" + _from_json(_FINISHED)
_encode = msgspec.json.Encoder().encode
_row_values = msgspec.structs.astuple


@dataclass(slots=True)
class LedgerWriter:
    """Writes batches; one for a file."""

    _redactors: dict[str, tuple[ToolInfo, Redactor | None]] = field(default_factory=dict)

    def write(self, connection: sqlite3.Connection, entries: Iterable[Entry]) -> Written:
        """Append `entries`, in the transaction that is open.

        Raises:
            sqlite3.Error, UserError: nothing of the batch is kept then.
        """
        ends = read_ends(connection)
        head_seq, head_hash = ends.head_seq, ends.head_hash
        changes = self._grouped(entries)
        events: list[tuple[int, str, str, str]] = []
        calls = 0
        puts: list[tuple[Any, ...]] = []
        steps: list[tuple[Any, ...]] = []
        finishes: list[tuple[Any, ...]] = []
        for change in changes:
            event = change.event
            head_seq += 1
            event.seq = head_seq
            body = _encode(event)
            head_hash = link_hash(head_hash, body)
            events.append((head_seq, event.call, body.decode(), head_hash))
            if change.is_superseded:
                continue
            if change.row is not None:
                calls += 1
                _complete(change.row, change)
                values = _row_values(change.row)
                if change.row.result_bytes > INLINE or change.row.arguments_bytes > INLINE:
                    connection.execute(_PUT_CALL, values)
                else:
                    puts.append(values)
            elif change.outcome is not None:
                if event.result_bytes > INLINE:
                    connection.execute(_FINISH_CALL, _finish_values(change))
                else:
                    finishes.append(_finish_values(change))
            elif event.call:
                steps.append((event.call, head_seq, event.accepted, event.reported, event.confirmed))
        _put_all(connection, _PUT_CALLS, _PUT_CALL, puts)
        _put_all(connection, _FINISH_CALLS, _FINISH_CALL, finishes)
        _put_all(connection, _STEP_CALLS, _STEP_CALL, steps)
        _put_all(connection, _PUT_EVENTS, _PUT_EVENT, events)
        if events:
            connection.execute("UPDATE chain SET head_seq=?, head_hash=?", (head_seq, head_hash))
        return Written(calls, len(events), head_seq, head_hash)

    def _grouped(self, entries: Iterable[Entry]) -> list[_Change]:
        """One change for each call, in order of first mention; a call that comes a second time has a second one."""
        made: list[_Change] = []
        open_changes: dict[str, _Change] = {}
        for entry in entries:
            kind = type(entry)
            if kind is Received:
                change = self._received(entry)  # type: ignore[arg-type]
                if (older := open_changes.get(entry.call_id)) is not None:
                    older.is_superseded = True
                open_changes[entry.call_id] = change
                made.append(change)
                continue
            if kind is Note:
                made.append(_Change(Event(seq=0, call="", received=_ms(entry.at), note=entry.text)))  # type: ignore[union-attr]
                continue
            known = open_changes.get(entry.call_id)
            if known is None:
                known = open_changes[entry.call_id] = _Change(Event(seq=0, call=entry.call_id))
                made.append(known)
            if kind is Finished:
                _finish(known, entry)  # type: ignore[arg-type]
            else:
                setattr(known.event, entry.state, _ms(entry.at))  # type: ignore[union-attr]
        return made

    def _received(self, entry: Received) -> _Change:
        request, at = entry.request, _ms(entry.at)
        repeat = entry.info.repeat if entry.info is not None else ""
        size, arguments = self._arguments(request, entry.info)
        started = None if entry.started_at is None else _ms(entry.started_at)
        event = Event(
            seq=0, call=request.id, received=at, started=started, tool=request.tool, repeat=repeat,
            attempt=request.attempt, source=entry.source, user=request.user, organization=request.organization,
            deployment=request.deployment, agent=request.agent, arguments_bytes=size,
            arguments_sha256=text_digest(arguments),
        )  # fmt: skip
        row = CallRow(
            id=request.id, tool=request.tool, repeat=repeat, attempt=request.attempt, source=entry.source,
            user=request.user, organization=request.organization, deployment=request.deployment, agent=request.agent,
            received_at=at, started_at=started, arguments=arguments, arguments_bytes=size,
        )  # fmt: skip
        return _Change(event, row, is_local=entry.source == LOCAL)

    def _arguments(self, request: CallRequest, info: ToolInfo | None) -> tuple[int, str | None]:
        """Their size, and what of them is kept: nothing for an unknown tool, whose secrets nobody declared."""
        raw = bytes(request.arguments)
        if info is None:
            return len(raw), None
        known = self._redactors.get(info.name)
        if known is None or known[0] is not info:
            known = self._redactors[info.name] = (info, redactor_for(info.parameters))
        text = raw.decode("utf-8", "replace")
        if known[1] is not None:
            text = known[1](text)
        return len(raw), text[:MAX_ARGUMENTS]


def _finish(change: _Change, entry: Finished) -> None:
    outcome, event = entry.outcome, change.event
    at = _ms(entry.at)
    change.outcome = outcome
    change.is_local = change.is_local or entry.is_local
    event.finished = at
    if event.started is None and outcome.kind.value != "refused" and outcome.duration_ms:
        event.started = _ms(entry.at - outcome.duration_ms / 1000)
    if entry.is_reported:
        event.reported = at
    event.outcome = outcome.kind.value
    event.code = outcome.code
    event.message = _sound(outcome.message)[:MAX_WORDS]
    event.duration_ms = round(outcome.duration_ms, 3)
    event.note = entry.note
    if outcome.result is not None:
        data = bytes(outcome.result)
        change.result = data.decode("utf-8", "replace")
        event.result_bytes = len(data)
        event.result_sha256 = text_digest(change.result)
    if outcome.detail is not None:
        detail = bytes(outcome.detail).decode("utf-8", "replace")
        change.detail = detail if len(detail) <= MAX_DETAIL else None


def _complete(row: CallRow, change: _Change) -> None:
    """Put into a new row what the same batch says of its later life."""
    event = change.event
    row.first_seq = row.last_seq = event.seq
    row.accepted_at, row.started_at = event.accepted, event.started
    row.finished_at, row.reported_at, row.confirmed_at = event.finished, event.reported, event.confirmed
    if change.outcome is not None:
        row.outcome, row.code, row.message = event.outcome, event.code, event.message
        row.hint, row.detail = _sound(change.outcome.hint)[:MAX_WORDS], change.detail
        row.duration_ms, row.result_bytes = event.duration_ms, event.result_bytes
        row.result = None if event.confirmed and event.result_bytes > KEEP_RESULT else change.result
    row.is_open = event.confirmed is None and not (change.is_local and change.outcome is not None)


def _finish_values(change: _Change) -> tuple[Any, ...]:
    event, outcome = change.event, change.outcome
    assert outcome is not None, "only finished calls come here"
    is_open = event.confirmed is None and not change.is_local
    result = None if event.confirmed and event.result_bytes > KEEP_RESULT else change.result
    return (
        event.call, event.seq, event.started, event.accepted, event.finished, event.reported, event.confirmed,
        event.outcome, event.code, event.message, _sound(outcome.hint)[:MAX_WORDS], change.detail, event.duration_ms,
        result, event.result_bytes, is_open,
    )  # fmt: skip


def _put_all(connection: sqlite3.Connection, together: str, single: str, rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    text = _encode(rows).decode()
    # SQLite's JSON ends a string at a NUL, bound values do not.
    if "\\u0000" in text:
        connection.executemany(single, rows)
    else:
        connection.execute(together, (text,))


def _ms(at: float) -> int:
    return int(at * 1000)


def _sound(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
