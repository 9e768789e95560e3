"""The status board: collects facts, decides the state from them, and publishes one `RuntimeStatus` to whoever watches.

It is the only place where a state is entered; every transition is logged with its cause.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from edge_connector import __version__
from edge_connector.core.clock import Clock, to_iso
from edge_connector.core.feed import Feed
from edge_connector.core.problems import Severity, describe
from edge_connector.core.status import (
    Activity,
    Authorised,
    BundleStatus,
    Calls,
    Health,
    Host,
    LedgerStatus,
    Link,
    LinkPhase,
    Paused,
    Problem,
    Process,
    Proven,
    RuntimeStatus,
    SignInStatus,
    State,
    ToolStatus,
    WorkerStatus,
)
from edge_connector.core.words import sentence
from edge_connector.runtime.state import Facts, next_state

log = logging.getLogger(__name__)

PUBLISH_INTERVAL_S = 0.2
"""Changes within this time are published together."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """What the board needs to know of the link."""

    phase: LinkPhase
    since: float
    url: str
    attempt: int = 0
    next_attempt_at: float | None = None
    session_id: str = ""
    round_trip_s: float | None = None
    last_error: str = ""
    reconnects: int = 0


@dataclass(frozen=True, slots=True)
class ProofView:
    """What the board needs to know of the last proof."""

    supported: bool = True
    age_s: float | None = None
    wall: float | None = None
    round_trip_s: float | None = None


class Sources:
    """Where the board reads the parts that others own; set once by the composition."""

    link: Callable[[], LinkView]
    proof: Callable[[], ProofView]
    calls: Callable[[], Calls]
    tools: Callable[[], list[ToolStatus]]
    workers: Callable[[], list[WorkerStatus]]
    bundle: Callable[[], BundleStatus]
    health: Callable[[], Health]
    authorised: Callable[[], Authorised]
    paused: Callable[[], Paused | None]
    activity: Callable[[], Activity]
    ledger: Callable[[], LedgerStatus]
    sign_in: Callable[[], SignInStatus]


class StatusBoard:
    """Facts in, status out."""

    def __init__(self, sources: Sources, *, directory: Path, instance_id: str, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._directory = directory
        self._instance_id = instance_id
        self._started_wall = clock.wall()
        self._started = clock.monotonic()
        self._flags = Facts()
        self._problems: dict[str, Problem] = {}
        self._state = State.CONNECTING
        self._state_since = clock.wall()
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._publish_scheduled = False
        self._feed: Feed[RuntimeStatus] | None = None
        self._reported: tuple[State, frozenset[str]] = (self._state, frozenset())
        self.on_news: Callable[[], None] = lambda: None
        """Called when the state or the set of problems changed."""

    # ---- facts in

    def set_flags(
        self,
        *,
        stopping: bool | None = None,
        needs_person: bool | None = None,
        paused: bool | None = None,
        asleep: bool | None = None,
    ) -> None:
        """Change what the state depends on besides link and proof."""
        old = self._flags
        self._flags = new = replace(
            old,
            stopping=old.stopping if stopping is None else stopping,
            needs_person=old.needs_person if needs_person is None else needs_person,
            paused=old.paused if paused is None else paused,
            asleep=old.asleep if asleep is None else asleep,
        )
        names = ("stopping", "needs_person", "paused", "asleep")
        changes = [
            (name.replace("_", " "), getattr(new, name))
            for name in names
            if getattr(new, name) is not getattr(old, name)
        ]
        self.changed(", ".join(word if is_on else f"not {word} any more" for word, is_on in changes) or "link")

    def raise_problem(self, code: str, *, key: str = "", **words: str) -> None:
        """Show a declared problem until it is cleared; `key` tells several of one kind apart."""
        kind, text, fix = describe(code, **words)
        key = key or code
        known = self._problems.get(key)
        if known is not None and known.sentence == text:
            return
        since = known.since if known is not None else to_iso(self._clock.wall())
        self._problems[key] = Problem(code=code, severity=kind.severity, sentence=text, fix=fix, since=since)
        level = logging.WARNING if kind.severity is Severity.WARNING else logging.ERROR
        log.log(level, "problem code=%s sentence=%s fix=%s", code, text, fix)
        self.changed(code)

    def clear_problems(self, *codes: str, prefix: str = "") -> None:
        """Take problems down: by code, or by the prefix of their keys."""
        gone = [key for key in self._problems if key in codes or (prefix and key.startswith(prefix))]
        for key in gone:
            del self._problems[key]
        if gone:
            self.changed("cleared " + ", ".join(gone))

    def changed(self, why: str) -> None:
        """A fact changed: decide the state again and publish soon."""
        self._decide(why)
        self.publish_soon()

    def look_again(self) -> None:
        """Time passed: decide again, publish when that made a difference. Who shows ages counts them."""
        if self._decide("time"):
            self.publish_soon()

    def publish_soon(self) -> None:
        """Something changed that the state does not depend on, such as the number of calls."""
        if self._feed is not None and self._feed.is_watched and not self._publish_scheduled:
            self._publish_scheduled = True
            asyncio.get_running_loop().call_later(PUBLISH_INTERVAL_S, self._publish)

    # ---- status out

    @property
    def state(self) -> State:
        """The state now."""
        return self._state

    @property
    def problems(self) -> list[Problem]:
        """The problems now, worst first."""
        order = [Severity.PERSON, Severity.ERROR, Severity.WARNING]
        return sorted(self._problems.values(), key=lambda problem: order.index(Severity(problem.severity)))

    @property
    def state_since(self) -> float:
        """Wall-clock moment of the last transition."""
        return self._state_since

    def watch(self) -> AsyncIterator[RuntimeStatus]:
        """The status now and after each change; while nobody watches, none is put together."""
        if self._feed is None:
            self._feed = Feed(self.snapshot())
        else:
            self._feed.refresh(self.snapshot())
        return self._feed.watch()

    def snapshot(self) -> RuntimeStatus:
        """The whole status now."""
        self._decide("time")
        sources, now = self._sources, self._clock.monotonic()
        link, proof = sources.link(), sources.proof()
        memory = psutil.virtual_memory()
        next_in = None if link.next_attempt_at is None else round(max(link.next_attempt_at - now, 0.0), 1)
        age = None if proof.age_s is None else round(proof.age_s, 1)
        return RuntimeStatus(
            state=self._state,
            since=to_iso(self._state_since),
            sentence=sentence(self._state, proof_age_s=age, next_attempt_in_s=next_in, phase=link.phase),
            problems=self.problems,
            draining=self._flags.stopping,
            process=Process(
                pid=os.getpid(),
                version=__version__,
                started_at=to_iso(self._started_wall),
                uptime_s=round(now - self._started, 1),
                directory=str(self._directory),
                instance_id=self._instance_id,
                host=socket.gethostname(),
                platform=platform.platform(terse=True),
                python=platform.python_version(),
                loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
                cpu_percent=self._process.cpu_percent(),
                memory_bytes=self._process.memory_info().rss,
            ),
            link=Link(
                phase=link.phase,
                url=link.url,
                since=to_iso(self._clock.wall() - (now - link.since)),
                attempt=link.attempt,
                next_attempt_in_s=next_in,
                session_id=link.session_id,
                round_trip_ms=_milliseconds(link.round_trip_s),
                last_error=link.last_error,
                reconnects=link.reconnects,
            ),
            authorised=sources.authorised(),
            proven=Proven(
                at="" if proof.wall is None else to_iso(proof.wall),
                age_s=age,
                round_trip_ms=_milliseconds(proof.round_trip_s),
                kind="platform" if proof.supported else "local",
            ),
            tools=sources.tools(),
            bundle=sources.bundle(),
            calls=sources.calls(),
            workers=sources.workers(),
            host=Host(
                cpus=os.cpu_count() or 1,
                cpu_percent=psutil.cpu_percent(),
                memory_total_bytes=memory.total,
                memory_available_bytes=memory.available,
                disk_free_bytes=shutil.disk_usage(self._directory).free,
            ),
            health=sources.health(),
            paused=sources.paused(),
            activity=sources.activity(),
            ledger=sources.ledger(),
            sign_in=sources.sign_in(),
        )

    def _facts(self) -> Facts:
        proof = self._sources.proof()
        harmless = sum(1 for problem in self._problems.values() if problem.severity == Severity.WARNING)
        return replace(
            self._flags,
            link=self._sources.link().phase,
            proof_age_s=proof.age_s,
            problems=harmless,
        )

    def _decide(self, why: str) -> bool:
        """Whether the state or the set of problems is another one now."""
        facts = self._facts()
        state = next_state(facts)
        if state is not self._state:
            words = f"link {facts.link}" if why == "link" else f"{why}; link {facts.link}"
            log.info("state %s -> %s (%s)", self._state, state, words)
            self._state, self._state_since = state, self._clock.wall()
        news = (state, frozenset(self._problems))
        if news == self._reported:
            return False
        self._reported = news
        self.on_news()
        return True

    def _publish(self) -> None:
        self._publish_scheduled = False
        if self._feed is not None:
            self._feed.publish(self.snapshot())


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
