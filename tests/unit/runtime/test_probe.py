"""The prober: it asks at the right moments, proves by the receipt, and gives a link up only after two periods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_connector.core.clock import SystemClock
from edge_connector.runtime.probe import Prober
from tests.support.waiting import eventually

PERIOD_S = 0.2
SUSPECT_S = 0.1


class SleepyClock(SystemClock):
    """A clock of a machine that can be suspended by hand."""

    slept_s = 0.0

    def asleep(self) -> float:
        return self.slept_s


class Bench:
    """Everything around a prober, played by hand."""

    def __init__(self) -> None:
        self.clock = SleepyClock()
        self.asked: list[str] = []
        self.proofs = 0
        self.given_up = 0
        self.tools_failing = 0
        self.local_ok = True
        self.prober = Prober(
            ask=self.ask,
            prove_locally=self.prove_locally,
            on_proof=self.on_proof,
            on_no_proof=self.on_no_proof,
            on_tools_failing=self.on_tools_failing,
            clock=self.clock,
            period_s=PERIOD_S,
            suspect_s=SUSPECT_S,
        )

    def ask(self, nonce: str) -> bool:
        self.asked.append(nonce)
        return True

    async def prove_locally(self) -> bool:
        return self.local_ok

    def on_proof(self) -> None:
        self.proofs += 1

    def on_no_proof(self, without_s: float) -> None:
        assert without_s > 0
        self.given_up += 1

    def on_tools_failing(self, without_s: float) -> None:
        assert without_s >= 2 * PERIOD_S
        self.tools_failing += 1


@asynccontextmanager
async def probing() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.prober.start()
    try:
        yield bench
    finally:
        await bench.prober.stop()


async def test_asks_as_soon_as_the_link_is_open_and_then_each_period() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        assert bench.proofs == 0
        bench.prober.confirmed(bench.asked[0], True)
        assert bench.proofs == 1
        assert bench.prober.age_s is not None
        assert bench.prober.round_trip_s is not None
        await eventually(lambda: len(bench.asked) >= 2, what="the next probe")
        assert len(set(bench.asked)) == len(bench.asked)


async def test_changed_tools_are_proven_at_once() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        asked = len(bench.asked)
        bench.prober.tools_changed()
        await eventually(lambda: len(bench.asked) > asked, what="a probe of the new tools")


async def test_a_confirmation_that_nobody_waits_for_proves_nothing() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        bench.prober.confirmed("another", True)
        bench.prober.confirmed(bench.asked[0], False)
        bench.prober.confirmed(bench.asked[0], True)
        assert bench.proofs == 0


async def test_a_proof_of_the_last_session_does_not_count() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        bench.prober.link_closed()
        bench.prober.confirmed(bench.asked[0], True)
        assert bench.proofs == 0


async def test_two_periods_without_proof_give_the_link_up_and_one_does_not() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.given_up, what="the link is given up")
        # The probe at the opening and the one a period later went unanswered first.
        assert len(bench.asked) == 2


async def test_a_platform_without_probes_is_proven_locally() -> None:
    async with probing() as bench:
        bench.local_ok = False
        bench.prober.link_opened(supported=False)
        await eventually(lambda: bench.tools_failing, what="the tools are told to fail")
        assert bench.given_up == 0, "the link of a peer without probes is proven by its heartbeats"
        bench.local_ok = True
        await eventually(lambda: bench.proofs, what="a local proof")
        assert bench.asked == []
        assert not bench.prober.suspect("cannot be asked")


async def test_a_closed_link_is_not_probed() -> None:
    async with probing() as bench:
        bench.prober.tools_changed()
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        assert len(bench.asked) == 1


async def test_an_outcome_that_is_no_result_proves_the_link_but_not_the_tools() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        for number in range(1, 6):
            await eventually(lambda: len(bench.asked) >= number, what=f"probe {number}")  # noqa: B023
            bench.prober.confirmed(bench.asked[-1], False)
        assert bench.proofs == 0
        assert bench.given_up == 0, "four periods without result, and each proved the link"
        assert bench.tools_failing >= 1, "and the tools are told to fail after two"


async def test_one_lost_probe_is_made_up_for_by_the_next() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: len(bench.asked) == 2, what="the probe after the lost one")
        bench.prober.confirmed(bench.asked[1], True)
        assert (bench.proofs, bench.given_up) == (1, 0)


async def test_a_suspect_link_is_asked_at_once_and_kept_when_it_answers() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        assert bench.prober.suspect("a test")
        await eventually(lambda: len(bench.asked) == 2, what="a probe of the suspect link")
        bench.prober.confirmed(bench.asked[0], True)
        assert bench.proofs == 0, "an answer to what was asked before proves nothing now"
        bench.prober.confirmed(bench.asked[1], False)
        await eventually(lambda: len(bench.asked) == 3, what="the next probe")
        assert bench.given_up == 0


async def test_a_suspect_link_that_does_not_answer_is_given_up_before_two_periods_are_over() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        bench.prober.confirmed(bench.asked[0], True)
        assert bench.prober.suspect("a test")
        await eventually(lambda: bench.given_up, what="the link is given up")
        assert bench.prober.age_s is not None
        assert len(bench.asked) == 2, "given up in the first period after the proof"


async def test_an_answer_from_before_the_tools_changed_proves_nothing() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        bench.prober.tools_changed()
        bench.prober.confirmed(bench.asked[0], True)
        assert bench.proofs == 0


async def test_the_age_of_a_proof_counts_the_sleep() -> None:
    async with probing() as bench:
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        bench.prober.confirmed(bench.asked[0], True)
        bench.prober.link_closed()
        bench.clock.slept_s = 8 * 3600
        assert (bench.prober.age_s or 0) >= 8 * 3600
