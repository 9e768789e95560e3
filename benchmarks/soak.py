"""Calls without a pause while faults come, for many minutes: is memory flat, and descriptors, tasks, threads, children?

    .venv/bin/python benchmarks/soak.py --minutes 20 --seed 7

The real platform and the real connector as processes, with the faults of `edge-connector drill` between them: links
and callers are cut, frozen, slowed, corrupted and refused, tool workers are killed. Connector and platform themselves
are not killed, for a process that starts again shows no slope. Every few seconds both are looked at from outside. It
prints one JSON document: for each program and measure the medians of the first and the last quarter after a warm-up,
the slope of a straight line through all samples, and whether that counts as flat; then what the drill's checks found.
Exit code 0 when everything is flat and every check holds, else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil

from edge_connector.cli.drill.checks import CHECKS, DESCRIPTORS_OF_A_WORKER
from edge_connector.cli.drill.plan import KINDS, Event, storm
from edge_connector.cli.drill.programs import Connector, Program
from edge_connector.cli.drill.world import World, summary

INTERVAL_S = 2.0
WARM_UP_S = 150.0
"""At most half of the run: caches fill meanwhile (the connector remembers 1,000 outcomes). Shown, and not judged."""
KEPT_ALIVE = ("kill_connector", "kill_platform")
QUIETER = 3.0
"""So many times the pauses of a drill: most calls shall get through."""
STEADY = {"descriptors": 3.0, "tasks": 5.0, "threads": 3.0, "children": 3.0}
"""How much the median of the last quarter may be above that of the first; links and calls come and go between looks."""
RSS_SHARE = 0.05
RSS_MB = 3.0
"""Memory may grow by this share or by so many MB, whichever is more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one program."""

    at_s: float
    rss_mb: float
    descriptors: int
    """Without those that its workers need, whose number changes."""
    tasks: int
    threads: int
    children: int


class Watch:
    """Looks at both programs now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._started = time.monotonic()
        self.samples: dict[str, list[Sample]] = {"connector": [], "platform": []}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            workers = len((await self._world.connector.status()).get("workers", []))
            for program, known in ((self._world.connector, workers), (self._world.platform, 0)):
                self.samples[program.name].append(self._look(program, known))
            await asyncio.sleep(INTERVAL_S)

    def _look(self, program: Program, workers: int) -> Sample:
        process = psutil.Process(program.pid)
        census = program.census(workers=workers)
        own = sum(census.descriptors.values()) - workers * DESCRIPTORS_OF_A_WORKER
        return Sample(
            at_s=round(time.monotonic() - self._started, 1),
            rss_mb=round(process.memory_info().rss / 1e6, 2),
            descriptors=own,
            tasks=census.tasks or 0,
            threads=census.threads,
            children=len(process.children(recursive=True)) - (workers if isinstance(program, Connector) else 0),
        )


def verdicts(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """Each measure of one program: medians of the first and last quarter, slope an hour, and whether it is flat."""
    warm_s = min(WARM_UP_S, samples[-1].at_s / 2)
    judged = [sample for sample in samples if sample.at_s >= warm_s]
    quarter = max(len(judged) // 4, 1)
    found = {}
    for name in ("rss_mb", "descriptors", "tasks", "threads", "children"):
        values = [float(getattr(sample, name)) for sample in judged]
        first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
        allowed = STEADY.get(name) or max(first * RSS_SHARE, RSS_MB)
        slope = (
            statistics.linear_regression([sample.at_s for sample in judged], values).slope if len(values) > 1 else 0.0
        )
        found[name] = {
            "firstQuarterMedian": first,
            "lastQuarterMedian": last,
            "growth": round(last - first, 2),
            "allowedGrowth": round(allowed, 2),
            "slopePerHour": round(slope * 3600, 2),
            "max": max(values),
            "flat": last - first <= allowed,
        }
    return found


def faults(seed: int, until: float) -> Iterator[Event]:
    """Storm after storm until the monotonic moment."""
    kinds = tuple(kind for kind in KINDS if kind not in KEPT_ALIVE)
    number = 0
    while True:
        for event in storm(seed + number, len(kinds), kinds=kinds):
            if time.monotonic() > until:
                return
            yield replace(event, after_s=event.after_s * QUIETER)
        number += 1


async def soak(minutes: float, seed: int, callers: int) -> dict[str, Any]:
    """One run; the document."""
    met: dict[str, int] = {}

    def on_event(text: str) -> None:
        kind = text.split()[0]
        met[kind] = met.get(kind, 0) + 1

    async with World(seed=seed, callers=callers, on_event=on_event) as world:
        watch = Watch(world)
        watching = asyncio.create_task(watch.run(), name="soak.watch")
        started = time.monotonic()
        await world.weather(faults(seed, started + minutes * 60))
        watching.cancel()
        await asyncio.wait({watching})
        if not watching.cancelled() and (problem := watching.exception()) is not None:
            raise problem
        met.pop("a", None)
        await world.recover()
        evidence = await world.close_books()
    findings = {check.id: found for check in CHECKS if (found := check.findings(evidence))}
    measured = {name: verdicts(samples) for name, samples in watch.samples.items()}
    not_flat = [
        f"{program} {name}: {verdict['firstQuarterMedian']:g} to {verdict['lastQuarterMedian']:g}"
        for program, all_of_it in measured.items()
        for name, verdict in all_of_it.items()
        if not verdict["flat"]
    ]
    return {
        "schemaVersion": 1,
        "seed": seed,
        "minutes": minutes,
        **summary(evidence),
        "faults": {kind: count for kind, count in sorted(met.items()) if kind in KINDS},
        "samples": len(watch.samples["connector"]),
        "warmUpS": min(WARM_UP_S, minutes * 30),
        "programs": measured,
        "flat": not not_flat,
        "notFlat": not_flat,
        "findings": findings,
        "recovery": evidence.recovery,
        "passed": not not_flat and not findings,
        "course": {name: [asdict(sample) for sample in _thinned(samples)] for name, samples in watch.samples.items()},
    }


def _thinned(samples: list[Sample], most: int = 60) -> list[Sample]:
    return samples[:: 1 + len(samples) // most]


def main() -> int:
    """Run it and print the document."""
    parser = argparse.ArgumentParser(description="Calls with faults for minutes; is everything flat?")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long the faults come (20)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the faults of this seed")
    parser.add_argument("--callers", type=int, default=6, help="callers at a time (6)")
    options = parser.parse_args()
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    document = asyncio.run(soak(options.minutes, seed, options.callers))
    print(json.dumps(document, indent=2))
    return 0 if document["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
