"""Keeps the link: dials, waits, dials again, while the program runs. What ended the link decides how long it waits.

Delays and their reset follow `core.backoff`; a refusal for good waits for a person, but looks again every five minutes,
since a deployment may be restored without anybody telling this machine.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from edge_connector.core.backoff import Backoff
from edge_connector.core.clock import Clock
from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.core.problems import KINDS
from edge_connector.core.status import LinkPhase
from edge_connector.core.tasks import TaskOwner
from edge_connector.link.connection import LinkConnection, LinkHandler
from edge_connector.link.transport import DialTarget, LinkDown, LinkPath, WebSocketTransport, dial
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import Retry

log = logging.getLogger(__name__)

SLOW_RETRY_S = 60.0
REFUSED_RETRY_S = 300.0
STEADY_S = 60.0
"""A link that was up this long has proved itself: the next delay starts at the beginning."""


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What is known of the link; a new one is handed out on each change."""

    phase: LinkPhase = LinkPhase.IDLE
    since: float = 0.0
    """Monotonic moment of the last change of phase."""
    attempt: int = 0
    next_attempt_at: float | None = None
    down: LinkDown | None = None
    """Why the link is not open, or None."""
    reconnects: int = 0


class Link:
    """The supervised link. A `core.services.Service`."""

    name = "link"

    def __init__(
        self,
        handler: LinkHandler,
        *,
        target: Callable[[], Awaitable[DialTarget]],
        hello: Callable[[], m.Hello],
        on_facts: Callable[[LinkFacts], None],
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._handler = handler
        self._target = target
        self._hello = hello
        self._on_facts = on_facts
        self._clock = clock
        self._draw = draw
        self._tasks = TaskOwner("link")
        self._redial = asyncio.Event()
        self._redial_reason = ""
        self._holds: set[str] = set()
        self._may_dial = asyncio.Event()
        self._may_dial.set()
        self._held = False
        self._proved = False
        self._connection: LinkConnection | None = None
        self._stopped = False
        self.facts = LinkFacts(since=clock.monotonic())
        self.last_path: LinkPath | None = None
        """Where the packets of the last socket went, open or not."""

    async def start(self) -> None:
        """Begin dialling; returns at once."""
        self._tasks.spawn(self._supervise(), name="supervise")

    async def stop(self) -> None:
        """Send what is queued, close the socket in order and dial no more."""
        self._stopped = True
        if self._connection is not None:
            await self._connection.close("the connector is stopping")
        await self._tasks.close()

    def send(self, message: m.Message) -> bool:
        """Queue `message` on the open session; False when there is none."""
        return self._connection is not None and self._connection.send(message)

    def send_status(self) -> None:
        """Report the status now, if connected."""
        if self._connection is not None:
            self._connection.send_status()

    def register_again(self) -> None:
        """Register the tools again, if connected."""
        if self._connection is not None:
            self._connection.register()

    def proved(self) -> None:
        """A call went the whole way: the next reconnect starts with the first delay."""
        self._proved = True

    def redial(self, reason: str) -> None:
        """Dial now instead of waiting, or cut a link that is no good and dial."""
        log.info("dialling again now reason=%s", reason)
        self._redial_reason = reason
        self._redial.set()

    async def hold(self, reason: str) -> None:
        """Close the socket in order and dial no more until `release` with the same reason; reasons add up."""
        self._holds.add(reason)
        self._may_dial.clear()
        if self._connection is not None:
            self._held = True
            # From now on it is not open, whatever the closing handshake still takes.
            self._enter(LinkPhase.IDLE, down=None, next_attempt_at=None)
            await self._connection.close(reason)
        else:
            # It waits or dials: neither has to go on.
            self._redial.set()

    def release(self, reason: str) -> None:
        """Dial again, at once, unless another reason to hold is left. Nothing happens when it was not held for this."""
        if reason not in self._holds:
            return
        self._holds.remove(reason)
        if not self._holds:
            self._may_dial.set()
            self._redial.set()

    @property
    def round_trip_s(self) -> float | None:
        """Seconds of the last heartbeat's round trip on the open link."""
        return self._connection.round_trip_s if self._connection is not None else None

    @property
    def is_open(self) -> bool:
        """Whether outcomes can be sent now."""
        return self._connection is not None and self._connection.is_open

    def registered(self) -> None:
        """The platform took the tools: the link is open."""
        self._enter(LinkPhase.OPEN, down=None, next_attempt_at=None)

    async def _supervise(self) -> None:
        backoff = Backoff()
        while not self._stopped:
            if not self._may_dial.is_set():
                self._enter(LinkPhase.IDLE, down=None, next_attempt_at=None)
                await self._may_dial.wait()
                backoff = Backoff()
            self._redial.clear()
            self._redial_reason = ""
            self._proved = False
            down, drain, up_s = await self._connect_once(backoff.attempt + 1)
            if self._held or not self._may_dial.is_set():
                # Closed on purpose: no failure to wait for.
                self._held = False
                continue
            if self._proved or up_s >= STEADY_S:
                backoff = Backoff()
            backoff = backoff.failed()
            await self._wait(down, drain, backoff)

    async def _connect_once(self, attempt: int) -> tuple[LinkDown, m.Drain | None, float]:
        """Dial and serve until the link is down: why, the platform's drain window if any, and seconds it was open."""
        self._enter(LinkPhase.DIALLING, attempt=attempt, next_attempt_at=None)
        try:
            target = await self._target()
            transport = await dial(target)
        except LinkDown as down:
            return down, None, 0.0
        except EdgeError as error:
            # Where the problem has a cure of its own (an expired token), that one is shown.
            problem = error.code if error.code in KINDS else "needs_login"
            # What may be there soon (a locked keyring, a platform that renews the token) is asked for again soon.
            retry = Retry.BACKOFF if isinstance(error, NotConnected) else Retry.NEVER
            return LinkDown(problem, error.message, retry=retry), None, 0.0
        except Exception as error:
            log.exception("dialling failed in a way that is a bug")
            return LinkDown("internal_error", repr(error)), None, 0.0
        self.last_path = transport.path
        self._enter(LinkPhase.HANDSHAKE)
        self._connection = connection = LinkConnection(transport, self._hello(), self._handler, self._clock)
        serving = self._tasks.spawn(connection.run(), name="serve")
        redial = self._tasks.spawn(self._redial.wait(), name="redial")
        try:
            await asyncio.wait({serving, redial}, return_when=asyncio.FIRST_COMPLETED)
            ended = await self._end_of(serving, transport)
        finally:
            serving.cancel()
            redial.cancel()
            self._connection = None
        up_s = self._clock.monotonic() - connection.opened_at if connection.opened_at is not None else 0.0
        if not self._stopped and not self._held and self._may_dial.is_set():
            log.warning("Disconnected from platform server cause=%s detail=%s", ended.problem, ended.detail)
        return ended, connection.drain, up_s

    async def _end_of(self, serving: asyncio.Task[LinkDown], transport: WebSocketTransport) -> LinkDown:
        """Why serving ended; it is cut off when it goes on, because a redial was asked for."""
        if not serving.done():
            transport.abort()
            serving.cancel()
            await asyncio.wait({serving})
            return LinkDown("disconnected", self._redial_reason or "dialling again on request")
        try:
            return serving.result()
        except Exception as error:
            # A bug in a handler, logged with its traceback by the task's owner. The link has to come back all the same.
            transport.abort()
            return LinkDown("internal_error", repr(error))

    async def _wait(self, down: LinkDown, drain: m.Drain | None, backoff: Backoff) -> None:
        delay_s = decide_delay_s(down, drain, backoff, self._draw)
        phase = LinkPhase.REFUSED if down.retry is Retry.NEVER else LinkPhase.WAITING
        self._enter(
            phase,
            attempt=backoff.attempt,
            down=down,
            next_attempt_at=self._clock.monotonic() + delay_s,
            reconnects=self.facts.reconnects + 1,
        )
        log.info(
            "link is down cause=%s detail=%s attempt=%d next_attempt_in_s=%.1f",
            down.problem, down.detail, backoff.attempt, delay_s,
        )  # fmt: skip
        try:
            async with asyncio.timeout(delay_s):
                await self._redial.wait()
        except TimeoutError:
            pass

    def _enter(self, phase: LinkPhase, **changes: object) -> None:
        if phase is not self.facts.phase:
            log.debug("= link %s -> %s", self.facts.phase, phase)
            changes["since"] = self._clock.monotonic()
        self.facts = replace(self.facts, phase=phase, **changes)  # type: ignore[arg-type]
        self._on_facts(self.facts)


def decide_delay_s(down: LinkDown, drain: m.Drain | None, backoff: Backoff, draw: Callable[[], float]) -> float:
    """Seconds until the next attempt; `draw` gives a number in [0, 1)."""
    if drain is not None:
        spread_ms = max(drain.reconnect_max_ms - drain.reconnect_min_ms, 0)
        return (drain.reconnect_min_ms + spread_ms * draw()) / 1000
    if down.retry is Retry.NEVER:
        return REFUSED_RETRY_S
    if down.retry is Retry.SLOW:
        return SLOW_RETRY_S
    return backoff.delay_s(draw)
