"""The prober: it asks at the right moments, proves by the receipt, and gives a link up only after two periods."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_connector.core.clock import SystemClock
from edge_connector.runtime.probe import Prober
from tests.support.waiting import eventually

PERIOD_S = 0.1


class Bench:
    """Everything around a prober, played by hand."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.proofs = 0
        self.given_up = 0
        self.local_ok = True
        self.prober = Prober(
            ask=self.ask,
            prove_locally=self.prove_locally,
            on_proof=self.on_proof,
            on_no_proof=self.on_no_proof,
            clock=SystemClock(),
            period_s=PERIOD_S,
        )

    def ask(self, nonce: str) -> bool:
        self.asked.append(nonce)
        return True

    async def prove_locally(self) -> bool:
        return self.local_ok

    def on_proof(self) -> None:
        self.proofs += 1

    def on_no_proof(self) -> None:
        self.given_up += 1
        self.prober.link_closed()


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
        assert bench.prober.proven_at is not None
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
        await eventually(lambda: bench.given_up, what="no local proof either")
        bench.local_ok = True
        bench.prober.link_opened(supported=False)
        await eventually(lambda: bench.proofs, what="a local proof")
        assert bench.asked == []


async def test_a_closed_link_is_not_probed() -> None:
    async with probing() as bench:
        bench.prober.tools_changed()
        bench.prober.link_opened(supported=True)
        await eventually(lambda: bench.asked, what="the first probe")
        assert len(bench.asked) == 1
