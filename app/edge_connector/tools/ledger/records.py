"""What the ledger keeps of a call: plain data, and the words for where a call is."""

from __future__ import annotations

from enum import StrEnum

import msgspec

OUTCOME_UNKNOWN = "outcome_unknown"
"""Code of a call that was open when the connector ended without a word."""


class CallState(StrEnum):
    """How far a call has come; the words are the same on every surface."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    STARTED = "started"
    FINISHED = "finished"
    REPORTED = "reported"
    CONFIRMED = "confirmed"


STATES = tuple(CallState)


class Event(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """One row of the chain: what happened to one call since its last row. Stamps are Unix milliseconds.

    A quick call has two rows: one up to `reported`, and one with `confirmed`. Arguments and results stand in the call's
    own row; here are their sizes and digests.
    """

    seq: int
    """Its number in the chain, from 1."""
    call: str
    """Id of the call; empty for a note about the ledger itself."""
    received: int | None = None
    accepted: int | None = None
    started: int | None = None
    finished: int | None = None
    reported: int | None = None
    confirmed: int | None = None
    tool: str = ""
    repeat: str = ""
    attempt: int = 0
    source: str = ""
    """`platform`, or `local` for somebody on this machine."""
    user: str = ""
    organization: str = ""
    deployment: str = ""
    agent: str = ""
    arguments_bytes: int = -1
    """Size as received; -1 where the event does not speak of arguments."""
    arguments_sha256: str = ""
    """Of the text that is kept: redacted and maybe cut."""
    outcome: str = ""
    code: str = ""
    message: str = ""
    duration_ms: float = 0.0
    result_bytes: int = -1
    result_sha256: str = ""
    note: str = ""


class CallRow(msgspec.Struct, kw_only=True, rename="camel"):
    """A call as it is kept; the fields are the columns of the table `calls`."""

    id: str
    tool: str
    repeat: str
    attempt: int
    source: str
    user: str
    organization: str
    deployment: str
    agent: str
    received_at: int
    """Unix milliseconds, as all stamps here."""
    accepted_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    reported_at: int | None = None
    confirmed_at: int | None = None
    arguments: str | None = None
    """Redacted JSON, cut when it is long; None when it is not kept."""
    arguments_bytes: int = 0
    outcome: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    detail: str | None = None
    """JSON of the tool's own error object."""
    duration_ms: float = 0.0
    result: str | None = None
    """JSON; None when there is none, or when it was confirmed and is too long to keep."""
    result_bytes: int = -1
    is_open: bool = True
    """Whether the platform still waits for it, or has not confirmed its outcome."""
    first_seq: int = 0
    last_seq: int = 0
    """Its first and its newest row of the chain."""

    @property
    def state(self) -> CallState:
        """The furthest it has come."""
        stamps = (
            self.received_at, self.accepted_at, self.started_at, self.finished_at, self.reported_at, self.confirmed_at,
        )  # fmt: skip
        return STATES[max(index for index, stamp in enumerate(stamps) if stamp is not None)]


class ChainEnds(msgspec.Struct, kw_only=True, rename="camel"):
    """Where the chain begins and ends: the row before the first one that is kept, and the newest."""

    anchor_seq: int
    anchor_hash: str
    head_seq: int
    head_hash: str
    begun_at: int
    """Unix milliseconds of the beginning of this file."""


class LedgerFacts(msgspec.Struct, kw_only=True):
    """What the status shows of the ledger."""

    calls: int = 0
    events: int = 0
    size_bytes: int = 0
    last_write_at: float | None = None
    head: str = ""
    lost: int = 0
    """Events that could not be written and were given up."""
    problem: str = ""
    """Code of what keeps it from writing; empty when it works."""
