"""What a connector knows of itself, as one typed document that /statusz, the control feed and the commands show.

It holds facts and words, never decisions: those are `runtime.state`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

SCHEMA_VERSION = 1


class State(StrEnum):
    """The seven states, the same words on every surface."""

    WORKING = "working"
    WORKING_WITH_PROBLEMS = "working_with_problems"
    CONNECTING = "connecting"
    NEEDS_YOU = "needs_you"
    ASLEEP = "asleep"
    PAUSED = "paused"
    STOPPED = "stopped"


class LinkPhase(StrEnum):
    """Where the link is."""

    IDLE = "idle"
    DIALLING = "dialling"
    HANDSHAKE = "handshake"
    OPEN = "open"
    WAITING = "waiting"
    """For the next attempt."""
    REFUSED = "refused"
    """For a person."""


class Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the parts of a status document."""


class Problem(Document, frozen=True, kw_only=True):
    """Something wrong, since when, and the one next step."""

    code: str
    severity: str
    """`warning`: serving all the same; `error`: not serving because of it; `person`: somebody has to act."""
    sentence: str
    fix: str
    since: str
    """RFC 3339, UTC."""


class Process(Document, frozen=True, kw_only=True):
    """The first truth: the process runs."""

    pid: int
    version: str
    started_at: str
    uptime_s: float
    directory: str
    instance_id: str
    host: str
    platform: str
    python: str
    loop: str
    cpu_percent: float
    memory_bytes: int


class Link(Document, frozen=True, kw_only=True):
    """The second truth: the WebSocket to the platform."""

    phase: LinkPhase
    url: str
    since: str
    attempt: int = 0
    next_attempt_in_s: float | None = None
    session_id: str = ""
    round_trip_ms: float | None = None
    last_error: str = ""
    reconnects: int = 0


class Authorised(Document, frozen=True, kw_only=True):
    """The third truth: who we are to the platform."""

    method: str
    """`deployment`, `token` or empty when no credentials were found."""
    source: str = ""
    organization: str = ""
    organization_id: str = ""
    deployment: str = ""
    deployment_id: str = ""
    connector_id: str = ""
    expires_at: str = ""
    accepted: bool = False


class SignInPhase(StrEnum):
    """Where the sign-in of a person is."""

    NONE = "none"
    WAITING = "waiting"
    """For the approval in the browser."""
    SIGNED_IN = "signed_in"
    LOCKED = "locked"
    """It lies in the keyring, which is locked."""


class SignInStatus(Document, frozen=True, kw_only=True):
    """The sign-in of a person here; it may serve the person's acts while the link has a deployment's secret."""

    phase: SignInPhase = SignInPhase.NONE
    user: str = ""
    organization_id: str = ""
    kept_in: str = ""
    """Path of the file, or `keyring`."""
    expires_at: str = ""
    """RFC 3339, UTC; empty: never."""
    renewable: bool = False
    """Whether it is renewed without the person."""


class Proven(Document, frozen=True, kw_only=True):
    """The fourth truth: a call went platform, connector, tool worker and back."""

    at: str = ""
    """Empty: not proven since the start."""
    age_s: float | None = None
    round_trip_ms: float | None = None
    kind: str = "platform"
    """`platform`, or `local` when the peer offers no probe."""


class ToolStatus(Document, frozen=True, kw_only=True):
    """A tool that is offered now."""

    name: str
    title: str
    source: str
    risk: str
    repeat: str


class BundleStatus(Document, frozen=True, kw_only=True):
    """Where the tools come from."""

    source: str
    """`builtin`, `local` or `bundle`."""
    path: str = ""
    bundle_id: str = ""
    version: int = 0
    checksum: str = ""


class Calls(Document, frozen=True, kw_only=True):
    """Counts since the process started, and the load now."""

    running: int = 0
    queued: int = 0
    slots: int = 0
    received: int = 0
    outcomes: dict[str, int] = {}
    unsent_outcomes: int = 0
    """Finished while the link was down; sent after reconnect."""


class LedgerStatus(Document, frozen=True, kw_only=True):
    """The record of calls on the disk (docs/ledger.md)."""

    calls: int = 0
    events: int = 0
    size_bytes: int = 0
    """Measured when retention last looked."""
    last_write_at: str = ""
    """RFC 3339, UTC; empty: not yet."""
    head: str = ""
    """Hash of the newest event; noted elsewhere it proves what was written until then."""
    waiting: int = 0
    """Entries that are not written yet."""
    lost: int = 0
    """Entries that could not be written and were given up."""
    problem: str = ""
    """Code of what keeps it from writing; empty while it works."""


class Activity(Document, frozen=True, kw_only=True):
    """Calls of the last hour by the minute, oldest first; the last entry is the minute that runs."""

    per_minute: list[int] = []
    latency_p50_ms: list[float | None] = []
    latency_p99_ms: list[float | None] = []


class Paused(Document, frozen=True, kw_only=True):
    """A pause by a person."""

    since: str
    until: str = ""
    """Empty: until resumed."""


class WorkerStatus(Document, frozen=True, kw_only=True):
    """One tool worker process."""

    pid: int
    kind: str
    busy: int
    calls_done: int
    cpu_percent: float
    memory_bytes: int


class Host(Document, frozen=True, kw_only=True):
    """The machine."""

    cpus: int
    cpu_percent: float
    memory_total_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int


class Health(Document, frozen=True, kw_only=True):
    """Where the health endpoints listen."""

    host: str = ""
    port: int = 0


class RuntimeStatus(Document, frozen=True, kw_only=True):
    """The whole status of one connector."""

    schema_version: int = SCHEMA_VERSION
    state: State
    since: str
    sentence: str
    """The state in words, with the age of its proof or the next attempt."""
    problems: list[Problem]
    process: Process
    link: Link
    authorised: Authorised
    proven: Proven
    tools: list[ToolStatus]
    bundle: BundleStatus
    calls: Calls
    workers: list[WorkerStatus]
    host: Host
    health: Health
    draining: bool = False
    paused: Paused | None = None
    activity: Activity = Activity()
    ledger: LedgerStatus = LedgerStatus()
    sign_in: SignInStatus = SignInStatus()


def status_schema() -> dict[str, object]:
    """JSON Schema (draft 2020-12) of `RuntimeStatus` as it is served."""
    return msgspec.json.schema(RuntimeStatus)
