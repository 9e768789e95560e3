"""Workers that die, cannot start, or are taken down by the code they load."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from edge_connector.tools import process
from edge_connector.tools.calls import OutcomeKind
from tests.support.waiting import eventually
from tests.unit.tools.harness import Bench, serving

GOOD = """
@tool
def pid() -> int:
    return os.getpid()

@tool
async def async_pid() -> int:
    return os.getpid()

@tool
def dies() -> None:
    os._exit(9)
"""


async def test_dead_workers_are_replaced_at_once_then_with_growing_delays(tmp_path: Path) -> None:
    async with serving(tmp_path, GOOD) as bench:
        for tool in ("pid", "async_pid"):
            first = await bench.value(tool)
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: bench.executor.counters.workers_lost, what="the loss is noticed")
            assert await bench.value(tool) != first
            bench.executor.counters.workers_lost = 0
        for _ in range(3):
            assert (await bench.call("dies")).code == "worker_died"
        began = time.monotonic()
        assert isinstance(await bench.value("pid"), int)
        assert time.monotonic() - began > 0.4, "the third and fourth worker are started with a delay"


async def test_a_module_that_ends_or_hangs_its_worker_is_left_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ready_timeout_s=2)
    bench.write("a_crash.py", "import os\nos._exit(7)\n")
    bench.write("b_hang.py", "import time\ntime.sleep(60)\n")
    bench.write("c_good.py", "from edge_connector.tools import tool\n@tool\ndef good() -> int:\n    return 1\n")
    try:
        await bench.executor.start()
        await eventually(lambda: bench.executor.tools, what="tools serve")
        problems = {problem.name: problem for problem in bench.executor.problems}
        assert {problem.code for problem in problems.values()} == {"module_crashed"}
        assert "exit status 7" in problems["a_crash.py"].message
        assert "took too long" in problems["b_hang.py"].message
        assert await bench.value("good") == 1
        assert (await bench.call("echo", message=1)).kind is OutcomeKind.SUCCEEDED
    finally:
        await bench.executor.stop()


async def test_calls_are_refused_while_no_worker_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = tmp_path / "starts"
    starts.touch()
    script = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(5)"
    monkeypatch.setattr(process, "worker_command", lambda: [sys.executable, "-c", script])
    bench = Bench(tmp_path, implementations=None)
    try:
        await bench.executor.start()
        outcome = await bench.call("echo", message=1)
        assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "workers_unavailable")
        assert "exit status 5" in outcome.message
        assert {problem.code for problem in bench.executor.problems} == {"workers_unavailable"}
        assert len(starts.read_text()) <= 6, "starting does not spin"
        monkeypatch.undo()
        await eventually(lambda: bench.executor.tools, what="it recovers by itself")
        await eventually(lambda: not bench.executor.problems, what="the problem is gone")
        assert (await bench.call("echo", message=1)).kind is OutcomeKind.SUCCEEDED
    finally:
        await bench.executor.stop()


async def test_a_program_that_cannot_be_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "worker_command", lambda: [str(tmp_path / "missing")])
    bench = Bench(tmp_path, implementations=None)
    try:
        await bench.executor.start()
        assert "refused a new process" in (await bench.call("echo", message=1)).message
    finally:
        await bench.executor.stop()


async def test_a_failed_reload_keeps_the_old_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_connector.core.errors import UserError

    async with serving(tmp_path, GOOD) as bench:
        monkeypatch.setattr(process, "worker_command", lambda: [sys.executable, "-c", "raise SystemExit(5)"])
        with pytest.raises(UserError) as raised:
            await bench.executor.reload()
        assert raised.value.code == "reload_failed"
        monkeypatch.undo()
        assert isinstance(await bench.value("pid"), int)
