"""`make bench`: everything in one run, as one JSON document and as tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.beside import measure_beside
from benchmarks.call_path import measure, ratios
from benchmarks.checks import check_after, check_before
from benchmarks.contestants import Contestant, Peers, edge_caller, edge_http, python_of
from benchmarks.edge import edge
from benchmarks.harness import Load, log_line
from benchmarks.report import report
from benchmarks.resting import measure_resting

PEER_NAMES = ("nats", "wamp", "ssh", "mcp")
PARTS = ("path", "beside", "resting")


def main() -> None:
    """Run what was asked for and print the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", type=Path, help="environment with benchmarks/requirements.txt; without it no peers")
    parser.add_argument("--rounds", type=int, default=10, help="slices of load for each figure")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a slice")
    parser.add_argument("--only", choices=PARTS, action="append", help="leave the other parts out")
    parser.add_argument("--contestants", default="", help="comma-separated; all by default")
    parser.add_argument("--output", type=Path, help="write the document there instead of printing it")
    options = parser.parse_args()
    parts = options.only or PARTS
    document: dict[str, Any] = {
        "schemaVersion": 1,
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 1),
        },
        "rounds": options.rounds,
        "sliceSeconds": options.seconds,
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        home = Path(name)
        if "path" in parts or "beside" in parts:
            _loaded(home, options, parts, document)
        if "resting" in parts:
            document["resting"] = measure_resting(home, starts=5, idle_s=30.0)
    log_line(report(document))
    text = json.dumps(document, indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    else:
        print(text)


def _loaded(home: Path, options: argparse.Namespace, parts: tuple[str, ...], document: dict[str, Any]) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(edge(home))
        check_before(running)
        peers = Peers(options.peers, home, stack) if options.peers else None
        if "path" in parts:
            contestants = [edge_http(running), edge_caller(running)]
            contestants.append(edge_http(running, "httpSyncTool", "repeatMessageSync"))
            contestants.append(edge_http(running, "httpOnceTool", "repeatMessageOnce"))
            ours = [each.name for each in contestants]
            for peer in PEER_NAMES if peers else ():
                if not options.contestants or peer in options.contestants.split(","):
                    log_line(f"starting {peer}")
                    contestants.append(getattr(peers, peer)())
            if options.contestants:
                contestants = [each for each in contestants if each.name in options.contestants.split(",")]
            document["levels"], calls = _path(contestants, ours, peers, home, options)
            document["checked"] = check_after(running, calls)
            document["ratios"] = ratios(document["levels"])
        if "beside" in parts:
            python = python_of(peers)
            document.update(measure_beside(running, python, rounds=options.rounds, seconds=max(options.seconds, 1.0)))


def _path(
    contestants: list[Contestant], ours: list[str], peers: Peers | None, home: Path, options: argparse.Namespace
) -> tuple[dict[str, dict[str, Any]], int]:
    """What was measured, and how many calls the platform and the connector have to have kept."""
    python = python_of(peers)
    loads: dict[str, Load] = {}
    try:
        for contestant in contestants:
            loads[contestant.name] = Load(python, contestant.config, home / f"load-{contestant.name}.log")
        levels = measure(contestants, loads, rounds=options.rounds, seconds=options.seconds)
        return levels, sum(load.calls for name, load in loads.items() if name in ours)
    finally:
        for load in loads.values():
            load.close()


if __name__ == "__main__":
    main()
