"""Proof that the connector works: every 30 seconds a call goes platform, connector, tool worker and back.

The connector asks and the platform answers with an ordinary call of `echo`; the receipt of its outcome closes the
circle. One missed probe changes nothing; two periods without proof mean that the link is no good, whatever its socket
says.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from edge_connector.core.clock import Clock
from edge_connector.core.tasks import TaskOwner
from edge_connector.runtime.state import PROOF_PERIOD_S, PROOF_VALID_S

log = logging.getLogger(__name__)


class Prober:
    """Asks for proof while the link is open. A `core.services.Service`."""

    name = "probe"

    def __init__(
        self,
        *,
        ask: Callable[[str], bool],
        prove_locally: Callable[[], Awaitable[bool]],
        on_proof: Callable[[], None],
        on_no_proof: Callable[[], None],
        clock: Clock,
        period_s: float = PROOF_PERIOD_S,
    ) -> None:
        """`ask` sends the probe and says whether it could be sent; `on_no_proof` is told after two periods without
        proof.
        """
        self._ask = ask
        self._prove_locally = prove_locally
        self._on_proof = on_proof
        self._on_no_proof = on_no_proof
        self._clock = clock
        self._period_s = period_s
        self._tasks = TaskOwner("probe")
        self._wake = asyncio.Event()
        self._open_since: float | None = None
        self._asked_at: dict[str, float] = {}
        self.supported = True
        """Whether the platform answers probes; without that the proof is local only."""
        self.proven_at: float | None = None
        """Monotonic moment of the last proof."""
        self.proven_wall: float | None = None
        self.round_trip_s: float | None = None

    async def start(self) -> None:
        """Begin; the first probe goes out as soon as the link is open."""
        self._tasks.spawn(self._run(), name="run")

    async def stop(self) -> None:
        """Ask no more."""
        await self._tasks.close()

    def link_opened(self, *, supported: bool) -> None:
        """The tools are registered: prove it now."""
        self.supported = supported
        self._open_since = self._clock.monotonic()
        self._asked_at.clear()
        self._wake.set()

    def link_closed(self) -> None:
        """No proof can come until the link is open again."""
        self._open_since = None
        self._asked_at.clear()

    def tools_changed(self) -> None:
        """Other code serves now: the old proof says nothing about it."""
        self._wake.set()

    def confirmed(self, nonce: str, tools_proven: bool) -> None:
        """The platform confirmed the outcome of the call that answered `nonce`."""
        asked_at = self._asked_at.pop(nonce, None)
        if asked_at is None:
            return
        if not tools_proven:
            log.warning("probe came back without a result: the link works, the tools did not")
            return
        self._proved(self._clock.monotonic() - asked_at)

    def _proved(self, round_trip_s: float) -> None:
        self.proven_at = self._clock.monotonic()
        self.proven_wall = self._clock.wall()
        self.round_trip_s = round_trip_s
        self._on_proof()

    async def _run(self) -> None:
        next_probe = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            moment = now + self._period_s if self._open_since is None else min(next_probe, self._overdue_at())
            try:
                async with asyncio.timeout(max(moment - now, 0.0)):
                    await self._wake.wait()
                next_probe = self._clock.monotonic()
            except TimeoutError:
                pass
            self._wake.clear()
            now = self._clock.monotonic()
            if self._open_since is None:
                continue
            if now >= self._overdue_at():
                log.warning("no proof for two periods, the link is given up")
                self.link_closed()
                self._on_no_proof()
            elif now >= next_probe:
                next_probe = now + self._period_s
                await self._probe()

    async def _probe(self) -> None:
        started = self._clock.monotonic()
        if not self.supported:
            if await self._prove_locally():
                self._proved(self._clock.monotonic() - started)
            return
        nonce = secrets.token_hex(8)
        if self._ask(nonce):
            self._asked_at[nonce] = started

    def _overdue_at(self) -> float:
        assert self._open_since is not None, "only an open link is probed"
        newest = max(self._open_since, self.proven_at or 0.0)
        return newest + PROOF_VALID_S / PROOF_PERIOD_S * self._period_s
