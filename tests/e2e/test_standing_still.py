"""A connector process that is stopped and goes on: a frozen container, a paused virtual machine, a debugger."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.e2e.access import Access

STOPPED_S = 10.5
"""The clocks are looked at every 5 s, and one that comes 5 s late is a gap: a stop of this length always is one."""


async def test_it_proves_itself_at_once_keeps_the_link_and_delivers_what_was_open(
    access: Access, home: Path, tmp_path: Path, tool_folder: Path
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        process = fixed.process
        before = await process.status()
        gate = tmp_path / "gate"
        running = await fixed.begin("hold_async", {"path": str(gate)}, timeout_ms=60_000)
        await process.until_status(lambda status: status["calls"]["running"] == 1, what="the call runs")
        process.send(signal.SIGSTOP)
        try:
            gate.touch()
            await asyncio.sleep(STOPPED_S)
            assert (await access.look(running)).outcome is None, "its outcome waits in the stopped process"
        finally:
            process.send(signal.SIGCONT)
        await process.until_log("the link has to prove itself now")
        after = await process.until_status(
            lambda status: status["state"] == "working" and status["proven"]["at"] > before["proven"]["at"],
            what="a new proof",
        )
        assert "gap the process stood still for" in process.log
        assert after["link"]["sessionId"] == before["link"]["sessionId"]
        assert (await access.ended(running)).outcome == "succeeded"
        assert (await fixed.call("echo", {"message": 1})).outcome == "succeeded"
        assert "Disconnected" not in process.log
