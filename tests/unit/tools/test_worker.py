"""The worker process itself: what it imports, and that it never outlives its runtime."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually_sync
from tests.unit.tools.harness import PREAMBLE, Bench, alive

MODULES = """
import sys
from edge_connector.tools import tool

@tool
def sync_modules() -> list[str]:
    return sorted(sys.modules)

@tool
async def async_modules() -> list[str]:
    return sorted(sys.modules)
"""

ALLOWED_ROOMS = ("edge_connector.core", "edge_connector.tools")
HEAVY = ("aiohttp", "websockets", "click", "psutil", "jwt", "rich", "jsonschema_rs", "cryptography")


async def test_a_worker_imports_core_and_msgspec_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write("modules.py", MODULES)
    await bench.executor.start()
    try:
        for tool in ("sync_modules", "async_modules"):
            modules = await bench.value(tool)
            rooms = [name for name in modules if name.startswith("edge_connector.")]
            assert [name for name in rooms if not name.startswith(ALLOWED_ROOMS)] == []
            assert not [name for name in modules if name.split(".")[0] in HEAVY]
        # A worker without a loop needs neither; one with a loop runs the fastest there is.
        assert not {"asyncio", "uvloop"} & set(await bench.value("sync_modules"))
    finally:
        await bench.executor.stop()


def test_the_authors_import_is_light() -> None:
    code = (
        "import sys; from edge_connector.tools import tool, ToolContext, ToolError;"
        "print(*(n for n in sys.modules if n.split('.')[0] in {'edge_connector', 'msgspec', 'asyncio', 'psutil'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"edge_connector", "edge_connector.tools", "edge_connector.tools.api"}


RUNTIME = """
import asyncio, os, sys
from pathlib import Path
from edge_connector.tools.calls import CallRequest, ExecutorConfig
from edge_connector.tools.executor import ToolExecutor

class Sink:
    def accepted(self, call_id): pass
    def progress(self, *what): pass
    def finished(self, outcome): pass

async def main():
    folder = Path(sys.argv[1])
    environment = dict(os.environ)
    config = ExecutorConfig(implementations=folder / "impl", scratch_root=folder / "scratch", environment=environment)
    executor = ToolExecutor(config, Sink())
    await executor.start()
    executor.submit(CallRequest(id="1", tool=sys.argv[2]))
    (folder / "workers").write_text(" ".join(str(worker.pid) for worker in executor.workers()))
    await asyncio.sleep(60)

asyncio.run(main())
"""

TOOLS = """
def detach():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            mark("grandchild", os.getpid())
            time.sleep(300)
        os._exit(0)

@tool
def spins() -> None:
    detach()
    while True:
        pass

@tool
async def waits() -> None:
    detach()
    await asyncio.sleep(300)

@tool
async def blocks() -> None:
    detach()
    time.sleep(300)
"""


@pytest.mark.parametrize("tool", ["spins", "waits", "blocks"])
def test_kill_minus_nine_of_the_runtime_leaves_no_orphan(tmp_path: Path, tool: str) -> None:
    pids = _killed_runtime(tmp_path, TOOLS, tool)
    grandchild = int((tmp_path / "grandchild").read_text())
    eventually_sync(lambda: not any(map(alive, [*pids, grandchild])), what="workers and grandchild dead")


def test_a_tool_that_keeps_the_interpreter_lock_dies_with_the_runtime_too(tmp_path: Path) -> None:
    source = """
    import ctypes

    @tool
    def hogs() -> None:
        mark("grandchild", os.getpid())
        libc = ctypes.PyDLL(None)  # PyDLL keeps the lock during the call
        while True:
            libc.usleep(999_000_000)
    """
    pids = _killed_runtime(tmp_path, source, "hogs")
    eventually_sync(lambda: not any(map(alive, pids)), what="workers dead")


def _killed_runtime(folder: Path, source: str, tool: str) -> list[int]:
    import textwrap

    path = folder / "impl" / "tools" / "sample.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"FOLDER = {str(folder)!r}\n{PREAMBLE}{textwrap.dedent(source)}")
    script = folder / "runtime.py"
    script.write_text(RUNTIME)
    runtime = subprocess.Popen([sys.executable, str(script), str(folder), tool])
    try:
        eventually_sync((folder / "grandchild").exists, what="the tool runs")
        eventually_sync(lambda: (folder / "workers").exists() and (folder / "workers").read_text(), what="pids known")
        pids = [int(pid) for pid in (folder / "workers").read_text().split()]
        assert len(pids) == 2 and all(map(alive, pids))
    finally:
        os.kill(runtime.pid, signal.SIGKILL)
        runtime.wait()
    return pids
