"""Running checks: order, needs, time limits, mending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from edge_connector.core.checks import (
    Check,
    CheckStatus,
    Finding,
    Once,
    fail,
    in_thread,
    ok,
    run_checks,
    skip,
    warn,
)
from edge_connector.core.errors import UserError


def check(id_: str, run: Callable[[None], Awaitable[Finding]], *needs: str, timeout_s: float = 5.0) -> Check[None]:
    return Check(id=id_, what=f"the {id_}", looks_at="", run=run, needs=needs, timeout_s=timeout_s)


def finding(found: Finding) -> Callable[[None], Awaitable[Finding]]:
    async def run(subject: None) -> Finding:
        return found

    return run


@pytest.mark.parametrize(
    ("found", "status"),
    [(ok("x"), "ok"), (warn("x", "y"), "ok"), (fail("x", "y"), "skipped"), (skip("x"), "skipped")],
)
async def test_what_needs_a_failed_or_skipped_check_is_skipped(found: Finding, status: str) -> None:
    # The one that is needed stands behind in the list.
    results = await run_checks([check("second", finding(ok("seen")), "first"), check("first", finding(found))], None)
    assert [result.id for result in results] == ["second", "first"]
    assert results[0].status == status
    if status == "skipped":
        assert "the first" in results[0].proof


async def test_results_are_told_in_order_while_others_run() -> None:
    told: list[str] = []
    gate = asyncio.Event()

    async def slow(subject: None) -> Finding:
        await gate.wait()
        return ok("slow")

    async def opens(subject: None) -> Finding:
        gate.set()
        return ok("quick")

    await run_checks([check("a", slow), check("b", opens)], None, on_result=lambda result: told.append(result.id))
    assert told == ["a", "b"]


async def test_a_check_that_takes_too_long_fails() -> None:
    async def endless(subject: None) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    (result,) = await run_checks([check("a", endless, timeout_s=0.05)], None)
    assert result.status is CheckStatus.FAIL and "0.05 s" in result.proof and result.fix


async def test_errors_are_findings_and_bugs_are_not() -> None:
    async def refused(subject: None) -> Finding:
        raise UserError("x", "The sentence.", hint="The cure.")

    async def broken(subject: None) -> Finding:
        raise ZeroDivisionError

    (result,) = await run_checks([check("a", refused)], None)
    assert (result.status, result.proof, result.fix) == (CheckStatus.FAIL, "The sentence.", "The cure.")
    with pytest.raises(ExceptionGroup):
        await run_checks([check("a", broken)], None)


async def test_mending_looks_again_and_says_what_was_done() -> None:
    broken = ["one", "two"]

    async def look(subject: None) -> Finding:
        return warn(f"{broken[-1]} is broken", "--fix", lambda: f"mended {broken.pop()}") if broken else ok("well")

    (seen,) = await run_checks([check("a", look)], None)
    assert seen.status is CheckStatus.WARN and not seen.mended and len(broken) == 2
    (mended,) = await run_checks([check("a", look)], None, mend=True)
    assert (mended.status, mended.mended) == (CheckStatus.OK, "mended two; mended one")
    assert mended.to_document()["mended"] == "mended two; mended one"


async def test_mending_that_fails_or_does_not_help_ends() -> None:
    def refuse() -> str:
        raise UserError("x", "No rights.")

    times: list[int] = []

    def useless() -> str:
        times.append(1)
        return "tried"

    (refused,) = await run_checks([check("a", finding(warn("x", "y", refuse)))], None, mend=True)
    assert refused.status is CheckStatus.WARN and "No rights." in refused.proof and not refused.mended
    (tried,) = await run_checks([check("a", finding(warn("x", "y", useless)))], None, mend=True)
    assert tried.status is CheckStatus.WARN and len(times) == 3


async def test_a_fact_is_found_once_and_so_is_its_failure() -> None:
    asked: list[int] = []

    async def find() -> int:
        asked.append(1)
        await asyncio.sleep(0)
        if len(asked) > 1:
            raise UserError("x", "no")
        return 7

    fact = Once(find)
    first, second = await asyncio.gather(fact(), fact())
    assert (first, second, len(asked)) == (7, 7, 1)
    fact.forget()
    for _ in range(2):
        with pytest.raises(UserError):
            await fact()
    assert len(asked) == 2


async def test_a_blocked_thread_holds_nobody_up() -> None:
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await in_thread(gate.wait)
    gate.set()
    assert await in_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
