"""What trouble beside a call does to it: other calls' latency next to slow, crashing, busy and bulky tools.

The measure is the same load in the same run beside one plain busy process of the worker's nice value: a tool may take a
processor, like any program; it must not cost other calls more than that.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.call_path import Slices
from benchmarks.contestants import call_body, edge_http
from benchmarks.edge import Edge
from benchmarks.harness import Load, end, log_line, post

CALLERS = 16
TROUBLE = {
    "slow": ("beSlow", {"seconds": 0.2}),
    "crashing": ("crash", {}),
    "cpuBound": ("burn", {"seconds": 0.2}),
    "megabyte": ("giveMegabyte", {}),
}
BUSY = "while True: pass"


@contextmanager
def _busy_process() -> Iterator[None]:
    popen = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        end(popen)


def measure_beside(edge: Edge, python: str, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Latency of the other calls alone, beside a busy process, and beside each kind of trouble."""
    log = edge.home / "load.log"
    quiet = edge_http(edge)
    main = Load(python, quiet.config, log)
    authorization = f"Authorization: Bearer {edge.token}"
    others: dict[str, Load] = {}
    for name, (tool, arguments) in TROUBLE.items():
        request = post(edge.api_port, "/api/v1/calls", call_body(tool, json.dumps(arguments)), authorization)
        config = {"kind": "http", "port": edge.api_port, "request": request, "expected": '"outcome"'}
        others[name] = Load(python, config, log)
    slices = {name: Slices() for name in ("alone", "busyProcess", *TROUBLE)}
    try:
        for number in range(rounds):
            log_line(f"trouble beside it, round {number + 1} of {rounds}")
            slices["alone"].add(main.run(CALLERS, seconds), {})
            with _busy_process():
                slices["busyProcess"].add(main.run(CALLERS, seconds), {})
            for name, other in others.items():
                other.begin(1, seconds)
                slices[name].add(main.run(CALLERS, seconds), {})
                other.result()
    finally:
        for load in (main, *others.values()):
            load.close()
    found = {name: each.document() for name, each in slices.items()}
    measure = found["busyProcess"]["p99Ms"]
    for each in found.values():
        del each["cpuPer10k"]
        each["p99ToBusyProcess"] = round(each["p99Ms"] / measure, 2)
    return {"callers": CALLERS, "beside": found}


def beside_table(document: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"| beside {document['callers']} callers | calls/s | p50 ms | p99 ms | p99 / busy process |",
        "|---|---|---|---|---|",
    ]
    for name, at in document["beside"].items():
        rate, ratio = f"{at['callsPerSecond']:,}", f"{at['p99ToBusyProcess']:.2f}"
        lines.append(f"| {name} | {rate} | {at['p50Ms']:.2f} | {at['p99Ms']:.1f} | {ratio} |")
    return "\n".join(lines)
