"""When the processes below workers are counted, and how often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from edge_connector.tools import children, proctree
from edge_connector.tools.calls import OutcomeKind
from tests.support.waiting import eventually
from tests.unit.tools.harness import Bench, serving

TOOLS = """
@tool
def quick() -> int:
    return os.getpid()

@tool
def brief() -> None:
    time.sleep(0.1)

@tool
async def brief_async() -> None:
    await asyncio.sleep(0.1)

@tool
def slow(name: str) -> None:
    mark(name, os.getpid())
    time.sleep(30)
"""


class Counts:
    """Stands before `count_below` and notes whose children were counted and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, costs_s: float = 0.0) -> None:
        self.seen: list[set[int]] = []
        self.times: list[float] = []
        self._costs_s = costs_s
        self._real = proctree.count_below
        monkeypatch.setattr(proctree, "count_below", self._count)

    def _count(self, roots: Iterable[int]) -> dict[int, int]:
        roots = list(roots)
        self.seen.append(set(roots))
        self.times.append(time.monotonic())
        time.sleep(self._costs_s)  # in a thread of its own
        return self._real(roots)


async def keep_busy(bench: Bench, seconds: float, tool: str) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert (await bench.call(tool)).kind is OutcomeKind.SUCCEEDED


async def test_quick_calls_are_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts(monkeypatch)
    scans: list[int] = []

    def parents() -> dict[int, int]:
        scans.append(1)
        return {}

    monkeypatch.setattr(proctree, "parents", parents)
    async with serving(tmp_path, TOOLS) as bench:
        await asyncio.gather(*(keep_busy(bench, 1.5, "brief") for _ in range(3)))
        assert not counts.seen and not scans


async def test_only_workers_with_slow_calls_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts(monkeypatch)
    async with serving(tmp_path, TOOLS) as bench:
        call = bench.submit("slow", name="s")
        worker = int(await bench.running("s"))
        await keep_busy(bench, 1.5, "quick")
        assert {frozenset(seen) for seen in counts.seen} == {frozenset({worker})}
        assert len(counts.seen) <= 3
        bench.executor.cancel(call)
        await bench.outcome(call)


async def test_an_async_worker_that_never_rests_is_looked_into_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What quick async calls leave behind is ended only when their worker rests.
    monkeypatch.setattr(children, "RESTLESS_S", 0.2)
    counts = Counts(monkeypatch)
    async with serving(tmp_path, TOOLS) as bench:
        await asyncio.gather(*(keep_busy(bench, 1.5, "brief_async") for _ in range(3)))
        workers = {worker.pid for worker in bench.executor.workers() if worker.kind == "async"}
        assert counts.seen and set.union(*counts.seen) == workers


async def test_the_dearer_a_count_the_rarer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts(monkeypatch, costs_s=0.03)
    async with serving(tmp_path, TOOLS) as bench:
        call = bench.submit("slow", name="s")
        await eventually(lambda: len(counts.times) >= 2, what="two counts")
        assert counts.times[1] - counts.times[0] > 1.4
        bench.executor.cancel(call)
        await bench.outcome(call)
