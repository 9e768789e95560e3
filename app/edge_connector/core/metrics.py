"""Metrics for monitoring: declared once, collected when somebody asks, written as Prometheus text.

Counting costs a few additions; the library that writes the text is loaded with the first answer.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import psutil

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of durations."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One declared metric.

    Attributes:
        name: with its unit; a counter ends in `_total`.
        help: one sentence.
        labels: the names of its labels, in the order of the values in its samples.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


class Durations:
    """A histogram of durations in seconds."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """A value now; `labels` are the values of the metric's labels."""

    metric: Metric
    value: float | Durations
    labels: tuple[str, ...] = ()


PROCESS_METRICS = (
    Metric("process_resident_memory_bytes", "gauge", "Resident memory of the process in bytes."),
    Metric("process_cpu_seconds_total", "counter", "Processor time of the process, user and system, in seconds."),
    Metric("process_open_fds", "gauge", "Open file descriptors of the process."),
    Metric("process_max_fds", "gauge", "File descriptors that the process may open."),
    Metric("process_threads", "gauge", "Threads of the process."),
    Metric("process_start_time_seconds", "gauge", "Start of the process in Unix seconds."),
)
"""Names as the Prometheus client libraries have them."""


def process_samples(process: psutil.Process) -> list[Sample]:
    """The process metrics of this process; what the system does not tell is left out."""
    with process.oneshot():
        cpu = process.cpu_times()
        values: list[float | None] = [
            process.memory_info().rss,
            cpu.user + cpu.system,
            process.num_fds() if os.name == "posix" else None,
            _max_fds(),
            process.num_threads(),
            process.create_time(),
        ]
    known = zip(PROCESS_METRICS, values, strict=True)
    return [Sample(metric, float(value)) for metric, value in known if value is not None]


def _max_fds() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def exposition(samples: Iterable[Sample]) -> bytes:
    """The samples as Prometheus text (format 0.0.4), in the order of their metrics' first samples.

    The first call loads the library, some 0.1 s: make it in a thread.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.exposition import generate_latest

    families: dict[str, CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily] = {}
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    for sample in samples:
        metric, value = sample.metric, sample.value
        family = families.get(metric.name)
        if family is None:
            family = families[metric.name] = kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
        if isinstance(value, Durations):
            assert isinstance(family, HistogramMetricFamily), f"{metric.name} is no histogram"
            family.add_metric(sample.labels, _buckets(value), value.total_s)
        else:
            assert not isinstance(family, HistogramMetricFamily), f"{metric.name} is a histogram"
            family.add_metric(sample.labels, value)

    class Collected:
        def collect(self) -> Iterable[object]:
            return families.values()

    text: bytes = generate_latest(Collected())  # type: ignore[arg-type]
    return text


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    """Cumulative, as the format wants them."""
    total, found = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), durations.counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
