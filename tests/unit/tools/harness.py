"""An executor with real worker processes and a sink that remembers, for the tests of this room."""

from __future__ import annotations

import asyncio
import itertools
import os
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge_connector.tools.calls import CallOutcome, CallRequest, ExecutorConfig
from edge_connector.tools.environment import scrubbed_environment
from edge_connector.tools.executor import ToolExecutor
from tests.support.waiting import eventually

_numbers = itertools.count(1)


class RecordingSink:
    """Keeps everything; `outcomes` is a list, so that a second outcome for an id is seen."""

    def __init__(self) -> None:
        self.outcomes: list[CallOutcome] = []
        self.accepted_ids: list[str] = []
        self.progressed: list[tuple[str, float | None, str]] = []

    def accepted(self, call_id: str) -> None:
        self.accepted_ids.append(call_id)

    def progress(self, call_id: str, fraction: float | None, message: str) -> None:
        self.progressed.append((call_id, fraction, message))

    def finished(self, outcome: CallOutcome) -> None:
        self.outcomes.append(outcome)

    def of(self, call_id: str) -> CallOutcome | None:
        return next((outcome for outcome in self.outcomes if outcome.id == call_id), None)


class Bench:
    """One executor under test and its sink."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.sink = RecordingSink()
        settings.setdefault("cancel_grace_s", 0.3)
        settings.setdefault("environment", scrubbed_environment(os.environ))
        settings.setdefault("implementations", folder / "impl")
        self.config = ExecutorConfig(scratch_root=folder / "scratch", **settings)
        self.executor = ToolExecutor(self.config, self.sink)

    def submit(self, tool: str, call_id: str = "", **arguments: Any) -> str:
        return self.request(tool, call_id, arguments)

    def request(self, tool: str, call_id: str = "", arguments: Any = None, **fields: Any) -> str:
        call_id = call_id or f"call-{next(_numbers)}"
        data = arguments if isinstance(arguments, bytes) else msgspec.json.encode(arguments or {})
        self.executor.submit(CallRequest(id=call_id, tool=tool, arguments=data, **fields))
        return call_id

    async def outcome(self, call_id: str, deadline_s: float = 20.0) -> CallOutcome:
        await eventually(lambda: self.sink.of(call_id) is not None, what=f"outcome of {call_id}", deadline_s=deadline_s)
        outcome = self.sink.of(call_id)
        assert outcome is not None
        return outcome

    async def call(self, tool: str, **arguments: Any) -> CallOutcome:
        return await self.outcome(self.submit(tool, **arguments))

    async def value(self, tool: str, **arguments: Any) -> Any:
        outcome = await self.call(tool, **arguments)
        assert outcome.result is not None, outcome
        return msgspec.json.decode(outcome.result)

    async def running(self, name: str) -> str:
        """The text of the file `name` in the test's folder, once a tool has written it."""
        path = self.folder / name
        await eventually(lambda: path.exists() and bool(path.read_text()), what=f"{name} written by a tool")
        return path.read_text()

    def write(self, name: str, source: str) -> Path:
        path = self.folder / "impl" / "tools" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header = "" if name.endswith(".json") else f"FOLDER = {str(self.folder)!r}\n"
        path.write_text(header + textwrap.dedent(source))
        return path


@asynccontextmanager
async def serving(folder: Path, source: str = "", **settings: Any) -> AsyncIterator[Bench]:
    """A started executor that serves `source`; at the end nothing may be left of it."""
    bench = Bench(folder, **settings)
    bench.write("sample.py", PREAMBLE + textwrap.dedent(source))
    before = set(asyncio.all_tasks())
    await bench.executor.start()
    try:
        yield bench
    finally:
        pids = [worker.pid for worker in bench.executor.workers()]
        await bench.executor.stop()
        assert not [pid for pid in pids if alive(pid)], "workers outlived their executor"
        assert not list((folder / "scratch").glob("worker-*")), "scratch directories outlived their executor"
        assert not {task for task in asyncio.all_tasks() - before if not task.done()}, "tasks outlived their executor"
        ids = [outcome.id for outcome in bench.sink.outcomes]
        assert len(ids) == len(set(ids)), "an id got two outcomes"


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


PREAMBLE = """
import asyncio, os, sys, time, signal, subprocess
from pathlib import Path
from typing import Annotated, Any
from msgspec import Meta
from edge_connector.tools import tool, ToolContext, ToolError, CallCancelled

def mark(name, text="x"):
    path = Path(FOLDER) / name
    path.with_suffix(".part").write_text(str(text))
    path.with_suffix(".part").rename(path)
"""
