"""What the executor and its users exchange: requests, outcomes, descriptions of tools, problems and workers.

Plain data without behaviour; nothing here reaches a process or a socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Raw, Struct

GIB = 1024**3
MIB = 1024**2


class CallRequest(Struct, frozen=True):
    """One call to run.

    Attributes:
        id: unique among the calls that are not finished.
        arguments: a JSON object, not parsed before it reaches the worker.
        remaining_s: seconds the caller still waits; None leaves the deadline to the tool and the default.
        attempt: 1 for the first delivery.
        probe: a call that proves readiness; it has a slot of its own.
    """

    id: str
    tool: str
    arguments: Raw | bytes = b"{}"
    remaining_s: float | None = None
    user: str = ""
    organization: str = ""
    deployment: str = ""
    agent: str = ""
    attempt: int = 1
    probe: bool = False


class OutcomeKind(StrEnum):
    """How a call ended."""

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    """It never started."""
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """It started and nobody knows how far it came."""


class CallOutcome(Struct, frozen=True):
    """The one end of a call. `result` is set when it succeeded; `code` and `message` are set otherwise."""

    id: str
    kind: OutcomeKind
    tool: str
    result: Raw | None = None
    code: str = ""
    message: str = ""
    hint: str = ""
    detail: Raw | None = None
    duration_ms: float = 0.0


class CallSink(Protocol):
    """Hears about calls, on the loop's thread. It must not block."""

    def accepted(self, call_id: str) -> None:
        """The call is queued or running and not over after 50 ms."""
        ...

    def progress(self, call_id: str, fraction: float | None, message: str) -> None:
        """What the tool said about its progress."""
        ...

    def finished(self, outcome: CallOutcome) -> None:
        """Exactly once for each submitted id, maybe before `submit` returns."""
        ...


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """One tool that is served. `source` is `builtin` or `local`."""

    name: str
    title: str
    description: str
    parameters: Raw
    result: Raw
    risk: str
    repeat: str
    timeout_s: float | None
    source: str
    is_async: bool


@dataclass(frozen=True, slots=True)
class ToolProblem:
    """Something about the tools that somebody has to mend."""

    code: str
    name: str
    message: str
    hint: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is served now; `revision` grows with each change."""

    revision: int
    tools: tuple[ToolInfo, ...]
    problems: tuple[ToolProblem, ...]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process. `kind` is `async` or `sync`; `cpu_percent` is since the last look, 100 is one core."""

    pid: int
    kind: str
    calls_done: int
    cpu_percent: float
    memory_bytes: int
    busy: int


@dataclass(slots=True)
class Counters:
    """What happened since the start."""

    calls: int = 0
    outcomes: dict[OutcomeKind, int] = field(default_factory=lambda: dict.fromkeys(OutcomeKind, 0))
    workers_started: int = 0
    workers_lost: int = 0
    output_lines_dropped: int = 0
    last_traceback: str = ""


@dataclass(frozen=True)
class ExecutorConfig:
    """How tools are run.

    Attributes:
        implementations: the directory with the tools; None serves the built-in diagnostics alone.
        concurrency: calls that run at once; also the largest number of sync workers.
        queue: calls that wait for a slot; one more is refused as `busy`.
        default_timeout_s: for tools and calls that set none.
        cancel_grace_s: seconds between the request to stop and the end of the process.
        worker_memory_bytes: data each worker process (and each of its children) may hold.
        max_children: processes below one worker.
        environment: what the tools see; make it with `environment.scrubbed_environment`.
        scratch_root: where calls get their scratch directories; leftovers are removed at start.
        log_file: the connector's log, read by `tailConnectorLog`.
        platform_url: whom `getPlatformNetworkCheck` tries to reach.
    """

    implementations: Path | None
    scratch_root: Path
    concurrency: int = 8
    queue: int = 256
    default_timeout_s: float = 60.0
    cancel_grace_s: float = 2.0
    worker_memory_bytes: int = 1 * GIB
    max_result_bytes: int = 8 * MIB
    max_children: int = 32
    environment: Mapping[str, str] = field(default_factory=dict)
    log_file: Path | None = None
    platform_url: str = ""
    idle_worker_s: float = 30.0
    ready_timeout_s: float = 30.0
