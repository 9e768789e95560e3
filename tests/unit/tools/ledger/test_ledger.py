"""The ledger as a service: what is kept, what a crash leaves, and a disk that does not play along."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_connector.core.errors import UserError
from edge_connector.tools.ledger import ledger as ledger_module
from edge_connector.tools.ledger.ledger import CallLedger, Marked
from edge_connector.tools.ledger.records import CallRow, CallState
from tests.support.waiting import eventually
from tests.unit.tools.ledger.ledgers import change, failure, open_ledger, request, success, tool_info, whole_call


async def marked(ledger: CallLedger, call_id: str) -> Marked:
    """Mark a `once` call and wait for the answer."""
    done: asyncio.Future[Marked] = asyncio.get_running_loop().create_future()
    ledger.mark(request(call_id), tool_info(repeat="once"), done.set_result)
    assert not done.done()
    return await asyncio.wait_for(done, 10)


async def row_of(ledger: CallLedger, call_id: str) -> CallRow | None:
    done: asyncio.Future[CallRow | None] = asyncio.get_running_loop().create_future()
    ledger.find(call_id, done.set_result)
    return await asyncio.wait_for(done, 10)


async def shown(ledger: CallLedger, call_id: str) -> dict[str, Any]:
    return await ledger.answer("calls.show", {"id": call_id})


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "in a batch each"])
async def test_a_call_goes_through_its_states(tmp_path: Path, at_once: bool) -> None:
    async with open_ledger(tmp_path) as (ledger, problems):
        steps: list[tuple[CallState, Callable[[], None]]] = [
            (CallState.RECEIVED, lambda: ledger.received(request("1"), tool_info())),
            (CallState.ACCEPTED, lambda: ledger.accepted("1")),
            (CallState.FINISHED, lambda: ledger.finished(success("1"), is_reported=False)),
            (CallState.REPORTED, lambda: ledger.reported("1")),
            (CallState.CONFIRMED, lambda: ledger.confirmed("1")),
        ]
        for state, step in steps:
            step()
            if not at_once:
                row = await row_of(ledger, "1")
                assert row is not None and row.state is state
        found = await shown(ledger, "1")
        assert found["state"] == "confirmed"
        assert (found["outcome"], found["arguments"], found["result"]) == ("succeeded", {"x": 1}, {"y": 2})
        assert (found["user"], found["agent"], found["deployment"], found["durationMs"]) == ("ann", "a", "d", 2.5)
        assert {"acceptedAt", "startedAt", "finishedAt", "reportedAt", "confirmedAt"} <= set(found)
        assert len(found["events"]) == (2 if at_once else 5)
        assert (await ledger.verify()).intact
        assert problems == []


async def test_a_failure_keeps_its_words(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        whole_call(ledger, "1", failure("1"))
        found = await shown(ledger, "1")
    assert (found["outcome"], found["code"], found["message"]) == ("failed", "no_file", "There is no file.")
    assert (found["hint"], found["detail"], found["result"]) == ("Name one.", {"path": "/x"}, None)


async def test_a_mark_is_exact_over_a_restart(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        assert await marked(ledger, "1") == Marked()
        again = await marked(ledger, "1")
        assert again.earlier is not None and again.earlier.state is CallState.STARTED
        ledger.finished(success("1"), is_reported=True)
    async with open_ledger(tmp_path) as (ledger, _):
        again = await marked(ledger, "1")
        assert again.earlier is not None
        assert (again.earlier.outcome, again.earlier.result) == ("succeeded", '{"y":2}')


async def test_what_was_not_confirmed_comes_back_and_what_was_open_is_interrupted(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        whole_call(ledger, "confirmed")
        ledger.received(request("unsent"), tool_info())
        ledger.finished(success("unsent"), is_reported=False)
        ledger.received(request("open"), tool_info())
        ledger.received(request("local"), tool_info(), is_local=True)
        await marked(ledger, "once")
    async with open_ledger(tmp_path) as (ledger, _):
        left = {row.id: (row.outcome, row.code) for row in ledger.take_unfinished()}
        assert left == {
            "unsent": ("succeeded", ""),
            "open": ("interrupted", "outcome_unknown"),
            "once": ("interrupted", "outcome_unknown"),
        }
        assert ledger.take_unfinished() == []
        assert set(ledger.known) == {"confirmed", "unsent", "open", "local", "once"}
        assert (await shown(ledger, "local"))["outcome"] == "interrupted"
        for call_id in left:
            ledger.reported(call_id)
            ledger.confirmed(call_id)
        assert (await ledger.verify()).intact
    async with open_ledger(tmp_path) as (ledger, _):
        assert ledger.take_unfinished() == []


@pytest.mark.parametrize("apart", [0, 1, 2])
async def test_a_second_attempt_is_a_new_life_of_the_same_call(tmp_path: Path, apart: int) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        ledger.received(request("1"), tool_info())
        if apart == 1:
            await ledger.settle()
        ledger.finished(failure("1"), is_reported=False)
        if apart == 2:
            await ledger.settle()
        ledger.reported("1")
        ledger.received(request("1", attempt=2), tool_info())
        ledger.finished(success("1"), is_reported=True)
        found = await shown(ledger, "1")
        assert (found["attempt"], found["outcome"], found["code"]) == (2, "succeeded", "")
        assert [event["attempt"] for event in found["events"] if "attempt" in event] == [1, 2]
        assert (await ledger.verify()).intact


async def test_large_arguments_are_cut_and_large_results_go_with_their_receipt(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        big = b'"' + b"x" * 200_000 + b'"'
        ledger.received(request("1", b'{"x":' + big + b"}"), tool_info())
        ledger.finished(success("1", big), is_reported=True)
        row = await row_of(ledger, "1")
        assert row is not None and row.result is not None and len(row.result) == 200_002
        assert row.arguments is not None and len(row.arguments) == 16 * 1024
        assert row.arguments_bytes == 200_008
        ledger.confirmed("1")
        row = await row_of(ledger, "1")
        assert row is not None and (row.result, row.result_bytes) == (None, 200_002)
        assert (await ledger.verify()).intact


async def test_arguments_of_an_unknown_tool_are_not_kept(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        ledger.received(request("1", b'{"password":"sesame"}'), None)
        row = await row_of(ledger, "1")
    assert row is not None and row.arguments is None
    assert b"sesame" not in (tmp_path / "calls.sqlite3").read_bytes()


async def test_secret_fields_never_reach_the_file(tmp_path: Path) -> None:
    schema = b'{"properties":{"password":{"type":"string","writeOnly":true},"x":{}}}'
    async with open_ledger(tmp_path) as (ledger, _):
        ledger.received(request("1", b'{"password":"sesame","x":1}'), tool_info(parameters=schema))
        found = await shown(ledger, "1")
        assert found["arguments"] == {"password": "[hidden]", "x": 1}
    for file in tmp_path.iterdir():
        assert b"sesame" not in file.read_bytes()


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "ä\u2028", '"\\u0000'])
async def test_odd_text_is_kept_or_replaced_but_never_breaks_the_chain(tmp_path: Path, odd: str) -> None:
    async with open_ledger(tmp_path) as (ledger, problems):
        outcome = success("1")
        ledger.received(request("1", b'{"x":"\\u0000"}'), tool_info())
        ledger.finished(outcome, is_reported=True)
        failed = failure("2")
        ledger.received(request("2"), tool_info())
        ledger.finished(msgspec.structs.replace(failed, message=odd), is_reported=True)
        assert (await shown(ledger, "1"))["arguments"] == {"x": "\0"}
        assert (await ledger.verify()).intact
        assert problems == []


async def test_a_full_disk_is_a_problem_and_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_S", 0.02)
    async with open_ledger(tmp_path) as (ledger, problems):
        whole_call(ledger, "1")
        await ledger.settle()
        database = ledger._database
        assert database is not None
        pages = await database.write(lambda c: int(c.execute("PRAGMA page_count").fetchone()[0]))
        await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchone())
        for number in range(200):
            whole_call(ledger, f"full-{number}")
        await eventually(lambda: problems, what="the problem")
        code, detail = problems[0]
        assert code == "ledger_unavailable" and "No space left" in detail
        assert ledger.facts.problem == "disk_full"
        # A few may still fit into the last page.
        refused = [answer for n in range(100) if (answer := await marked(ledger, f"once-{n}")).problem is not None]
        assert {answer.problem.code for answer in refused if answer.problem} == {"ledger_unavailable"}
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
        await eventually(lambda: problems[-1] == ("", ""), what="the end of the problem")
        assert await marked(ledger, "once") == Marked()
        assert (await ledger.verify()).intact
        assert (await shown(ledger, "full-199"))["state"] == "confirmed"


async def test_a_problem_ends_by_itself_while_nobody_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_S", 0.02)
    async with open_ledger(tmp_path) as (ledger, problems):
        database = ledger._database
        assert database is not None
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1").fetchone())
        for number in range(1_000):
            if (await marked(ledger, str(number))).problem is not None:
                break
        assert problems and problems[0][0] == "ledger_unavailable" and ledger.waiting == 0
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
        await eventually(lambda: problems[-1] == ("", ""), what="the end of the problem")
        assert (await ledger.verify()).intact


async def test_what_waits_for_a_full_disk_is_bounded_and_the_chain_says_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_S", 0.02)
    monkeypatch.setattr(ledger_module, "MAX_WAITING", 30)
    async with open_ledger(tmp_path) as (ledger, problems):
        database = ledger._database
        assert database is not None
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1").fetchone())
        for number in range(2_000):
            whole_call(ledger, f"full-{number}")
        await eventually(lambda: problems and ledger.facts.lost, what="lost entries")
        await database.write(lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
        await eventually(lambda: problems[-1] == ("", ""), what="the end of the problem")
        page = await ledger.answer("calls.export", {})
        assert any("were lost" in row["body"] for row in page["rows"])
        assert (await ledger.verify()).intact


@pytest.mark.parametrize("damage", ["no database", "half a database", "no tables"])
async def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "calls.sqlite3"
    async with open_ledger(tmp_path) as (ledger, _):
        for number in range(300):
            whole_call(ledger, str(number))
    if damage == "no database":
        path.write_bytes(b"this is no database at all" * 1000)
    elif damage == "half a database":
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    else:
        change(tmp_path, "DROP TABLE chain")
    before = path.read_bytes()
    async with open_ledger(tmp_path) as (ledger, problems):
        code, name = problems[-1]
        assert code == "ledger_put_aside"
        assert (tmp_path / name).read_bytes() == before
        assert await marked(ledger, "1") == Marked()
        page = await ledger.answer("calls.export", {})
        assert name in page["rows"][0]["body"] or name in page["rows"][-1]["body"]
        assert (await ledger.verify()).intact


async def test_a_file_that_is_damaged_while_in_use_is_put_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite3"
    async with open_ledger(tmp_path) as (ledger, problems):
        for number in range(300):
            whole_call(ledger, str(number))
        await ledger.settle()
        database = ledger._database
        assert database is not None
        await database.write(lambda c: c.execute("DELETE FROM chain").rowcount)
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * 100_000)
        whole_call(ledger, "more")
        await eventually(lambda: [code for code, _ in problems if code == "ledger_put_aside"], what="it is put aside")
        await eventually(lambda: ledger.is_open and not ledger.facts.problem, what="a new ledger")
        assert await marked(ledger, "new") == Marked()


async def test_a_ledger_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    async with open_ledger(tmp_path):
        pass
    change(tmp_path, "PRAGMA user_version=99")
    async with open_ledger(tmp_path) as (ledger, problems):
        assert problems[0][0] == "ledger_unavailable"
        assert ledger.facts.problem == "ledger_too_new"
        refused = await marked(ledger, "1")
        assert refused.problem is not None
        with pytest.raises(UserError):
            await ledger.answer("calls.list", {})
    assert [file.name for file in tmp_path.glob("*damaged*")] == []


async def test_a_ledger_that_cannot_be_opened_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_S", 0.02)
    blocker = tmp_path / "calls.sqlite3"
    blocker.mkdir()
    async with open_ledger(tmp_path) as (ledger, problems):
        whole_call(ledger, "1")
        assert ledger.facts.problem
        blocker.rmdir()
        await eventually(lambda: problems[-1] == ("", ""), what="the end of the problem")
        assert (await shown(ledger, "1"))["state"] == "confirmed"


async def test_lists_by_tool_outcome_and_time(tmp_path: Path) -> None:
    async with open_ledger(tmp_path) as (ledger, _):
        whole_call(ledger, "1")
        whole_call(ledger, "2", failure("2"))
        ledger.received(request("3"), tool_info())
        listed = await ledger.answer("calls.list", {})
        assert [call["id"] for call in listed["calls"]] == ["3", "2", "1"]
        for params, ids in (
            ({"outcome": "failed"}, ["2"]),
            ({"outcome": "open"}, ["3"]),
            ({"tool": "t", "limit": 1}, ["3"]),
            ({"tool": "other"}, []),
            ({"since": "2000-01-01T00:00:00Z"}, ["3", "2", "1"]),
            ({"since": "2999-01-01T00:00:00Z"}, []),
        ):
            listed = await ledger.answer("calls.list", params)
            assert [call["id"] for call in listed["calls"]] == ids
        for bad in ({"limit": 0}, {"limit": "x"}, {"since": "noon"}, {"sincee": ""}):
            with pytest.raises(UserError) as error:
                await ledger.answer("calls.list", bad)
            assert error.value.code == "bad_request"
        with pytest.raises(UserError) as error:
            await ledger.answer("calls.show", {"id": "none"})
        assert error.value.code == "unknown_call"


def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    async def make() -> None:
        async with open_ledger(tmp_path):
            pass

    asyncio.run(make())
    assert (tmp_path / "calls.sqlite3").stat().st_mode & 0o777 == 0o600
    assert sqlite3.connect(tmp_path / "calls.sqlite3").execute("PRAGMA auto_vacuum").fetchone()[0] == 2
