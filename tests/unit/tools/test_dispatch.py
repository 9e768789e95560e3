"""Queue, slots, deadlines and cancellation, with real workers."""

from __future__ import annotations

import time
from pathlib import Path

from edge_connector.tools.calls import CallOutcome, OutcomeKind
from tests.support.waiting import eventually
from tests.unit.tools.harness import alive, serving

SLOW = """
@tool(timeout_s=0.3)
def short() -> None:
    time.sleep(30)

@tool(timeout_s=0.3)
async def short_async() -> None:
    await asyncio.sleep(30)

@tool
def sleeps(name: str) -> str:
    mark(name, os.getpid())
    try:
        time.sleep(30)
    finally:
        mark(name + ".end")
    return name

@tool
async def waits(name: str, context: ToolContext) -> str:
    mark(name, os.getpid())
    try:
        await asyncio.sleep(30)
    finally:
        mark(name + ".end", context.cancelled)
    return name

@tool
def spins(name: str) -> None:
    mark(name, os.getpid())
    while True:
        pass

@tool
def stubborn(name: str) -> None:
    mark(name, os.getpid())
    while True:
        try:
            time.sleep(30)
        except BaseException:
            pass

@tool
async def stubborn_async(name: str) -> None:
    mark(name, os.getpid())
    while True:
        try:
            await asyncio.sleep(30)
        except BaseException:
            pass

@tool
async def blocks_loop(name: str) -> None:
    mark(name, os.getpid())
    while True:
        try:
            time.sleep(30)
        except BaseException:
            pass

@tool
def finishes_late(name: str) -> str:
    mark(name, os.getpid())
    try:
        time.sleep(30)
    except CallCancelled:
        pass
    return "done all the same"

@tool
def pid() -> int:
    return os.getpid()
"""


async def test_the_deadline_of_the_tool(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        for tool in ("short", "short_async"):
            began = time.monotonic()
            outcome = await bench.call(tool)
            assert (outcome.kind, outcome.code) == (OutcomeKind.TIMED_OUT, "timed_out")
            assert "0.3 s" in outcome.message
            assert 0.25 < time.monotonic() - began < 3
        assert bench.executor.counters.workers_lost == 0  # asking was enough


async def test_the_deadline_of_the_call_is_shorter(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        outcome = await bench.outcome(bench.request("sleeps", arguments={"name": "s"}, remaining_s=0.2))
        assert outcome.kind is OutcomeKind.TIMED_OUT
        assert (tmp_path / "s.end").exists(), "the tool's finally ran"


async def test_a_waiting_call_times_out_too(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW, concurrency=1) as bench:
        first = bench.submit("waits", name="w")
        late = bench.request("echo", arguments={"message": 1}, remaining_s=0.2)
        outcome = await bench.outcome(late)
        assert outcome.kind is OutcomeKind.TIMED_OUT and "waited" in outcome.message
        assert bench.executor.load() == (1, 0, 1)
        bench.executor.cancel(first)
        await bench.outcome(first)


async def test_cancel_running_sync_and_async(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        for tool, expected in (("sleeps", "x"), ("waits", "True")):
            call = bench.submit(tool, name=tool)
            worker = int(await bench.running(tool))
            bench.executor.cancel(call, "user closed the page")
            outcome = await bench.outcome(call)
            assert (outcome.kind, outcome.code) == (OutcomeKind.CANCELLED, "cancelled")
            assert "user closed the page" in outcome.message
            assert await bench.running(f"{tool}.end") == expected
            assert alive(worker), "a tool that stops when asked costs no process"
        assert isinstance(await bench.value("pid"), int)


async def test_cancel_interrupts_a_busy_loop(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        call = bench.submit("spins", name="s")
        worker = int(await bench.running("s"))
        bench.executor.cancel(call)
        assert (await bench.outcome(call)).kind is OutcomeKind.CANCELLED
        assert alive(worker)


async def test_cancel_waiting_and_unknown(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW, concurrency=1) as bench:
        first = bench.submit("waits", name="w")
        second = bench.submit("pid")
        bench.executor.cancel(second)
        assert bench.sink.of(second).kind is OutcomeKind.CANCELLED  # type: ignore[union-attr]
        bench.executor.cancel("nobody")
        bench.executor.cancel(first)
        bench.executor.cancel(first)
        assert (await bench.outcome(first)).kind is OutcomeKind.CANCELLED


async def test_a_result_that_comes_despite_cancel_is_a_result(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        call = bench.submit("finishes_late", name="f")
        await bench.running("f")
        bench.executor.cancel(call)
        assert (await bench.outcome(call)).kind is OutcomeKind.SUCCEEDED


async def test_a_sync_tool_that_ignores_cancel_dies_with_its_worker(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        call = bench.submit("stubborn", name="s")
        worker = int(await bench.running("s"))
        bench.executor.cancel(call)
        assert (await bench.outcome(call)).kind is OutcomeKind.CANCELLED
        assert not alive(worker)
        assert await bench.value("pid") != worker


async def test_a_hung_async_tool_takes_only_its_own_worker_down(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as bench:
        for tool in ("stubborn_async", "blocks_loop"):
            other = bench.submit("waits", name=f"other-{tool}")
            await bench.running(f"other-{tool}")
            sync = bench.submit("sleeps", name=f"sync-{tool}")
            await bench.running(f"sync-{tool}")
            hung = bench.request(tool, arguments={"name": tool}, remaining_s=0.4)
            worker = int(await bench.running(tool))
            assert (await bench.outcome(hung)).kind is OutcomeKind.TIMED_OUT
            outcome = await bench.outcome(other)
            assert (outcome.kind, outcome.code) == (OutcomeKind.INTERRUPTED, "worker_killed")
            assert tool in outcome.message
            assert not alive(worker)
            assert bench.sink.of(sync) is None
            bench.executor.cancel(sync)
            await bench.outcome(sync)
            assert (await bench.call("echo", message=1)).kind is OutcomeKind.SUCCEEDED


async def test_busy_when_slots_and_queue_are_full(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW, concurrency=1, queue=2) as bench:
        calls = [bench.submit("waits", name=f"w{number}") for number in range(3)]
        await eventually(lambda: bench.executor.load() == (1, 2, 1), what="one runs, two wait")
        outcome = await bench.call("waits", name="late")
        assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "busy")
        probe = bench.request("echo", arguments={"message": 1}, probe=True)
        assert (await bench.outcome(probe)).kind is OutcomeKind.SUCCEEDED, "a probe has a slot of its own"
        for call in calls:
            bench.executor.cancel(call)
            await bench.outcome(call)


async def test_waiting_calls_start_in_order(tmp_path: Path) -> None:
    source = """
    @tool
    def note(number: int) -> None:
        with open(Path(FOLDER) / "order", "a") as file:
            file.write(f"{number} ")
    """
    async with serving(tmp_path, source, concurrency=1) as bench:
        calls = [bench.submit("note", number=number) for number in range(20)]
        for call in calls:
            await bench.outcome(call)
        assert (tmp_path / "order").read_text().split() == [str(number) for number in range(20)]


async def test_slow_sync_calls_get_workers_of_their_own_up_to_the_limit(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW, concurrency=3, idle_worker_s=0.3) as bench:
        calls = [bench.submit("sleeps", name=f"s{number}") for number in range(4)]
        pids = {await bench.running(f"s{number}") for number in range(3)}
        assert len(pids) == 3
        assert bench.executor.load() == (3, 1, 3)
        for call in calls:
            bench.executor.cancel(call)
            await bench.outcome(call)
        await eventually(
            lambda: [worker.kind for worker in bench.executor.workers()].count("sync") == 1, what="idle workers ended"
        )


async def test_calls_that_end_while_they_wait_block_nobody(tmp_path: Path) -> None:
    source = """
    @tool
    async def nap(seconds: float) -> None:
        await asyncio.sleep(seconds)
    """
    async with serving(tmp_path, source, concurrency=1) as bench:
        for end in ("cancelled", "timed out"):
            first = bench.submit("nap", seconds=0.3)
            late = bench.request("nap", arguments={"seconds": 0}, remaining_s=30.0 if end == "cancelled" else 0.1)
            if end == "cancelled":
                bench.executor.cancel(late)
            await bench.outcome(first)
            assert bench.sink.of(late) is not None and bench.executor.load() == (0, 0, 1)
            following = bench.request("nap", arguments={"seconds": 0}, remaining_s=5.0)
            assert bench.executor.load() == (1, 0, 1), "an idle connector starts a call at once"
            assert (await bench.outcome(following)).kind is OutcomeKind.SUCCEEDED


async def test_calls_that_end_while_they_wait_leave_the_queue(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW, concurrency=1, queue=2) as bench:
        running, waiting = bench.submit("waits", name="w"), bench.submit("waits", name="w2")
        queues = bench.executor._dispatcher._queues
        for _ in range(50):
            bench.executor.cancel(bench.submit("pid"))
            assert [len(queue) for queue in queues.values()] == [1, 0]
        assert bench.executor.load() == (1, 1, 1)
        for call in (waiting, running):
            bench.executor.cancel(call)
            await bench.outcome(call)


async def test_a_reload_survives_a_sink_that_cancels_what_waits(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW, concurrency=1) as bench:
        running = bench.submit("waits", name="w")
        await bench.running("w")
        gone, cancelled = bench.submit("sleeps", name="s"), bench.submit("pid")
        record = bench.sink.finished

        def finished(outcome: CallOutcome) -> None:
            record(outcome)
            bench.executor.cancel(cancelled)

        bench.sink.finished = finished  # type: ignore[method-assign]
        bench.write("sample.py", "from edge_connector.tools import tool\n@tool\ndef pid() -> int: return 1\n")
        await bench.executor.reload()
        assert (await bench.outcome(gone)).code == "unknown_tool"
        assert (await bench.outcome(cancelled)).kind is OutcomeKind.CANCELLED
        assert bench.executor.load() == (1, 0, 1)
        bench.executor.cancel(running)
        await bench.outcome(running)
