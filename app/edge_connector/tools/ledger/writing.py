"""From what the loop noted to rows: chains the events and writes both tables. It runs in the writer thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind, ToolInfo
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
LOCAL = "local"
PLATFORM = "platform"


class Noted:
    """What happened to a call since its last row of the chain; the loop fills it, the writer reads it.

    Attributes:
        request: None when the call has a row already.
        info: None for a tool that is not served.
    """

    __slots__ = (
        "accepted", "call_id", "confirmed", "finished", "info", "is_local", "note", "outcome",
        "received", "reported", "request", "started",
    )  # fmt: skip

    def __init__(self, call_id: str, request: CallRequest | None = None, info: ToolInfo | None = None) -> None:
        """Stamps are Unix seconds."""
        self.call_id = call_id
        self.request = request
        self.info = info
        self.is_local = False
        self.received: float | None = None
        self.accepted: float | None = None
        self.started: float | None = None
        self.finished: float | None = None
        self.reported: float | None = None
        self.confirmed: float | None = None
        self.outcome: CallOutcome | None = None
        self.note = ""


@dataclass(slots=True)
class Written:
    """What a batch did."""

    calls: int
    events: int
    head_hash: str


_COLUMNS = CallRow.__struct_fields__
_STEPPED = ("id", "last_seq", "accepted_at", "reported_at", "confirmed_at")
_FINISHED = (
    "id", "last_seq", "started_at", "accepted_at", "finished_at", "reported_at", "confirmed_at", "outcome", "code",
    "message", "hint", "detail", "duration_ms", "result", "result_bytes", "is_open",
)  # fmt: skip
_KEEPS = ("started_at", "accepted_at", "reported_at", "confirmed_at")
"""Columns that a row without a value leaves as they are."""


def _update(names: tuple[str, ...], also: str = "") -> str:
    changes = [
        f"{name} = coalesce(new.{name}, calls.{name})" if name in _KEEPS else f"{name} = new.{name}"
        for name in names[1:]
    ]
    # The alias stands for the rows of values, which have no names of their own.
    columns = ", ".join(f"column{number} AS {name}" for number, name in enumerate(names, 1))
    source = f"(SELECT {columns} FROM (VALUES %s)) AS new"
    return f"UPDATE calls SET {', '.join(changes)}{also} FROM {source} WHERE calls.id = new.id"


_PUT_CALLS = f"REPLACE INTO calls ({CALL_COLUMNS}) VALUES %s"
_PUT_EVENTS = "INSERT INTO events (seq, call, body, hash) VALUES %s"
_FINISH_CALLS = _update(_FINISHED)
_STEP_CALLS = _update(
    _STEPPED,
    ", is_open = CASE WHEN new.confirmed_at IS NULL THEN calls.is_open ELSE 0 END,"
    f" result = CASE WHEN new.confirmed_at IS NOT NULL AND result_bytes > {KEEP_RESULT} THEN NULL ELSE result END",
)
_TOGETHER = (64, 16, 4, 1)
"""Rows in one statement: each of these sizes is prepared once."""
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class LedgerWriter:
    """Writes batches; one for a file."""

    _redactors: dict[str, tuple[ToolInfo, Redactor | None]] = field(default_factory=dict)

    def write(self, connection: sqlite3.Connection, notes: Sequence[Noted]) -> Written:
        """Append `notes`, in the transaction that is open.

        Raises:
            sqlite3.Error, UserError: nothing of the batch is kept then.
        """
        ends = read_ends(connection)
        head_seq, head_hash = ends.head_seq, ends.head_hash
        events: list[Any] = []
        puts: list[Any] = []
        steps: list[Any] = []
        finishes: list[Any] = []
        calls = 0
        superseded = _superseded(notes)
        for noted in notes:
            head_seq += 1
            request, outcome = noted.request, noted.outcome
            event = Event(
                seq=head_seq, call=noted.call_id, received=_ms(noted.received), accepted=_ms(noted.accepted),
                started=_ms(noted.started), finished=_ms(noted.finished), reported=_ms(noted.reported),
                confirmed=_ms(noted.confirmed), note=noted.note,
            )  # fmt: skip
            result = detail = arguments = None
            if request is not None:
                arguments = self._receive(event, request, noted)
            if outcome is not None:
                result, detail = _finish(event, outcome, noted)
            body = _encode(event)
            head_hash = link_hash(head_hash, body)
            events += (head_seq, event.call, body.decode(), head_hash)
            if not event.call or noted in superseded:
                continue
            hint = "" if outcome is None else _sound(outcome.hint)[:MAX_WORDS]
            is_open = event.confirmed is None and not (noted.is_local and outcome is not None)
            if event.confirmed is not None and event.result_bytes > KEEP_RESULT:
                result = None
            if request is not None:
                calls += 1
                puts += (
                    event.call, event.tool, event.repeat, event.attempt, event.source, event.user, event.organization,
                    event.deployment, event.agent, event.received, event.accepted, event.started, event.finished,
                    event.reported, event.confirmed, arguments, event.arguments_bytes, event.outcome, event.code,
                    event.message, hint, detail, event.duration_ms, result, event.result_bytes, is_open, head_seq,
                    head_seq,
                )  # fmt: skip
            elif outcome is not None:
                finishes += (
                    event.call, head_seq, event.started, event.accepted, event.finished, event.reported,
                    event.confirmed, event.outcome, event.code, event.message, hint, detail, event.duration_ms, result,
                    event.result_bytes, is_open,
                )  # fmt: skip
            else:
                steps += (event.call, head_seq, event.accepted, event.reported, event.confirmed)
        _put(connection, _PUT_CALLS, puts, len(_COLUMNS))
        _put(connection, _FINISH_CALLS, finishes, len(_FINISHED))
        _put(connection, _STEP_CALLS, steps, len(_STEPPED))
        _put(connection, _PUT_EVENTS, events, 4)
        if not notes:
            # Somebody wants to know whether the file can be written.
            connection.execute("UPDATE chain SET begun_at = begun_at")
        else:
            connection.execute("UPDATE chain SET head_seq=?, head_hash=?", (head_seq, head_hash))
        return Written(calls, len(events) // 4, head_hash)

    def _receive(self, event: Event, request: CallRequest, noted: Noted) -> str | None:
        """Put into the event what the call asked for; returns the arguments as they are kept."""
        info = noted.info
        size, arguments = self._arguments(request, info)
        event.tool = request.tool
        event.repeat = "" if info is None else info.repeat
        event.attempt = request.attempt
        event.source = LOCAL if noted.is_local else PLATFORM
        event.user = request.user
        event.organization = request.organization
        event.deployment = request.deployment
        event.agent = request.agent
        event.arguments_bytes = size
        event.arguments_sha256 = text_digest(arguments)
        return arguments

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


def _finish(event: Event, outcome: CallOutcome, noted: Noted) -> tuple[str | None, str | None]:
    """Put into the event how the call ended; returns result and detail."""
    finished = noted.finished or 0.0
    if event.started is None and outcome.kind is not OutcomeKind.REFUSED and outcome.duration_ms:
        event.started = _ms(finished - outcome.duration_ms / 1000)
    event.outcome = outcome.kind.value
    event.code = outcome.code
    event.message = _sound(outcome.message)[:MAX_WORDS]
    event.duration_ms = round(outcome.duration_ms, 3)
    result = detail = None
    if outcome.result is not None:
        data = bytes(outcome.result)
        result = data.decode("utf-8", "replace")
        event.result_bytes = len(data)
        event.result_sha256 = text_digest(result)
    if outcome.detail is not None:
        text = bytes(outcome.detail).decode("utf-8", "replace")
        detail = text if len(text) <= MAX_DETAIL else None
    return result, detail


def _put(connection: sqlite3.Connection, sql: str, values: list[Any], width: int) -> None:
    """Run `sql` with all rows, many in one statement: a step a row would hand the interpreter's lock to and fro."""
    place, rows = 0, len(values) // width
    for together in _TOGETHER:
        while rows >= together:
            upto = place + together * width
            connection.execute(_statement(sql, width, together), values[place:upto])
            place, rows = upto, rows - together


@cache
def _statement(sql: str, width: int, together: int) -> str:
    return sql % ", ".join([f"({', '.join('?' * width)})"] * together)


def _superseded(notes: Sequence[Noted]) -> set[Noted]:
    """Those whose row a later attempt in the same batch takes the place of; they have an event, but no row."""
    found: set[Noted] = set()
    begun: set[str] = set()
    for noted in reversed(notes):
        if noted.call_id in begun:
            found.add(noted)
        elif noted.request is not None:
            begun.add(noted.call_id)
    return found


def _ms(at: float | None) -> int | None:
    return None if at is None else int(at * 1000)


def _sound(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
