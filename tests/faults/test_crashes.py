"""One kill at a time, at a known moment: what the caller, the tool and the ledger say afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_connector.cli.drill.checks import CHECKS
from edge_connector.cli.drill.evidence import CallRecord
from edge_connector.cli.drill.world import World
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.models import Call
from edge_connector.platform_api.operations import GET_CALL
from tests.support.waiting import eventually

LONG_S = 30.0
"""No outcome of these tests may wait for the deadline of its call."""


@dataclass
class Crashes:
    """A world without weather, and calls whose runs can be waited for."""

    world: World
    client: PlatformClient
    numbers: int = 100_000

    async def begin(self, tool: str, seconds: float) -> tuple[CallRecord, asyncio.Task[None]]:
        """A call with a key, once its tool runs."""
        self.numbers += 1
        record = CallRecord(
            number=self.numbers,
            tool=tool,
            repeat="read" if tool == "markRead" else "once",
            arguments={"number": self.numbers, "seconds": seconds},
            expected={"number": self.numbers, "square": self.numbers**2},
            key=f"crash-{self.numbers}",
        )
        self.world.callers.records.append(record)
        task = asyncio.create_task(self.world.callers.call(record, timeout_ms=int(LONG_S * 1000)))
        await eventually(lambda: self.runs(record), what="the tool to run")
        return record, task

    def runs(self, record: CallRecord) -> list[dict[str, Any]]:
        """The lines that the tool left for this call."""
        file = self.world.connector.home / "custom-implementations" / "runs.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [found for line in lines if (found := json.loads(line))["number"] == record.number]

    async def again(self) -> None:
        """Dial now, until it works again."""
        await self.world.connector.until_working()
        await self.world.connector.request("redial")
        status = await self.world.connector.until_working()
        assert status["state"] == "working", status

    async def kept(self, call_id: str) -> Call:
        """The call in the platform's history."""
        return await self.client.call(GET_CALL, path={"id": call_id})


@asynccontextmanager
async def _world() -> AsyncIterator[Crashes]:
    async with World(seed=1) as world:
        client = world.direct()
        world.callers.use(client)
        yield Crashes(world, client)
        await world.recover()
        evidence = await world.close_books()
        findings = {check.id: found for check in CHECKS if (found := check.findings(evidence))}
        assert not findings, json.dumps(findings, indent=2)


def _told(record: CallRecord) -> tuple[str, str]:
    (answer,) = record.answers
    return answer.outcome, answer.code


@pytest.mark.timeout(150)
async def test_what_each_kill_leaves_behind(tmp_path: Path) -> None:
    async with _world() as crashes:
        await _connector_killed_while_a_once_call_runs(crashes)
        await _connector_killed_while_a_call_runs_that_may_be_repeated(crashes)
        await _connector_killed_with_an_outcome_that_could_not_be_sent(crashes)
        await _worker_killed_while_a_once_call_runs(crashes)
        await _platform_killed_while_a_once_call_runs(crashes)


async def _connector_killed_while_a_once_call_runs(crashes: Crashes) -> None:
    record, task = await crashes.begin("markOnce", LONG_S)
    await crashes.world.connector.kill()
    crashes.world.connector.start()
    async with asyncio.timeout(LONG_S / 2):
        await task
    assert _told(record) == ("interrupted", "outcome_unknown")
    assert len(crashes.runs(record)) == 1
    await crashes.again()


async def _connector_killed_while_a_call_runs_that_may_be_repeated(crashes: Crashes) -> None:
    record, task = await crashes.begin("markRead", 1.5)
    await crashes.world.connector.kill()
    crashes.world.connector.start()
    async with asyncio.timeout(LONG_S / 2):
        await task
    assert _told(record) == ("succeeded", "") and record.answers[0].result == record.expected
    assert len(crashes.runs(record)) == 2
    assert len({run["call"] for run in crashes.runs(record)}) == 1
    assert (await crashes.kept(record.call_id)).attempts == 2
    await crashes.again()


async def _connector_killed_with_an_outcome_that_could_not_be_sent(crashes: Crashes) -> None:
    world = crashes.world
    record, task = await crashes.begin("markOnce", 0.8)
    world.link_proxy.refuse(502)
    world.link_proxy.cut(reset=True)

    async def held() -> bool:
        status = await world.connector.status()
        return bool(status) and status["calls"]["unsentOutcomes"] == 1

    await eventually(held, what="an outcome that waits", interval_s=0.05)
    await world.connector.kill()
    world.link_proxy.lift()
    assert not task.done()
    world.connector.start()
    async with asyncio.timeout(LONG_S / 2):
        await task
    assert _told(record) == ("succeeded", "") and record.answers[0].result == record.expected
    assert len(crashes.runs(record)) == 1
    await crashes.again()


async def _worker_killed_while_a_once_call_runs(crashes: Crashes) -> None:
    record, task = await crashes.begin("markOnce", LONG_S)
    os.kill(crashes.runs(record)[0]["pid"], signal.SIGKILL)
    async with asyncio.timeout(LONG_S / 2):
        await task
    assert _told(record) == ("interrupted", "worker_died")
    assert len(crashes.runs(record)) == 1


async def _platform_killed_while_a_once_call_runs(crashes: Crashes) -> None:
    world = crashes.world
    record, task = await crashes.begin("markOnce", 4.0)
    await world.platform.kill()
    world.platform.start()
    await world.platform.until_serving()
    await crashes.again()
    async with asyncio.timeout(LONG_S / 2):
        await task
    assert _told(record) == ("interrupted", "outcome_unknown")

    async def late() -> bool:
        return (await crashes.kept(record.call_id)).late_outcome == "succeeded"

    await eventually(late, what="the late outcome in the history")
    assert len(crashes.runs(record)) == 1
