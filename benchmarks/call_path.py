"""The routed call, measured through the entry points of a user, beside its peers in one run, interleaved.

Every contestant is up for the whole run; short slices of load go round them again and again, so that whatever else the
machine does hits all alike. Rates are medians of the slices, latencies those of all calls, processor seconds the sum
over the slices. Ratios say something; a single rate depends on the machine and on what else it does.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.harness import Load, log_line, quantile

LEVELS = (1, 16, 128)
WARM_UP_S = 0.3
REQUIRED = {
    ("http", "nats"): (0.85, 0.55, 0.4),
    ("http", "ssh"): (0.7, 0.7, 0.7),
    ("http", "wamp"): (2.0, 3.0, 3.0),
    ("webSocket", "nats"): (0.9, 0.9, None),
}
"""Least ratio of calls per second at each level."""


class Slices:
    """What one contestant did at one level."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.micros: list[float] = []
        self.medians: list[float] = []
        self.calls = 0
        self.cpu: dict[str, float] = {}

    def add(self, result: dict[str, Any], cpu: dict[str, float]) -> None:
        """One more slice."""
        self.calls += result["calls"]
        self.rates.append(result["calls"] / result["seconds"])
        self.micros += result["micros"]
        self.medians.append(quantile(sorted(result["micros"]), 0.5))
        for name, seconds in {"caller": result["cpu"], **cpu}.items():
            self.cpu[name] = self.cpu.get(name, 0.0) + seconds

    def document(self) -> dict[str, Any]:
        """Figures of all slices together."""
        ordered = sorted(self.micros)
        per_10k = {name: round(seconds / max(self.calls, 1) * 10_000, 3) for name, seconds in self.cpu.items()}
        served = sum(seconds for name, seconds in per_10k.items() if name != "caller")
        return {
            "callsPerSecond": round(median(self.rates)),
            "p50Ms": round(quantile(ordered, 0.5) / 1000, 3),
            "p99Ms": round(quantile(ordered, 0.99) / 1000, 3),
            "calls": self.calls,
            "cpuPer10k": {**per_10k, "served": round(served, 3)},
        }


def measure(
    contestants: list[Contestant], loads: dict[str, Load], *, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """All levels, all contestants, interleaved; by level and contestant."""
    levels: dict[str, dict[str, Any]] = {}
    for callers in LEVELS:
        slices = {contestant.name: Slices() for contestant in contestants}
        for contestant in contestants:
            loads[contestant.name].run(callers, WARM_UP_S)
        for number in range(rounds):
            log_line(f"{callers} callers, round {number + 1} of {rounds}")
            shift = number % len(contestants)
            for contestant in contestants[shift:] + contestants[:shift]:
                before = {name: cpu() for name, cpu in contestant.parts.items()}
                result = loads[contestant.name].run(callers, seconds)
                used = {name: cpu() - before[name] for name, cpu in contestant.parts.items()}
                slices[contestant.name].add(result, used)
        levels[str(callers)] = {name: found.document() for name, found in slices.items()}
    return levels


def ratios(levels: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rates of ours over rates of each peer, with what is required."""
    found = []
    names = list(next(iter(levels.values())))
    ours, peers = [n for n in names if n in ("http", "webSocket")], [n for n in names if n in PEERS]
    for mine in ours:
        for peer in peers:
            row: dict[str, Any] = {"ours": mine, "peer": peer}
            needs = REQUIRED.get((mine, peer), (None,) * len(LEVELS))
            for callers, need in zip(LEVELS, needs, strict=True):
                at = levels[str(callers)]
                ratio = at[mine]["callsPerSecond"] / max(at[peer]["callsPerSecond"], 1)
                row[str(callers)] = {"ratio": round(ratio, 2), "required": need}
            found.append(row)
    return found


PEERS = ("nats", "ssh", "wamp", "mcp")


def rates_table(levels: dict[str, dict[str, Any]]) -> str:
    """Rates, latencies and processor time as Markdown."""
    counts = " | ".join(f"{callers} caller{'s' if callers > 1 else ''}" for callers in LEVELS)
    lines = [f"| calls/s (p50 / p99 ms) | {counts} | CPU s per 10k calls at {LEVELS[-1]} |"]
    lines.append("|---|" + "---|" * (len(LEVELS) + 1))
    for name in next(iter(levels.values())):
        cells = []
        for callers in LEVELS:
            at = levels[str(callers)][name]
            cells.append(f"{at['callsPerSecond']:,} ({at['p50Ms']:.2f} / {at['p99Ms']:.1f})")
        last = levels[str(LEVELS[-1])][name]["cpuPer10k"]
        cpu = ", ".join(f"{part} {seconds:.2f}" for part, seconds in last.items() if part != "served")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {cpu} |")
    return "\n".join(lines)


def ratios_table(compared: list[dict[str, Any]]) -> str:
    """Ours to each peer as Markdown."""
    counts = " | ".join(f"{callers} caller{'s' if callers > 1 else ''}" for callers in LEVELS)
    lines = [f"| calls/s as a ratio (required) | {counts} |"]
    lines.append("|---|" + "---|" * len(LEVELS))
    for row in compared:
        cells = []
        for callers in LEVELS:
            at = row[str(callers)]
            need = f" ({at['required']:g})" if at["required"] else ""
            cells.append(f"{at['ratio']:.2f}{need}")
        lines.append(f"| {row['ours']} / {row['peer']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
