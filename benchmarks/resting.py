"""What a connector costs that has nothing to do: time to be registered, memory, processor time."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.edge import edge
from benchmarks.harness import log_line

MIB = 1024 * 1024
TARGETS = {"registeredMs": 500.0, "runtimeRssMb": 45.0, "workerRssMb": 25.0, "idleCpuPercent": 0.1}


def measure_resting(home: Path, *, starts: int, idle_s: float) -> dict[str, Any]:
    """Start a connector some times, then leave the last one alone for `idle_s` seconds."""
    took: list[float] = []
    memory: dict[str, float] = {}
    percent = 0.0
    for number in range(starts):
        with edge(home / f"resting-{number}", EC_TOOL_CONCURRENCY="8") as running:
            took.append(running.registered_ms)
            if number < starts - 1:
                continue
            log_line(f"idle for {idle_s:.0f} s")
            time.sleep(2.0)
            before, began = running.connector.cpu_s(), time.perf_counter()
            time.sleep(idle_s)
            percent = (running.connector.cpu_s() - before) / (time.perf_counter() - began) * 100
            memory = _memory(running.connector.process)
    return {
        "registeredMs": round(median(took), 1),
        "registeredMsAll": [round(each, 1) for each in took],
        **memory,
        "idleCpuPercent": round(percent, 3),
        "targets": TARGETS,
    }


def _memory(runtime: psutil.Process) -> dict[str, float]:
    workers = [process.memory_info().rss / MIB for process in runtime.children(recursive=True)]
    return {
        "runtimeRssMb": round(runtime.memory_info().rss / MIB, 1),
        "workerRssMb": round(max(workers), 1),
        "workers": len(workers),
        "totalRssMb": round((runtime.memory_info().rss + sum(workers) * MIB) / MIB, 1),
        "allowedRssMb": TARGETS["runtimeRssMb"] + TARGETS["workerRssMb"] * len(workers),
    }


def resting_table(document: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = [
        ("`run` to registered", "registeredMs", "ms"),
        ("idle memory of the runtime", "runtimeRssMb", "MB"),
        ("idle memory of a worker, the largest", "workerRssMb", "MB"),
        ("idle processor time, with workers", "idleCpuPercent", "%"),
    ]
    lines = ["| at rest | measured | target |", "|---|---|---|"]
    total = f"| idle memory of the runtime and its {document['workers']:g} workers together"
    lines += [f"| {words} | {document[key]:g} {unit} | {TARGETS[key]:g} {unit} |" for words, key, unit in rows]
    lines.append(f"{total} | {document['totalRssMb']:g} MB | {document['allowedRssMb']:g} MB |")
    return "\n".join(lines)
