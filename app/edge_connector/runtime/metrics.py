"""The metrics of a running connector, declared, and collected from the status and the counters when somebody asks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psutil

from edge_connector.core.metrics import PROCESS_METRICS, Metric, Sample, process_samples
from edge_connector.core.status import LinkPhase, RuntimeStatus, State
from edge_connector.runtime.call_counts import CallCounts
from edge_connector.tools.calls import Counters

INFO = Metric("edge_connector_info", "gauge", "Always 1; the labels say which connector this is.", (
    "version", "host", "organization", "deployment"))  # fmt: skip
STATE = Metric("edge_connector_state", "gauge", "1 for the state the connector is in, 0 for the others.", ("state",))
READY = Metric("edge_connector_ready", "gauge", "1 when /healthz answers 200.")
UPTIME = Metric("edge_connector_uptime_seconds", "gauge", "Seconds since the connector started.")
LINK_UP = Metric("edge_connector_link_up", "gauge", "1 while the link to the platform is open and registered.")
RECONNECTS = Metric("edge_connector_link_reconnects_total", "counter", "How often the link was lost or not made.")
ROUND_TRIP = Metric("edge_connector_link_round_trip_seconds", "gauge", "Round trip of the last heartbeat.")
PROOF_AGE = Metric(
    "edge_connector_proof_age_seconds",
    "gauge",
    "Age of the last call that went the whole way; missing before the first.",
)
PROBLEMS = Metric("edge_connector_problems", "gauge", "Problems shown now.", ("severity",))
TOOLS = Metric("edge_connector_tools", "gauge", "Tools that are served.")
RECEIVED = Metric(
    "edge_connector_calls_received_total", "counter", "Calls that came from the platform, probes included."
)
CALLS = Metric(
    "edge_connector_calls_total", "counter", "Calls that ended, probes left out. Names of no tool count as `other`.",
    ("tool", "outcome"),
)  # fmt: skip
DURATION = Metric("edge_connector_call_duration_seconds", "histogram", "Durations of the calls that ended.", ("tool",))
RUNNING = Metric("edge_connector_calls_running", "gauge", "Calls that run now.")
QUEUED = Metric("edge_connector_calls_queued", "gauge", "Calls that wait for a slot.")
SLOTS = Metric("edge_connector_call_slots", "gauge", "Calls that may run at the same time.")
HELD = Metric("edge_connector_outcomes_held", "gauge", "Outcomes that the platform has not confirmed yet.")
DROPPED = Metric(
    "edge_connector_outcomes_dropped_total", "counter", "Outcomes given up because too many waited for the platform."
)
WORKERS = Metric("edge_connector_workers", "gauge", "Tool worker processes.", ("kind",))
WORKER_MEMORY = Metric("edge_connector_workers_memory_bytes", "gauge", "Memory of the tool workers.", ("kind",))
WORKERS_STARTED = Metric("edge_connector_workers_started_total", "counter", "Tool workers started.")
WORKERS_LOST = Metric("edge_connector_workers_lost_total", "counter", "Tool workers that ended without being asked to.")
OUTPUT_DROPPED = Metric("edge_connector_tool_output_lines_dropped_total", "counter", "Lines of tools not logged.")
LEDGER = Metric("edge_connector_ledger_bytes", "gauge", "Size of the ledger on disk; missing while there is none.")
DISK_FREE = Metric("edge_connector_disk_free_bytes", "gauge", "Free space at the installation directory.")

CONNECTOR_METRICS: tuple[Metric, ...] = (
    INFO, STATE, READY, UPTIME, LINK_UP, RECONNECTS, ROUND_TRIP, PROOF_AGE, PROBLEMS, TOOLS, RECEIVED, CALLS, DURATION,
    RUNNING, QUEUED, SLOTS, HELD, DROPPED, WORKERS, WORKER_MEMORY, WORKERS_STARTED, WORKERS_LOST, OUTPUT_DROPPED,
    LEDGER, DISK_FREE, *PROCESS_METRICS,
)  # fmt: skip
"""Everything that `/metrics` of a connector may hold."""


def collect(
    status: RuntimeStatus, counts: CallCounts, counters: Counters, *, ready: bool, dropped: int, ledger: Path
) -> list[Sample]:
    """All samples now."""
    who, link, calls = status.authorised, status.link, status.calls
    found = [Sample(INFO, 1, (status.process.version, status.process.host, who.organization_id, who.deployment_id))]
    found += [Sample(STATE, float(state is status.state), (state.value,)) for state in State]
    found += [
        Sample(READY, float(ready)),
        Sample(UPTIME, status.process.uptime_s),
        Sample(LINK_UP, float(link.phase is LinkPhase.OPEN)),
        Sample(RECONNECTS, link.reconnects),
    ]
    if link.round_trip_ms is not None:
        found.append(Sample(ROUND_TRIP, link.round_trip_ms / 1000))
    if status.proven.age_s is not None:
        found.append(Sample(PROOF_AGE, status.proven.age_s))
    severities = Counter(problem.severity for problem in status.problems)
    found += [Sample(PROBLEMS, severities[severity], (severity,)) for severity in ("warning", "error", "person")]
    found += [Sample(TOOLS, len(status.tools)), Sample(RECEIVED, calls.received)]
    for tool, counted in counts.items():
        found += [Sample(CALLS, count, (tool, kind.value)) for kind, count in counted.outcomes.items() if count]
    found += [Sample(DURATION, counted.durations, (tool,)) for tool, counted in counts.items()]
    found += [
        Sample(RUNNING, calls.running),
        Sample(QUEUED, calls.queued),
        Sample(SLOTS, calls.slots),
        Sample(HELD, calls.unsent_outcomes),
        Sample(DROPPED, dropped),
    ]
    for kind in ("async", "sync"):
        workers = [worker for worker in status.workers if worker.kind == kind]
        found.append(Sample(WORKERS, len(workers), (kind,)))
        found.append(Sample(WORKER_MEMORY, sum(worker.memory_bytes for worker in workers), (kind,)))
    found += [
        Sample(WORKERS_STARTED, counters.workers_started),
        Sample(WORKERS_LOST, counters.workers_lost),
        Sample(OUTPUT_DROPPED, counters.output_lines_dropped),
        *ledger_samples(ledger),
        Sample(DISK_FREE, status.host.disk_free_bytes),
    ]
    return found + process_samples(psutil.Process())


def ledger_samples(path: Path) -> list[Sample]:
    """The size of the ledger with what SQLite keeps beside it."""
    sizes = []
    for name in (path, Path(f"{path}-wal")):
        try:
            sizes.append(name.stat().st_size)
        except FileNotFoundError:
            continue
    return [Sample(LEDGER, sum(sizes))] if sizes else []
