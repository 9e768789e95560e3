"""Retention: old and too much goes, the chain stays provable, what is not confirmed stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_connector.core.errors import UserError
from edge_connector.tools.ledger import retention
from edge_connector.tools.ledger.ledger import CallLedger
from tests.unit.tools.ledger.ledgers import DAY, SetClock, open_ledger, request, success, tool_info, whole_call


async def ids(ledger: CallLedger) -> set[str]:
    return {call["id"] for call in (await ledger.answer("calls.list", {"limit": 1000}))["calls"]}


async def test_calls_beyond_the_age_go_and_the_rest_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 7)
    clock = SetClock()
    async with open_ledger(tmp_path, clock=clock, max_age_s=10 * DAY) as (ledger, _):
        for day in range(15):
            for number in range(4):
                whole_call(ledger, f"{day}-{number}")
                await ledger.settle()
            clock.now += DAY
        head = ledger.facts.head
        await ledger._cut()
        kept = {call.partition("-")[0] for call in await ids(ledger)}
        assert kept == {str(day) for day in range(5, 15)}
        report = await ledger.verify(head)
        assert report.intact and report.anchor_seq == 20
        assert (ledger.facts.calls, ledger.facts.events) == (40, 40)
        await ledger._cut()
        assert len(await ids(ledger)) == 40
        with pytest.raises(UserError) as error:
            await ledger.answer("calls.export", {"after": 5})
        assert error.value.code == "ledger_cut"
        clock.now += 100 * DAY
        await ledger._cut()
        assert await ids(ledger) == set()
        whole_call(ledger, "new")
        assert (await ledger.verify()).intact
        # The very head that was noted is the anchor now.
        assert (await ledger.verify(head)).intact


async def test_what_is_not_confirmed_stays_until_it_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 10)
    clock = SetClock()
    async with open_ledger(tmp_path, clock=clock, max_bytes=1, max_age_s=10 * DAY) as (ledger, _):
        ledger.received(request("unsent"), tool_info())
        ledger.finished(success("unsent"), is_reported=False)
        for number in range(50):
            whole_call(ledger, str(number))
        await ledger.settle()
        await ledger._cut()
        assert await ids(ledger) == {"unsent"}
        report = await ledger.verify()
        assert report.intact
        ledger.reported("unsent")
        assert (await ledger.verify()).intact
        ledger.confirmed("unsent")
        assert (await ledger.verify()).intact
        await ledger._cut()
        assert await ids(ledger) == set()
        ledger.received(request("open"), tool_info())
        await ledger.settle()
        clock.now += 11 * DAY
        await ledger._cut()
        assert await ids(ledger) == set()
        assert (await ledger.verify()).intact


async def test_a_ledger_that_is_too_large_becomes_smaller_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite3"
    limit = 1_000_000
    async with open_ledger(tmp_path) as (ledger, _):
        for number in range(4_000):
            whole_call(ledger, str(number), success(str(number), b'"' + b"x" * 500 + b'"'))
        await ledger.settle()
    assert path.stat().st_size > 2 * limit
    async with open_ledger(tmp_path, max_bytes=limit) as (ledger, _):
        await ledger._cut()
        assert ledger.facts.size_bytes <= limit
        report = await ledger.verify()
        assert report.intact and report.anchor_seq > 0
        newest = await ledger.answer("calls.list", {"limit": 1})
        assert newest["calls"][0]["id"] == "3999"
    assert path.stat().st_size < 1.5 * limit


async def test_a_missing_row_is_not_hidden_by_cutting_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 5)
    async with open_ledger(tmp_path, max_bytes=1) as (ledger, _):
        for number in range(20):
            whole_call(ledger, str(number))
            await ledger.settle()
        database = ledger._database
        assert database is not None
        anchor = (await ledger.verify()).anchor_seq
        await database.write(lambda c: c.execute("DELETE FROM events WHERE seq = ?", (anchor + 5,)).rowcount)
        await ledger._cut()
        report = await ledger.verify()
        assert report.anchor_seq == anchor
        assert next(finding.kind for finding in report.findings) == "missing"
