"""Proof that the connector works: every 30 seconds a call goes platform, connector, tool worker and back.

The connector asks and the platform answers with an ordinary call of `echo`; the receipt of its outcome closes the
circle. One missed probe changes nothing. Two periods in which nothing came back mean that the link is no good, whatever
its socket says. An outcome that is no result (`busy`, a worker that died) proves the link but not the tools: dialling
again would cure nothing, so that is only told.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable

from edge_connector.core.clock import Clock
from edge_connector.core.tasks import TaskOwner
from edge_connector.runtime.state import PROOF_PERIOD_S, PROOF_VALID_S

log = logging.getLogger(__name__)

SUSPECT_S = 10.0
"""How long a suspect link has to prove itself; as long as the platform gives the call of a probe."""


class Prober:
    """Asks for proof while the link is open. A `core.services.Service`."""

    name = "probe"

    def __init__(
        self,
        *,
        ask: Callable[[str], bool],
        prove_locally: Callable[[], Awaitable[bool]],
        on_proof: Callable[[], None],
        on_no_proof: Callable[[float], None],
        on_tools_failing: Callable[[float], None],
        clock: Clock,
        period_s: float = PROOF_PERIOD_S,
        suspect_s: float = SUSPECT_S,
    ) -> None:
        """`ask` sends the probe and says whether it could be sent. The other two get the seconds without proof:
        `on_no_proof` when the link is given up, `on_tools_failing` when it works and the tools did not for two periods.
        """
        self._ask = ask
        self._prove_locally = prove_locally
        self._on_proof = on_proof
        self._on_no_proof = on_no_proof
        self._on_tools_failing = on_tools_failing
        self._clock = clock
        self._period_s = period_s
        self._valid_s = PROOF_VALID_S / PROOF_PERIOD_S * period_s
        self._suspect_s = suspect_s
        self._tasks = TaskOwner("probe")
        self._wake = asyncio.Event()
        self._open_since: float | None = None
        self._link_proven_at = 0.0
        self._suspect_since: float | None = None
        self._asked_at: dict[str, float] = {}
        self._proven_at: float | None = None
        self.supported = True
        """Whether the platform answers probes; without that the proof is local only."""
        self.proven_wall: float | None = None
        self.round_trip_s: float | None = None

    @property
    def age_s(self) -> float | None:
        """Seconds since the last proof, those of a sleeping machine included; None: not proven yet."""
        return None if self._proven_at is None else self._now() - self._proven_at

    async def start(self) -> None:
        """Begin; the first probe goes out as soon as the link is open."""
        self._tasks.spawn(self._run(), name="run")

    async def stop(self) -> None:
        """Ask no more."""
        await self._tasks.close()

    def link_opened(self, *, supported: bool) -> None:
        """The tools are registered: prove it now."""
        self.supported = supported
        self._open_since = self._now()
        self._suspect_since = None
        self._ask_anew()

    def link_closed(self) -> None:
        """No proof can come until the link is open again."""
        self._open_since = None
        self._suspect_since = None
        self._asked_at.clear()

    def tools_changed(self) -> None:
        """Other code serves now: what was asked before says nothing about it."""
        self._ask_anew()

    def suspect(self, why: str) -> bool:
        """The link may be dead without knowing: it proves itself within ten seconds, or it is given up.

        False when it cannot be asked.
        """
        if self._open_since is None or not self.supported:
            return False
        log.info("the link has to prove itself now why=%s within_s=%.0f", why, self._suspect_s)
        self._suspect_since = self._now()
        self._ask_anew()
        return True

    def _ask_anew(self) -> None:
        self._asked_at.clear()
        self._wake.set()

    def confirmed(self, nonce: str, tools_proven: bool) -> None:
        """The platform confirmed the outcome of the call that answered `nonce`."""
        asked_at = self._asked_at.pop(nonce, None)
        if asked_at is None:
            return
        self._link_proven_at = self._now()
        self._suspect_since = None
        if tools_proven:
            self._proved(self._now() - asked_at)
        else:
            log.warning("probe came back without a result: the link works, the tools did not")
            self._tools_failed()

    def _proved(self, round_trip_s: float) -> None:
        self._proven_at = self._now()
        self.proven_wall = self._clock.wall()
        self.round_trip_s = round_trip_s
        self._on_proof()

    def _tools_failed(self) -> None:
        if self._open_since is None:
            return
        without_s = self._now() - max(self._open_since, self._proven_at or 0.0)
        if without_s >= self._valid_s:
            self._on_tools_failing(without_s)

    async def _run(self) -> None:
        next_probe = self._now()
        while True:
            now = self._now()
            moment = now + self._period_s if self._open_since is None else min(next_probe, self._overdue_at())
            try:
                async with asyncio.timeout(max(moment - now, 0.0)):
                    await self._wake.wait()
                next_probe = self._now()
            except TimeoutError:
                pass
            self._wake.clear()
            now = self._now()
            if self._open_since is None:
                continue
            if now >= self._overdue_at():
                # Of a suspect link counts how long it did not answer since it was asked.
                without_s = now - (self._suspect_since or max(self._open_since, self._link_proven_at))
                log.warning("no proof, the link is given up without_s=%.0f", without_s)
                self.link_closed()
                self._on_no_proof(without_s)
            elif now >= next_probe:
                next_probe = now + self._period_s
                await self._probe()

    async def _probe(self) -> None:
        started = self._now()
        if not self.supported:
            if await self._prove_locally():
                self._proved(self._now() - started)
            else:
                self._tools_failed()
            return
        nonce = secrets.token_hex(8)
        if self._ask(nonce):
            self._asked_at[nonce] = started

    def _overdue_at(self) -> float:
        assert self._open_since is not None, "only an open link is probed"
        if not self.supported:
            # Nothing that fails here says anything about the link; its heartbeats do.
            return math.inf
        overdue = max(self._open_since, self._link_proven_at) + self._valid_s
        return overdue if self._suspect_since is None else min(overdue, self._suspect_since + self._suspect_s)

    def _now(self) -> float:
        """Seconds that go on while the machine sleeps, so that no proof looks younger than it is."""
        return self._clock.monotonic() + self._clock.asleep()
