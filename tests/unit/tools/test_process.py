"""What foreign code can do to its worker process, and what is left of it afterwards: nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edge_connector.tools.calls import OutcomeKind
from edge_connector.tools.process import describe_exit
from tests.support.waiting import eventually
from tests.unit.tools.harness import alive, serving

FAULTS = """
def detach(name):
    \"\"\"Double fork with setsid; the grandchild writes its pid and sleeps.\"\"\"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            mark(name, os.getpid())
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(300)
        os._exit(0)

@tool
def detaches_and_hangs() -> None:
    detach("grandchild")
    while True:
        try:
            time.sleep(300)
        except BaseException:
            pass

@tool
def detaches_and_returns() -> int:
    detach("grandchild")
    while not (Path(FOLDER) / "grandchild").exists():
        time.sleep(0.01)
    return 1

@tool
def detaches_and_dies() -> None:
    detach("grandchild")
    while not (Path(FOLDER) / "grandchild").exists():
        time.sleep(0.01)
    os._exit(5)

@tool
async def detaches_async() -> int:
    detach("grandchild")
    while not (Path(FOLDER) / "grandchild").exists():
        await asyncio.sleep(0.01)
    return 1

@tool
def forks_and_returns_twice() -> str:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "parent" if child else "child"

@tool
def prints(lines: int = 1) -> str:
    for number in range(lines):
        print(f"printed line {number}")
    os.write(1, b"raw bytes to fd 1 \\xff\\n")
    print("to stderr", file=sys.stderr)
    return sys.stdin.read()

@tool
def eats() -> int:
    return len(bytearray(2_000_000_000))

@tool
async def eats_async() -> int:
    return len([bytearray(10_000_000) for _ in range(300)])

@tool
def sleeps(name: str) -> None:
    mark(name, os.getpid())
    time.sleep(300)

@tool
def exits(status: int) -> None:
    os._exit(status)

@tool
def segfaults() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(10)

@tool
def spawns(count: int) -> None:
    children = []
    for _ in range(count):  # the limit may strike before all are there
        children.append(subprocess.Popen(["sleep", "300"]))
        mark("spawned", " ".join(str(child.pid) for child in children))
    time.sleep(300)

@tool
def closes_everything() -> None:
    os.closerange(3, 1000)

@tool
def scribbles() -> None:
    for fd in range(3, 200):
        try:
            os.write(fd, b"\\xff" * 64)
        except OSError:
            pass
    time.sleep(300)

@tool
def pid() -> int:
    return os.getpid()
"""


@pytest.mark.parametrize("tool", ["detaches_and_hangs", "detaches_and_dies", "detaches_and_returns", "detaches_async"])
async def test_detached_grandchildren_die(tmp_path: Path, tool: str) -> None:
    async with serving(tmp_path, FAULTS) as bench:
        call = bench.request(tool, remaining_s=1.0)
        grandchild = int(await bench.running("grandchild"))
        expected = {
            "detaches_and_hangs": OutcomeKind.TIMED_OUT,
            "detaches_and_dies": OutcomeKind.INTERRUPTED,
        }.get(tool, OutcomeKind.SUCCEEDED)
        assert (await bench.outcome(call)).kind is expected
        await eventually(lambda: not alive(grandchild), what="the grandchild is dead")


async def test_a_forked_child_that_comes_back_answers_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, FAULTS) as bench:
        assert await bench.value("forks_and_returns_twice") == "parent"
        assert isinstance(await bench.value("pid"), int)


async def test_printing_goes_to_the_log_and_breaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(tmp_path, FAULTS) as bench:
        assert await bench.value("prints") == ""
        await eventually(lambda: "to stderr" in caplog.text, what="stderr in the log")
        await eventually(lambda: "raw bytes to fd 1" in caplog.text, what="stdout in the log")
        assert "printed line 0" in caplog.text and "stream=stdout" in caplog.text
        assert (await bench.call("prints", lines=5000)).kind is OutcomeKind.SUCCEEDED
    assert "tool output suppressed" in caplog.text
    assert sum("printed line" in message for message in caplog.messages) < 300
    assert bench.executor.counters.output_lines_dropped > 4000


async def test_memory_limit(tmp_path: Path) -> None:
    async with serving(tmp_path, FAULTS, worker_memory_bytes=512 * 1024 * 1024) as bench:
        for tool in ("eats", "eats_async"):
            outcome = await bench.call(tool)
            assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "memory_limit")
        assert bench.executor.counters.workers_lost == 0


async def test_a_worker_killed_from_outside(tmp_path: Path) -> None:
    async with serving(tmp_path, FAULTS) as bench:
        call = bench.submit("sleeps", name="s")
        worker = int(await bench.running("s"))
        os.kill(worker, signal.SIGKILL)
        outcome = await bench.outcome(call)
        assert (outcome.kind, outcome.code) == (OutcomeKind.INTERRUPTED, "worker_died")
        assert "SIGKILL" in outcome.message
        assert await bench.value("pid") != worker


@pytest.mark.parametrize(("tool", "words"), [("exits", "exit status 0"), ("segfaults", "SIGSEGV")])
async def test_a_tool_that_ends_its_process(tmp_path: Path, tool: str, words: str) -> None:
    async with serving(tmp_path, FAULTS) as bench:
        outcome = await bench.call(tool, **({"status": 0} if tool == "exits" else {}))
        assert (outcome.kind, outcome.code) == (OutcomeKind.INTERRUPTED, "worker_died")
        assert words in outcome.message
        assert isinstance(await bench.value("pid"), int)


@pytest.mark.parametrize("tool", ["closes_everything", "scribbles"])
async def test_a_tool_that_attacks_the_line(tmp_path: Path, tool: str) -> None:
    async with serving(tmp_path, FAULTS) as bench:
        assert (await bench.call(tool)).kind is OutcomeKind.INTERRUPTED
        assert isinstance(await bench.value("pid"), int)


async def test_too_many_children(tmp_path: Path) -> None:
    async with serving(tmp_path, FAULTS, max_children=4) as bench:
        outcome = await bench.call("spawns", count=8)
        assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "children_limit")
        children = [int(pid) for pid in (await bench.running("spawned")).split()]
        assert len(children) >= 4
        await eventually(lambda: not any(map(alive, children)), what="all children dead")


def test_exit_words() -> None:
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(3) == "exit status 3"
    assert describe_exit(-200) == "signal 200"
