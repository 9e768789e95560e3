"""What a drill writes down while it runs, for the checks to look at afterwards. Data only."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_connector.tools.ledger.chain import link_hash

LOST = "lost"
"""The outcome at a caller whose own connection broke and who may not ask again: it does not know."""
MISSING = "missing"
"""The outcome in the history of a call that the platform does not know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One time that a caller heard how its call ended."""

    outcome: str
    code: str = ""
    call_id: str = ""
    result: Any = None


@dataclass(slots=True)
class CallRecord:
    """One call of the workload.

    Attributes:
        number: unique in the drill; the tool writes it down when it runs.
        expected: the result when it succeeds.
        key: idempotency key; empty for a caller that asks once only.
        answers: more than one when it was asked again with its key.
        silences: how often it waited for longer than any call may take, and nobody said a word.
    """

    number: int
    tool: str
    repeat: str
    arguments: dict[str, Any]
    expected: Any
    key: str = ""
    answers: list[Answer] = field(default_factory=list)
    silences: int = 0

    @property
    def outcome(self) -> str:
        """What the caller goes by: the first answer."""
        return self.answers[0].outcome if self.answers else ""

    @property
    def call_id(self) -> str:
        """The platform's id of the call, when the caller heard it."""
        return next((answer.call_id for answer in self.answers if answer.call_id), "")


@dataclass(frozen=True, slots=True)
class Run:
    """One line that a tool left: it ran."""

    number: int
    call: str


@dataclass(slots=True)
class Overheard:
    """What passed the proxy between connector and platform.

    Attributes:
        outcomes: call id -> outcome words that the connector reported, in order.
        receipts: call ids that the platform confirmed.
        sent_at: call id -> monotonic moment at which the platform first sent it.
    """

    outcomes: dict[str, list[str]] = field(default_factory=dict)
    receipts: set[str] = field(default_factory=set)
    sent_at: dict[str, float] = field(default_factory=dict)

    def take(self, way: str, message: bytes) -> None:
        """Look at one WebSocket message; what is no JSON is for the two ends to complain about."""
        try:
            found = json.loads(message)
        except ValueError:
            return
        for each in found if isinstance(found, list) else [found]:
            if not isinstance(each, dict):
                continue
            match way, each.get("type"):
                case "up", "result" | "result.part" | "result.reference":
                    self.outcomes.setdefault(each["id"], []).append("succeeded")
                case "up", "failure":
                    self.outcomes.setdefault(each["id"], []).append(each["outcome"])
                case "down", "receipt":
                    self.receipts.update(each["ids"])
                case "down", "call":
                    self.sent_at.setdefault(each["id"], time.monotonic())


@dataclass(frozen=True, slots=True)
class Kept:
    """A call in the platform's history after the storm."""

    outcome: str
    late: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A call in the connector's own ledger."""

    outcome: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Census:
    """What one process holds.

    Attributes:
        descriptors: open file descriptors by kind (`socket`, `pipe`, `file`, ...).
        tasks: asyncio tasks; None where the process does not tell.
        workers: tool workers of a connector; each has descriptors of its own.
    """

    descriptors: dict[str, int]
    threads: int
    workers: int = 0
    tasks: int | None = None

    def size(self) -> int:
        """Everything counted together, to tell the least of several looks."""
        return sum(self.descriptors.values()) + self.threads + (self.tasks or 0)


@dataclass(slots=True)
class Evidence:
    """All of it."""

    calls: list[CallRecord] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    overheard: Overheard = field(default_factory=Overheard)
    history: dict[str, Kept] = field(default_factory=dict)
    ledger: dict[str, Entry] = field(default_factory=dict)
    broken_links: list[int] = field(default_factory=list)
    """Numbers of ledger rows whose hash does not follow from the row before."""
    platform_kills: list[float] = field(default_factory=list)
    """Monotonic moments."""
    unconfirmed: int = 0
    """Outcomes that the connector still held when nothing was wrong any more."""
    strays: list[str] = field(default_factory=list)
    """Processes that outlived what started them, as `pid: command`."""
    before: dict[str, Census] = field(default_factory=dict)
    """Program -> census when it worked and nothing was wrong yet."""
    after: dict[str, Census] = field(default_factory=dict)
    """The same when all was over and no call was open."""
    left_files: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Lines of the logs that tell of a bug: tracebacks, tasks destroyed, warnings of the interpreter."""
    exit_codes: dict[str, int] = field(default_factory=dict)
    recovery: dict[str, Any] = field(default_factory=dict)
    """`state`, `provenAfterFault`, `problems`, `seconds`: how it was after the last fault, without help."""


def read_ledger(file: Path) -> tuple[dict[str, Entry], list[int]]:
    """The calls of a ledger that nobody writes any more, and the rows at which its chain is broken."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as ledger:
        rows = ledger.execute("SELECT id, outcome, is_open FROM calls").fetchall()
        entries = {call_id: Entry(outcome, bool(is_open)) for call_id, outcome, is_open in rows}
        (previous,) = ledger.execute("SELECT anchor_hash FROM chain").fetchone()
        broken = []
        for seq, body, found in ledger.execute("SELECT seq, body, hash FROM events ORDER BY seq"):
            if found != link_hash(previous, body.encode("utf-8", "surrogatepass")):
                broken.append(seq)
            previous = found
    return entries, broken


def read_runs(file: Path) -> list[Run]:
    """The lines that the tools left."""
    if not file.exists():
        return []
    documents = [json.loads(line) for line in file.read_text().splitlines()]
    return [Run(document["number"], document["call"]) for document in documents]
