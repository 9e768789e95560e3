"""Status documents for tests of the desktop, made from the real structs so that their shape is the served one."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_connector.core.clock import to_iso
from edge_connector.core.status import (
    Authorised,
    BundleStatus,
    Calls,
    Health,
    Host,
    Link,
    LinkPhase,
    Process,
    Proven,
    RuntimeStatus,
    State,
)

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""
PHASES = {
    State.CONNECTING: LinkPhase.WAITING,
    State.NEEDS_YOU: LinkPhase.REFUSED,
    State.ASLEEP: LinkPhase.WAITING,
    State.STOPPED: LinkPhase.IDLE,
}


def status(
    state: State | str = State.WORKING,
    *,
    now: float = NOW,
    proof_age_s: float | None = 12.0,
    **parts: Any,
) -> dict[str, Any]:
    """A whole status document; `parts` replace top-level keys, given as a mapping they are merged into them."""
    state = State(state)
    built = RuntimeStatus(
        state=state,
        since=to_iso(now - 60),
        sentence="",
        problems=[],
        process=Process(
            pid=4711, version="0.1.0", started_at=to_iso(now - 7300), uptime_s=7300, directory="/home/me/connector",
            instance_id="i1", host="workshop", platform="Linux", python="3.11", loop="asyncio", cpu_percent=0.1,
            memory_bytes=50_000_000,
        ),
        link=Link(
            phase=PHASES.get(state, LinkPhase.OPEN),
            url="wss://platform.example:3001",
            since=to_iso(now - 600),
            next_attempt_in_s=4.0 if state is State.CONNECTING else None,
        ),
        authorised=Authorised(
            method="deployment", organization="Example Works", deployment="Hall 3", deployment_id="dep_1", accepted=True
        ),
        proven=Proven(
            at="" if proof_age_s is None else to_iso(now - proof_age_s), age_s=proof_age_s, round_trip_ms=7.42
        ),
        tools=[],
        bundle=BundleStatus(source="local", path="tools"),
        calls=Calls(slots=4),
        workers=[],
        host=Host(cpus=2, cpu_percent=1.0, memory_total_bytes=1, memory_available_bytes=1, disk_free_bytes=1),
        health=Health(host="127.0.0.1", port=8099),
    )  # fmt: skip
    document: dict[str, Any] = msgspec.to_builtins(built)
    for key, value in parts.items():
        old = document.get(key)
        document[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return document


def call(number: int = 1, *, tool: str = "echo", outcome: str = "succeeded", started_at: float = NOW) -> dict[str, Any]:
    """One row of the answer to `calls.recent`."""
    return {
        "id": f"call-{number}",
        "tool": tool,
        "outcome": outcome,
        "startedAt": to_iso(started_at),
        "durationMs": 12.5,
        "agent": "",
        "user": "",
        "code": "",
        "message": "",
    }
