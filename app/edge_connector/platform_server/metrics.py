"""The metrics of a platform, declared, and collected when somebody asks. Totals only: no organization is named."""

from __future__ import annotations

from pathlib import Path

import psutil

from edge_connector import __version__
from edge_connector.core.metrics import PROCESS_METRICS, Metric, Sample, process_samples
from edge_connector.platform_server.parts import Parts

INFO = Metric("edge_platform_info", "gauge", "Always 1; the label says which release this is.", ("version",))
SESSIONS = Metric(
    "edge_platform_sessions", "gauge", "Tool RPC sessions; `new` ones have not said who they are.", ("role",)
)
DEPLOYMENTS = Metric("edge_platform_deployments", "gauge", "Deployments.")
SERVING = Metric("edge_platform_deployments_serving", "gauge", "Deployments that take calls now.")
CALLS = Metric(
    "edge_platform_calls_total",
    "counter",
    "Calls that were sent to a connector and ended since the start.",
    ("outcome",),
)
OPEN = Metric("edge_platform_calls_open", "gauge", "Calls without an outcome.")
QUEUE = Metric("edge_platform_queue_bytes", "gauge", "Bytes on their way to connectors.")
JOURNAL = Metric("edge_platform_journal_rows", "gauge", "Calls that wait to be written to the store.")
STORE = Metric("edge_platform_store_bytes", "gauge", "Size of the store on disk.")
STOPPING = Metric("edge_platform_stopping", "gauge", "1 while the platform lets its calls finish before it ends.")

PLATFORM_METRICS: tuple[Metric, ...] = (
    INFO, SESSIONS, DEPLOYMENTS, SERVING, CALLS, OPEN, QUEUE, JOURNAL, STORE, STOPPING, *PROCESS_METRICS,
)  # fmt: skip
"""Everything that `/metrics` of a platform may hold."""


def collect(parts: Parts) -> list[Sample]:
    """All samples now."""
    live = parts.fleet.live()
    found = [Sample(INFO, 1, (__version__,))]
    found += [Sample(SESSIONS, count, (role,)) for role, count in parts.tool_rpc.sessions().items()]
    found += [
        Sample(DEPLOYMENTS, parts.fleet.size),
        Sample(SERVING, sum(1 for state in live if state.is_serving)),
        *(Sample(CALLS, count, (outcome,)) for outcome, count in sorted(parts.router.outcomes.items())),
        Sample(OPEN, parts.router.open_calls),
        Sample(QUEUE, sum(state.link.queued_bytes for state in live if state.link is not None)),
        Sample(JOURNAL, parts.journal.waiting),
        Sample(STORE, _size(parts.store_file)),
        Sample(STOPPING, float(parts.router.is_stopping)),
    ]
    return found + process_samples(psutil.Process())


def _size(path: Path) -> int:
    """With what SQLite keeps beside it."""
    total = 0
    for name in (path, Path(f"{path}-wal")):
        try:
            total += name.stat().st_size
        except FileNotFoundError:
            continue
    return total
