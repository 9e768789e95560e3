"""Keeps the link honest: proof, sleep and wake-up, changes of the network, and what has to be looked at now and then.

Whatever happens to the machine, a running call goes on in its worker; its outcome waits for the link and is delivered
over the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from edge_connector.control.lock import RuntimeLock
from edge_connector.core.clock import Clock
from edge_connector.core.services import ServiceStack
from edge_connector.core.status import LinkPhase
from edge_connector.core.tasks import TaskOwner
from edge_connector.link.supervisor import Link, LinkFacts
from edge_connector.net.changes import NetworkChanges
from edge_connector.net.route import default_addresses, local_address, path_change
from edge_connector.net.sleep import SleepSignals
from edge_connector.net.wakeup import Gap, GapKind, Reading, find_gap
from edge_connector.runtime.board import StatusBoard
from edge_connector.runtime.probe import Prober
from edge_connector.runtime.state import is_ready
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import Retry

log = logging.getLogger(__name__)

HOUSEKEEPING_S = 5.0
ROUTE_WAIT_S = 20.0
"""How long a machine that woke up waits for its network; then it dials all the same, and the usual delays follow."""
ROUTE_LOOK_S = 0.5
AWAKE_ALL_THE_SAME_S = 60.0
"""A machine that was about to sleep and ran on for so long does not sleep, whoever forgot to say so."""
ASLEEP = "asleep"


class Liveness:
    """The part of a runtime that doubts. A `core.services.Service`."""

    name = "liveness"

    def __init__(
        self,
        *,
        link: Link,
        board: StatusBoard,
        lock: RuntimeLock,
        prove_locally: Callable[[], Awaitable[bool]],
        clock: Clock,
        housekeeping_s: float = HOUSEKEEPING_S,
    ) -> None:
        self._link = link
        self._board = board
        self._lock = lock
        self._clock = clock
        self._housekeeping_s = housekeeping_s
        self._tasks = TaskOwner("liveness")
        self._parts = ServiceStack(stop_budget_s=5.0)
        self._asleep_since: float | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._reading = Reading.of(clock)
        self._way: tuple[str | None, ...] = ()
        self.prober = Prober(
            ask=lambda nonce: link.send(m.Probe(probe=nonce)),
            prove_locally=prove_locally,
            on_proof=self._on_proof,
            on_no_proof=self._on_no_proof,
            on_tools_failing=self._on_tools_failing,
            clock=clock,
        )
        self.sleep = SleepSignals(on_sleep=self.fall_asleep, on_wake=lambda: self.wake_up("the machine resumed"))

    async def start(self) -> None:
        """Begin to look and to listen."""
        self._way = self._look_at_way()
        await self._parts.start(self.prober)
        await self._parts.start(self.sleep)
        await self._parts.start(NetworkChanges(self._on_network_change))
        self._tasks.spawn(self._keep_house(), name="housekeeping")

    async def stop(self) -> None:
        """Leave everything as it is."""
        await self._tasks.close()
        await self._parts.stop()

    def is_ready(self) -> bool:
        """Readiness for /healthz (R6)."""
        facts = self._link.facts
        open_for_s = self._clock.monotonic() - facts.since
        return is_ready(facts.phase, proof_age_s=self.prober.age_s, open_for_s=open_for_s)

    # ---- proof

    def _on_proof(self) -> None:
        self._link.proved()
        self._board.clear_problems("not_proven", "tools_not_proven")
        self._board.changed("proven")

    def _on_no_proof(self, without_s: float) -> None:
        self._board.raise_problem("not_proven", detail=f"{without_s:.0f} s")
        self._link.redial(f"no proof for {without_s:.0f} s")

    def _on_tools_failing(self, without_s: float) -> None:
        self._board.raise_problem("tools_not_proven", detail=f"{without_s:.0f} s")

    # ---- sleep

    async def fall_asleep(self) -> None:
        """Tell the platform and close the link in order; what runs goes on after the wake-up."""
        log.info("the machine is about to sleep")
        if self._coming_back is not None:
            self._coming_back.cancel()
        self._asleep_since = self._clock.monotonic()
        self._board.set_flags(asleep=True)
        self._link.send(m.Goodbye(reason=ASLEEP))
        await self._link.hold(ASLEEP)

    def wake_up(self, why: str) -> None:
        """Dial as soon as there is a way to the platform. Nothing happens when it was not asleep."""
        if self._asleep_since is None:
            return
        log.info("awake why=%s", why)
        self._asleep_since = None
        # What happened until now is known: the next look at the clocks must not find it again.
        self._reading = Reading.of(self._clock)
        self._board.set_flags(asleep=False)
        self._come_back(lambda: self._link.release(ASLEEP))

    def _come_back(self, dial: Callable[[], None]) -> None:
        if self._coming_back is not None:
            self._coming_back.cancel()
        self._coming_back = self._tasks.spawn(self._dial_with_route(dial), name="wake up")

    async def _dial_with_route(self, dial: Callable[[], None]) -> None:
        path = self._link.last_path
        deadline = self._clock.monotonic() + ROUTE_WAIT_S
        while path is not None and local_address(path.remote, path.port) is None:
            if self._clock.monotonic() > deadline:
                log.info("no route to the platform yet waited_s=%.0f", ROUTE_WAIT_S)
                break
            await asyncio.sleep(ROUTE_LOOK_S)
        self._way = self._look_at_way()
        dial()

    # ---- now and then

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._housekeeping_s)
            self._look()

    def _look(self) -> None:
        before, self._reading = self._reading, Reading.of(self._clock)
        gap = find_gap(before, self._reading, expected_s=self._housekeeping_s)
        if gap is not None:
            self._on_gap(gap, before)
        if self._asleep_since is not None and self._reading.monotonic - self._asleep_since > AWAKE_ALL_THE_SAME_S:
            self.wake_up("it runs all the same")
        if self._lock.restore():
            self._board.raise_problem("lock_file_deleted")
        else:
            self._board.clear_problems("lock_file_deleted")
        self._board.look_again()

    def _on_gap(self, gap: Gap, before: Reading) -> None:
        """After a suspend the network is another one: dial. After anything else the link is asked to prove itself.

        A process that stood still, or a clock that was set, says nothing about the link: it may well be alive, calls
        are open on it, and dialling adds load to a machine that may have stood still under load.
        """
        log.info("gap %s", gap)
        if self._asleep_since is not None:
            if gap.kind is GapKind.SLEPT:
                self.wake_up(str(gap))
        elif gap.kind is GapKind.SLEPT and not self._opened_since(before.monotonic):
            self._come_back(lambda: self._link.redial(str(gap)))
        elif self._link.facts.phase is LinkPhase.OPEN:
            if not self.prober.suspect(str(gap)):
                self._link.redial(str(gap))
        elif gap.kind is GapKind.CLOCK_SET:
            # A wrong clock is a reason for refusals: expired tokens, certificates that are not valid yet.
            self._link.redial(str(gap))

    def _opened_since(self, moment: float) -> bool:
        """Whether the open link may be younger than the gap."""
        facts = self._link.facts
        return facts.phase is LinkPhase.OPEN and facts.since > moment

    # ---- the network

    def _on_network_change(self) -> None:
        way = self._look_at_way()
        before, self._way = self._way, way
        facts, path = self._link.facts, self._link.last_path
        log.debug("the network was told to have changed way=%s before=%s", way, before)
        if facts.phase is LinkPhase.OPEN and path is not None:
            if reason := path_change(path.local, way[0]):
                self._link.redial(f"the network changed: {reason}")
        elif way != before and any(way) and _waits_for_network(facts):
            self._link.redial("the network changed")

    def _look_at_way(self) -> tuple[str | None, ...]:
        """The local address towards the platform's end of the link, or of the default routes before the first one."""
        path = self._link.last_path
        return default_addresses() if path is None else (local_address(path.remote, path.port),)


def _waits_for_network(facts: LinkFacts) -> bool:
    """What a person has to mend, or another connector holds, no other network mends."""
    return facts.phase is LinkPhase.WAITING and facts.down is not None and facts.down.retry is Retry.BACKOFF
