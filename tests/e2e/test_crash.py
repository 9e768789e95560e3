"""kill -9 of the connector with a call under way: the caller hears of it, and `once` means once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from edge_connector.tools.ledger.reading import reading_file
from tests.e2e.access import Access, result_of
from tests.support.connector_process import running_connector
from tests.support.waiting import eventually

TOOLS = """
import time
from pathlib import Path
from edge_connector.tools import tool

def _wait(path: str) -> str:
    with open(path + ".runs", "a") as file:
        file.write("run\\n")
    while not Path(path).exists():
        time.sleep(0.01)
    return "done"

@tool(repeat="once")
def wait_once(path: str) -> str:
    return _wait(path)

@tool(risk="read", repeat="read")
def wait_read(path: str) -> str:
    return _wait(path)
"""


def runs(gate: Path) -> int:
    try:
        return len(gate.with_name(gate.name + ".runs").read_text().splitlines())
    except FileNotFoundError:
        return 0


@pytest.fixture
def crash_tools(tmp_path: Path) -> Path:
    folder = tmp_path / "crash-tools" / "tools"
    folder.mkdir(parents=True)
    (folder / "waiting.py").write_text(TOOLS)
    return folder.parent


@pytest.mark.parametrize("tool", ["wait_once", "wait_read"])
async def test_a_killed_connector_leaves_no_call_in_silence(
    access: Access, home: Path, crash_tools: Path, tmp_path: Path, tool: str
) -> None:
    gate = tmp_path / "gate"
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=crash_tools) as fixed:
        call_id = await fixed.begin(tool, {"path": str(gate)}, timeout_ms=60_000)
        await eventually(lambda: runs(gate), what="the tool runs")
        if tool == "wait_read":
            # A read is not held up by the disk: its arrival is in the file some milliseconds later.
            async def noted() -> bool:
                return bool((await fixed.process.request("calls.list"))["calls"])

            await eventually(noted, what="the call in the ledger")
        fixed.process.send(signal.SIGKILL)
        assert await fixed.process.wait() == -signal.SIGKILL
        environment = fixed.process.environment
        deployment = fixed.deployment.id
        assert (await access.look(call_id)).outcome is None
        async with running_connector(home, environment) as connector:
            if tool == "wait_once":
                # Long before the deadline: the connector found the call in its ledger and says so.
                ended = await access.ended(call_id)
                assert (ended.outcome, ended.attempts, runs(gate)) == ("interrupted", 1, 1)
                assert ended.error is not None and ended.error.code == "outcome_unknown"
                assert "interrupted, outcome unknown" in ended.error.message
            else:
                await eventually(lambda: runs(gate) == 2, what="the second attempt")
                gate.touch()
                ended = await access.ended(call_id)
                assert (result_of(ended), ended.attempts, runs(gate)) == ("done", 2, 2)
            report = await connector.request("calls.verify")
            assert report["intact"], report
            assert (await access.deployment(deployment)).connectors[0].online
    with reading_file(home / "calls.sqlite3") as ledger:
        assert ledger.execute("SELECT count(*) FROM calls WHERE is_open").fetchone() == (0,)
