"""What the call ledger costs the loop's thread and the process, beside the same calls without one, in the same run.

`python benchmarks/ledger.py` passes calls through the real call desk with an executor that answers at once: arrival,
outcome, receipt. It prints one JSON document: microseconds of the loop's thread a call with and without the ledger,
processor microseconds of the whole process, the rows that were found in the file and their proof, and for `once` calls
the time until their mark is on the disk. It fails when a row is missing or the chain is not intact.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Raw

from edge_connector.core.clock import SystemClock
from edge_connector.runtime.call_ports import Ledger
from edge_connector.runtime.calls import CallDesk
from edge_connector.tools.calls import MIB, CallOutcome, CallRequest, OutcomeKind, ToolInfo
from edge_connector.tools.ledger.ledger import CallLedger, Marked
from edge_connector.tools.ledger.records import CallRow
from edge_connector.tools.ledger.retention import Limits
from edge_connector.wire import messages as m

ARGUMENTS = Raw(json.dumps({"message": "x" * 256}).encode())
BATCH = 16
"""Calls in one turn of the loop, as with 16 callers."""
RECEIPT_AFTER = 40
"""Turns after which the platform confirms: its own journal collects for 50 ms."""


def tool(name: str, repeat: str) -> ToolInfo:
    """A tool with an ordinary schema."""
    schema = Raw(b'{"type":"object","properties":{"message":{}}}')
    return ToolInfo(name, name, "", schema, Raw(b"{}"), "read", repeat, None, "local", False)


class NoLedger:
    """Keeps nothing: the other side of the comparison."""

    def __init__(self) -> None:
        self.known: dict[str, None] = {}

    def take_unfinished(self) -> list[CallRow]:
        """Nothing."""
        return []

    def received(self, request: CallRequest, info: ToolInfo | None, *, is_local: bool = False) -> None:
        """Nothing."""

    def mark(
        self, request: CallRequest, info: ToolInfo, done: Callable[[Marked], None], *, is_local: bool = False
    ) -> None:
        """At once."""
        asyncio.get_running_loop().call_soon(done, Marked())

    def accepted(self, call_id: str) -> None:
        """Nothing."""

    def finished(self, outcome: CallOutcome, *, is_reported: bool, is_local: bool = False) -> None:
        """Nothing."""

    def reported(self, call_id: str) -> None:
        """Nothing."""

    def confirmed(self, call_id: str) -> None:
        """Nothing."""

    def find(self, call_id: str, done: Callable[[CallRow | None], None]) -> None:
        """Nothing."""
        asyncio.get_running_loop().call_soon(done, None)


class InstantExecutor:
    """Answers each call within `submit`."""

    def __init__(self) -> None:
        self._tools = {name: tool(name, name) for name in ("read", "once")}
        self.desk: CallDesk

    def submit(self, request: CallRequest) -> None:
        """It worked."""
        self.desk.finished(
            CallOutcome(request.id, OutcomeKind.SUCCEEDED, request.tool, Raw(bytes(ARGUMENTS)), duration_ms=0.3)
        )

    def cancel(self, call_id: str, reason: str) -> None:
        """Nothing runs."""

    def tool(self, name: str) -> ToolInfo | None:
        """One of two."""
        return self._tools.get(name)


def make_desk(ledger: Ledger) -> CallDesk:
    """A desk whose link takes everything."""
    executor = InstantExecutor()
    desk = CallDesk(
        lambda message: True,
        ledger=ledger,
        on_change=lambda: None,
        on_finished=lambda request, began, outcome: None,
        clock=SystemClock(),
    )
    desk.attach(executor)
    executor.desk = desk
    return desk


async def reads(desk: CallDesk, count: int, prefix: str, *, rest_s: float) -> dict[str, float]:
    """`count` calls of a tool that reads; microseconds a call. With `rest_s` the loop sleeps after each turn."""
    context = m.CallContext(user="ann@example.org", organization="org_1", deployment="dep_1", agent="helper")
    unconfirmed: list[list[str]] = []
    in_desk = 0.0
    thread_before, process_before, before = time.thread_time(), time.process_time(), time.perf_counter()
    for turn in range(count // BATCH):
        calls = [
            m.Call(
                id=f"call_{prefix}{turn:07d}{n:02d}",
                tool="read",
                arguments=ARGUMENTS,
                remaining_ms=60_000,
                context=context,
            )
            for n in range(BATCH)
        ]
        began = time.thread_time()
        for call in calls:
            desk.on_call(call)
        in_desk += time.thread_time() - began
        unconfirmed.append([call.id for call in calls])
        if len(unconfirmed) > RECEIPT_AFTER:
            receipt = m.Receipt(ids=unconfirmed.pop(0))
            began = time.thread_time()
            desk.on_receipt(receipt)
            in_desk += time.thread_time() - began
        await asyncio.sleep(rest_s)
    for ids in unconfirmed:
        desk.on_receipt(m.Receipt(ids=ids))
    made = count // BATCH * BATCH
    return {
        "desk_us": in_desk / made * 1e6,
        "loop_thread_us": (time.thread_time() - thread_before) / made * 1e6,
        "process_us": (time.process_time() - process_before) / made * 1e6,
        "calls_per_s": made / (time.perf_counter() - before),
    }


async def marks(ledger: CallLedger, count: int) -> dict[str, float]:
    """Milliseconds until the mark of a `once` call is on the disk, one after the other."""
    info = tool("once", "once")
    times = []
    for number in range(count):
        done: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        ledger.mark(CallRequest(id=f"once_{number}", tool="once", arguments=ARGUMENTS), info, done.set_result)
        marked = await done
        assert marked.problem is None, marked
        times.append((time.perf_counter() - began) * 1000)
        ledger.finished(CallOutcome(f"once_{number}", OutcomeKind.SUCCEEDED, "once", Raw(b"1")), is_reported=True)
        ledger.confirmed(f"once_{number}")
    times.sort()
    return {"p50_ms": round(times[len(times) // 2], 3), "p99_ms": round(times[int(len(times) * 0.99)], 3)}


async def measure(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """All figures; rounds with and without the ledger take turns."""
    ledger = CallLedger(
        folder / "calls.sqlite3", limits=Limits(max_age_s=86_400, max_bytes=10_000 * MIB), clock=SystemClock()
    )
    await ledger.start()
    with_ledger, without = [], []
    try:
        for number in range(rounds):
            without.append(await reads(make_desk(NoLedger()), count, f"n{number}_", rest_s=0.001))
            with_ledger.append(await reads(make_desk(ledger), count, f"l{number}_", rest_s=0.001))
            await ledger.settle()
        once = await marks(ledger, 200)
        await ledger.settle()
        report = await ledger.verify()
        expected = rounds * (count // BATCH * BATCH) + 200
        if not report.intact or report.calls != expected or ledger.facts.lost:
            raise SystemExit(f"the ledger is not whole: {report}, expected calls {expected}, lost {ledger.facts.lost}")
    finally:
        await ledger.stop()
    size = sum(file.stat().st_size for file in folder.iterdir())

    def median(runs: list[dict[str, float]], key: str) -> float:
        return statistics.median(run[key] for run in runs)

    table = {
        key: {
            "without": round(median(without, key), 2),
            "with": round(median(with_ledger, key), 2),
            "extra": round(median(with_ledger, key) - median(without, key), 2),
            "ratio": round(median(with_ledger, key) / median(without, key), 2),
        }
        for key in ("desk_us", "loop_thread_us", "process_us")
    }
    return {
        "benchmark": "ledger",
        "python": platform.python_version(),
        "calls_each": count,
        "rounds": rounds,
        "a_call": table,
        "once_mark": once,
        "rows": {"calls": report.calls, "events": report.events, "intact": report.intact, "lost": ledger.facts.lost},
        "bytes_a_call": round(size / report.calls),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=8_000, help="calls in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ec-bench-") as folder:
        document = asyncio.run(measure(options.calls, options.rounds, Path(folder)))
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
