"""Metrics as text: what the client library's own parser reads is what was collected."""

from __future__ import annotations

import psutil
from prometheus_client.parser import text_string_to_metric_families

from edge_connector.core.metrics import (
    BOUNDS_S,
    PROCESS_METRICS,
    Durations,
    Metric,
    Sample,
    exposition,
    process_samples,
)

CALLS = Metric("x_calls_total", "counter", "Calls.", ("tool", "outcome"))
TOOK = Metric("x_seconds", "histogram", "Durations.", ("tool",))
NOW = Metric("x_now", "gauge", 'Help with "quotes"\nand a line break.')


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def test_values_and_strange_labels_come_through() -> None:
    strange = 'a "quoted" \\ tool\nwith a line'
    found = read(exposition([Sample(CALLS, 3, (strange, "failed")), Sample(CALLS, 1, ("x", "y")), Sample(NOW, 2.5)]))
    assert found == {
        ("x_calls_total", (("outcome", "failed"), ("tool", strange))): 3,
        ("x_calls_total", (("outcome", "y"), ("tool", "x"))): 1,
        ("x_now", ()): 2.5,
    }


def test_a_histogram_counts_into_cumulative_buckets() -> None:
    durations = Durations()
    for seconds in (0.0, 0.001, 0.0011, 0.3, 1000.0):
        durations.observe(seconds)
    found = read(exposition([Sample(TOOK, durations, ("t",))]))
    buckets = {dict(labels)["le"]: value for (name, labels), value in found.items() if name == "x_seconds_bucket"}
    assert len(buckets) == len(BOUNDS_S) + 1
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.5"], buckets["60.0"], buckets["+Inf"]) == (2, 3, 4, 4, 5)
    assert found[("x_seconds_count", (("tool", "t"),))] == 5
    assert abs(found[("x_seconds_sum", (("tool", "t"),))] - 1000.3021) < 1e-6


def test_nothing_is_a_text_too() -> None:
    assert exposition([]) == b""


def test_the_process_is_told_by_its_usual_names() -> None:
    found = read(exposition(process_samples(psutil.Process())))
    assert {name for name, _ in found} == {metric.name for metric in PROCESS_METRICS}
    assert found[("process_resident_memory_bytes", ())] > 1_000_000
    assert 3 <= found[("process_open_fds", ())] <= found[("process_max_fds", ())]
