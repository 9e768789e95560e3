"""Small calls beside results of one megabyte: alone, with the results whole as to an older platform, and in parts.

    python -m benchmarks.large_results

Everything is up for the whole run and takes turns, so that the ratios hold whatever else the machine does. Here a
megabyte takes milliseconds: what parts are for, a slow link, is shown by tests/integration/test_slow_link.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.call_path import Slices
from benchmarks.contestants import call_body, edge_http
from benchmarks.edge import CLI, Edge, edge
from benchmarks.harness import Load, log_line, post

WITHOUT_PARTS = """
from edge_connector.platform_server.tool_rpc import endpoint
from edge_connector.cli.main import main
endpoint.DEPLOYMENT_FEATURES.remove("parts")
main()
"""
WHOLE = [sys.executable, "-c", WITHOUT_PARTS]
"""The command line, with a platform that does not take parts."""


class Side:
    """One platform with its connector, a load of small calls and one of large results."""

    def __init__(self, running: Edge, large_callers: int) -> None:
        log = running.home / "load.log"
        self.small = Load(sys.executable, edge_http(running).config, log)
        authorization = f"Authorization: Bearer {running.token}"
        request = post(running.api_port, "/api/v1/calls", call_body("giveMegabyte", "{}"), authorization)
        config = {"kind": "http", "port": running.api_port, "request": request, "expected": '"succeeded"'}
        self.large = Load(sys.executable, {**config, "callers": large_callers}, log)
        self._large_callers = large_callers

    def beside(self, callers: int, seconds: float) -> tuple[dict[str, Any], float]:
        """What the small calls did, and large results a second beside them."""
        self.large.begin(self._large_callers, seconds)
        small = self.small.run(callers, seconds)
        large = self.large.result()
        return small, large["calls"] / large["seconds"]

    def close(self) -> None:
        """End the loads."""
        self.small.close()
        self.large.close()


def measure(sides: dict[str, Side], *, callers: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Small calls alone and beside each side's large results."""
    slices = {name: Slices() for name in ("alone", *sides)}
    large: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side.small.run(callers, 0.3)
    for number in range(rounds):
        log_line(f"round {number + 1} of {rounds}")
        for name, side in sides.items():
            slices["alone"].add(side.small.run(callers, seconds), {})
            small, rate = side.beside(callers, seconds)
            slices[name].add(small, {})
            large[name].append(rate)
    found = {name: each.document() for name, each in slices.items()}
    for name, each in found.items():
        del each["cpuPer10k"]
        each["p50ToAlone"] = round(each["p50Ms"] / found["alone"]["p50Ms"], 2)
        each["p99ToAlone"] = round(each["p99Ms"] / found["alone"]["p99Ms"], 2)
        if name in large:
            each["largePerSecond"] = round(sum(large[name]) / len(large[name]), 1)
    whole, parts = found["besideWhole"], found["besideParts"]
    ratios = {
        "p50PartsToWhole": round(parts["p50Ms"] / whole["p50Ms"], 2),
        "p99PartsToWhole": round(parts["p99Ms"] / whole["p99Ms"], 2),
        "largePartsToWhole": round(parts["largePerSecond"] / whole["largePerSecond"], 2),
    }
    return {"smallCalls": found, "ratios": ratios}


def main() -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_results", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="slices of load for each figure")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a slice")
    parser.add_argument("--callers", type=int, default=4, help="callers of the small tool")
    parser.add_argument("--large-callers", type=int, default=2, help="callers of the tool with the large result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        sides: dict[str, Side] = {}
        for side, serve in (("besideWhole", WHOLE), ("besideParts", CLI)):
            home = Path(name) / side
            home.mkdir()
            sides[side] = Side(stack.enter_context(edge(home, serve)), options.large_callers)
            stack.callback(sides[side].close)
        figures = measure(sides, callers=options.callers, rounds=options.rounds, seconds=options.seconds)
    document = {
        "schemaVersion": 1,
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "callers": options.callers,
        "largeCallers": options.large_callers,
        "largeBytes": 1_000_002,
        **figures,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
