"""The hash chain over the ledger's events, and the proof that nothing in it was changed, left out or moved.

Each event's hash is SHA-256 over the hash before it and its own JSON text. Nothing here knows files or SQL:

    verifier = ChainVerifier(anchor_seq, anchor_hash)
    for row in rows: verifier.feed(row)
    report = verifier.finish(head_seq, head_hash)
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from edge_connector.tools.ledger.records import CallRow, Event

GENESIS = "0" * 64
"""The hash before the first event of a new ledger."""
MAX_FINDINGS = 20


def link_hash(previous: str, body: bytes) -> str:
    """The hash of an event whose JSON text is `body`, in hexadecimal."""
    return sha256(previous.encode() + body).hexdigest()


def text_digest(text: str | None) -> str:
    """SHA-256 of a text that the ledger keeps; empty for none."""
    return "" if text is None else sha256(text.encode()).hexdigest()


class ChainRow(msgspec.Struct, kw_only=True, rename="camel"):
    """An event as it is stored and exported."""

    seq: int
    call: str
    body: str
    hash: str
    row: CallRow | None = None
    """The call, with the newest event about it."""


class Finding(msgspec.Struct, kw_only=True, rename="camel"):
    """One thing that is wrong, and where."""

    kind: str
    """`changed`, `missing` or `reordered`."""
    seq: int
    call: str
    sentence: str


class VerifyReport(msgspec.Struct, kw_only=True, rename="camel"):
    """What was proven."""

    intact: bool
    events: int
    calls: int
    anchor_seq: int
    head_seq: int
    head_hash: str
    findings: list[Finding]
    more_findings: int = 0
    """Findings beyond those listed."""


class ChainVerifier:
    """Takes the rows of a chain in their stored order."""

    def __init__(self, anchor_seq: int, anchor_hash: str, *, head: str = "") -> None:
        """`head` is a hash that was noted elsewhere: the chain has to contain it."""
        self._anchor_seq = anchor_seq
        self._anchor_hash = anchor_hash
        self._seq = anchor_seq
        self._hash = anchor_hash
        self._wanted = head.lower()
        self._seen_wanted = not head or anchor_hash == self._wanted
        self._events = self._calls = self._more = 0
        self._findings: list[Finding] = []
        self._open: dict[str, Event] = {}
        """What the events say of each call whose row has not come yet."""

    def feed(self, row: ChainRow) -> None:
        """The next row."""
        self._events += 1
        if row.seq <= self._seq:
            self._find("reordered", row, f"Row {row.seq} comes after row {self._seq}.")
        elif row.seq > self._seq + 1:
            gone = (
                f"Row {self._seq + 1} is" if row.seq == self._seq + 2 else f"Rows {self._seq + 1} to {row.seq - 1} are"
            )
            self._find("missing", row, f"{gone} missing.", seq=self._seq + 1)
        elif link_hash(self._hash, row.body.encode("utf-8", "surrogatepass")) != row.hash:
            # Only where the row before it is known: behind a gap there is nothing to compute from.
            self._find("changed", row, f"Row {row.seq} does not fit its hash and the row before it.")
        self._seq, self._hash = row.seq, row.hash
        self._seen_wanted = self._seen_wanted or row.hash == self._wanted
        event = self._decode(row)
        if event is None or not event.call:
            return
        known = self._open.pop(event.call, None)
        merged = event if known is None or event.received is not None else _merge(known, event)
        if row.row is None:
            self._open[event.call] = merged
        else:
            self._calls += 1
            self._compare(row, row.row, merged)

    def _decode(self, row: ChainRow) -> Event | None:
        try:
            event = msgspec.json.decode(row.body, type=Event)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            self._find("changed", row, f"Row {row.seq} cannot be read: {error}.")
            return None
        if event.seq != row.seq or event.call != row.call:
            number = f"row {event.seq} of call {event.call}"
            kind = "reordered" if event.seq != row.seq else "changed"
            self._find(kind, row, f"Row {row.seq} of call {row.call} says that it is {number}.")
        return event

    def _compare(self, row: ChainRow, call: CallRow, said: Event) -> None:
        """Whether the call's own row says what its events say."""
        wrong = []
        if said.received is not None:  # else its first events were cut by retention
            plain = ("tool", "repeat", "attempt", "source", "user", "organization", "deployment", "agent")
            wrong += [name for name in plain if getattr(call, name) != getattr(said, name)]
            if text_digest(call.arguments) != said.arguments_sha256 or call.arguments_bytes != said.arguments_bytes:
                wrong.append("arguments")
        if call.outcome != said.outcome and (said.received is not None or said.outcome):
            wrong.append("outcome")
        if said.outcome:
            wrong += [name for name in ("code", "message") if getattr(call, name) != getattr(said, name)]
            if call.result is not None and text_digest(call.result) != said.result_sha256:
                wrong.append("result")
        stamps = ("received", "accepted", "started", "finished", "reported", "confirmed")
        wrong += [
            name for name in stamps if (at := getattr(said, name)) is not None and getattr(call, f"{name}_at") != at
        ]
        if wrong:
            text = f"The row of call {call.id} was changed: {', '.join(wrong)} differ from its events."
            self._find("changed", row, text)

    def stray(self, call: CallRow) -> None:
        """A call without an event: right only when its events were cut by retention."""
        if call.last_seq > self._anchor_seq:
            self._calls += 1
            sentence = f"The row of call {call.id} belongs to no event (row {call.last_seq} is not about it)."
            self._add(Finding(kind="changed", seq=call.last_seq, call=call.id, sentence=sentence))

    def finish(self, head_seq: int, head_hash: str) -> VerifyReport:
        """The result, given where the chain said it ended before it was read."""
        if self._seq < head_seq:
            gone = f"Row {head_seq} is" if head_seq == self._seq + 1 else f"Rows {self._seq + 1} to {head_seq} are"
            sentence = f"{gone} missing at the end."
            self._add(Finding(kind="missing", seq=self._seq + 1, call="", sentence=sentence))
        elif self._seq == head_seq and self._hash != head_hash:
            sentence = f"The last row {head_seq} has not the hash that the ledger ends with."
            self._add(Finding(kind="changed", seq=head_seq, call="", sentence=sentence))
        for call, event in self._open.items():
            sentence = f"The row of call {call} is missing."
            self._add(Finding(kind="missing", seq=event.seq, call=call, sentence=sentence))
        if not self._seen_wanted:
            sentence = (
                f"No row has the hash {self._wanted} that was noted elsewhere: the chain was written anew or cut."
            )
            self._add(Finding(kind="missing", seq=0, call="", sentence=sentence))
        return VerifyReport(
            intact=not self._findings,
            events=self._events,
            calls=self._calls,
            anchor_seq=self._anchor_seq,
            head_seq=self._seq,
            head_hash=self._hash,
            findings=self._findings,
            more_findings=self._more,
        )

    def _find(self, kind: str, row: ChainRow, sentence: str, *, seq: int | None = None) -> None:
        self._add(Finding(kind=kind, seq=row.seq if seq is None else seq, call=row.call, sentence=sentence))

    def _add(self, finding: Finding) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(finding)
        else:
            self._more += 1


def _merge(older: Event, newer: Event) -> Event:
    """Both events as one; what the newer one says counts."""
    changes: dict[str, Any] = {
        name: value
        for name, value, default in zip(Event.__struct_fields__, msgspec.structs.astuple(newer), _DEFAULTS, strict=True)
        if value != default
    }
    return msgspec.structs.replace(older, **changes)


_DEFAULTS = (msgspec.NODEFAULT, msgspec.NODEFAULT, *Event.__struct_defaults__)
