"""What the health endpoints answer, decided without a server."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edge_connector.core.status import RuntimeStatus, State
from edge_connector.net.hosts import is_own


def livez(status: RuntimeStatus) -> tuple[int, dict[str, Any]]:
    """The process runs and its loop turns; nothing about the network."""
    return 200, {"status": "alive", "pid": status.process.pid, "uptimeS": round(status.process.uptime_s, 1)}


def healthz(status: RuntimeStatus, *, ready: bool) -> tuple[int, dict[str, Any]]:
    """200 when calls can be served, 503 otherwise (documented: 503 until connected to the platform server)."""
    document: dict[str, Any] = {"status": "ready" if ready else "not ready", "state": status.state.value}
    document["sentence"] = status.sentence
    if not ready:
        document["problems"] = [problem.code for problem in status.problems if problem.severity != "warning"]
    elif status.state not in (State.WORKING, State.WORKING_WITH_PROBLEMS):
        document["note"] = "connected, waiting for proof"
    return (200 if ready else 503), document


def is_host_allowed(host_header: str | None, allowed: Collection[str]) -> bool:
    """Whether a request with this `Host` may see the status; one without comes from no browser and may."""
    return not host_header or is_own(host_header, allowed)
