"""The connector: composes lock, health, tools, control, uplink and probe, and owns their beginning and end.

It is hosted by whatever runs a loop (the `run` command, the demo, the desktop): it installs no signal handlers and
never exits the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from edge_connector import __version__
from edge_connector.auth.browser import open_page
from edge_connector.config.loading import LoadedConfig
from edge_connector.config.paths import InstallationPaths, instance_id, prepare_directory
from edge_connector.control.address import control_address
from edge_connector.control.lock import RuntimeLock
from edge_connector.control.server import ControlServer
from edge_connector.core.clock import Clock, SystemClock, to_iso
from edge_connector.core.errors import Fatal, NeedsLogin, NotConnected
from edge_connector.core.log import hide
from edge_connector.core.metrics import Sample
from edge_connector.core.services import ServiceStack
from edge_connector.core.tasks import TaskOwner
from edge_connector.health.server import HealthServer
from edge_connector.runtime.activity import ActivityLog
from edge_connector.runtime.board import Sources, StatusBoard
from edge_connector.runtime.calls import CallDesk
from edge_connector.runtime.commands import Commands
from edge_connector.runtime.facts import fill_sources
from edge_connector.runtime.liveness import Liveness
from edge_connector.runtime.metrics import collect
from edge_connector.runtime.pause import Pause
from edge_connector.runtime.sign_in import SignInDesk
from edge_connector.runtime.uplink import Uplink
from edge_connector.tools.calls import MIB, ExecutorConfig
from edge_connector.tools.environment import scrubbed_environment
from edge_connector.tools.executor import ToolExecutor
from edge_connector.tools.ledger.ledger import CallLedger
from edge_connector.tools.ledger.retention import Limits
from edge_connector.wire import messages as m

log = logging.getLogger(__name__)

PAUSE_FILE = "paused.json"
PAUSED = "paused"
SERVICE_STOP_S = 5.0
RECEIPT_WAIT_S = 5.0
"""How long a stopping connector waits for the platform to confirm the last outcomes."""


class ConnectorRuntime:
    """One connector for one installation directory.

    runtime = ConnectorRuntime(loaded)
    await runtime.run()        # returns after stop() and everything ended
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        take_over: bool = False,
        exit_when_refused: bool = False,
        auto_resume: bool = False,
        stay_without_credentials: bool = False,
        next_free_health_port: bool = False,
        is_desktop: bool = False,
        sign_in_at_start: bool = False,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Make a runtime; nothing is touched yet.

        Args:
            take_over: ask the platform to close another installation's session of this deployment.
            exit_when_refused: end `run` with `Fatal` when the very first connection is refused for good.
            auto_resume: go on with the pause of the last run.
            stay_without_credentials: be there in the state `needs_you` instead of failing with `NeedsLogin`.
            is_desktop: it is a person's own: signed in, it gets a deployment of its own.
            sign_in_at_start: begin a sign-in in the browser, once, when there is nothing to connect with: a person has
                just started the program and sits before it.
            next_free_health_port: take any free port when the health port is taken (R7: the desktop's default port).
        """
        self._loaded = loaded
        self._settings = loaded.settings
        self._paths = InstallationPaths(loaded.directory)
        self._clock = clock or SystemClock()
        self._draw = draw
        self._take_over = take_over
        self._exit_when_refused = exit_when_refused
        self._auto_resume = auto_resume
        self._stay_without_credentials = stay_without_credentials
        self._next_free_health_port = next_free_health_port
        self._is_desktop = is_desktop
        self._sign_in_at_start = sign_in_at_start
        self._stop_requested = asyncio.Event()
        self._hard_stop = asyncio.Event()
        self._refusal: Fatal | None = None
        self._stack = ServiceStack(stop_budget_s=SERVICE_STOP_S)
        self._tasks = TaskOwner("runtime")
        self._lock = RuntimeLock(self._paths.lock_file)
        self._health: HealthServer | None = None
        self._pausing: asyncio.Task[None] | None = None
        self._starting: asyncio.Timeout | None = None
        self.started = asyncio.Event()
        """Set when everything serves and the first dial has begun."""

    # ---- life

    async def run(self) -> None:
        """Start, serve until `stop`, stop everything.

        Raises:
            LockHeld: another runtime holds this directory.
            NeedsLogin: there are no usable credentials.
            UserError: the directory, the health port or a file cannot be used.
            Fatal: the platform refused this connector for good (only with `exit_when_refused`).
        """
        prepare_directory(self._paths.directory)
        self._lock.acquire(self._lock_content)
        try:
            self._compose()
            if await self._start_unless_stopped():
                self.started.set()
                await self._stop_requested.wait()
                await self._drain()
        finally:
            await self._tasks.close()
            if self._health is not None:
                await self.pause.stop()
            await self._stack.stop()
            self._lock.release()
        log.info("stopped")
        if self._refusal is not None:
            raise self._refusal

    def stop(self, *, hard: bool = False) -> None:
        """Begin to stop; `hard` gives running calls no more time. Idempotent; legal at any moment."""
        if hard:
            self._hard_stop.set()
        if not self._stop_requested.is_set():
            log.info("stopping hard=%s running=%d", hard, self.desk.open if self.started.is_set() else 0)
        self._stop_requested.set()
        if self._starting is not None:
            self._starting.reschedule(0)
            self._starting = None

    async def _start_unless_stopped(self) -> bool:
        """Start; False when `stop` came meanwhile: importing tools can take long, and nobody waits for that."""
        if self._stop_requested.is_set():
            return False
        try:
            async with asyncio.timeout(None) as scope:
                self._starting = scope
                try:
                    await self._start()
                finally:
                    self._starting = None
        except TimeoutError:
            if not scope.expired():
                raise
            return False
        return True

    def _compose(self) -> None:
        settings = self._settings
        hide(settings.deployment_secret)
        hide(settings.api_token)
        sources = Sources()
        identity = instance_id(self._paths.directory)
        self.board = StatusBoard(sources, directory=self._paths.directory, instance_id=identity, clock=self._clock)
        self._uplink = Uplink(
            self._loaded,
            board=self.board,
            clock=self._clock,
            instance_id=identity,
            take_over=self._take_over,
            on_refused=self._on_refused,
            draw=self._draw,
        )
        self._link = self._uplink.link
        self.sign_in = SignInDesk(
            self._loaded,
            board=self.board,
            clock=self._clock,
            instance_id=identity,
            host=self._uplink.host,
            draw=self._draw,
            on_change=self._on_credentials_changed,
            on_ended=self._uplink.set_sign_in_ended,
            is_desktop=self._is_desktop and settings.connector_type == "DESKTOP",
            at_start=self._sign_in_at_start,
            open_address=lambda address: open_page(address),
        )
        self.activity = ActivityLog(self._clock, self._is_served)
        self.ledger = CallLedger(
            self._paths.ledger_file,
            limits=Limits(max_age_s=settings.ledger_days * 86_400, max_bytes=settings.ledger_max_mb * MIB),
            clock=self._clock,
            on_problem=self._on_ledger_problem,
        )
        self.desk = CallDesk(
            self._uplink.large_results.send,
            ledger=self.ledger,
            on_change=self.board.publish_soon,
            on_finished=self.activity.finished,
            clock=self._clock,
        )
        self.pause = Pause(
            self._paths.directory / PAUSE_FILE, self._clock, on_pause=self._on_pause, on_resume=self._on_resume
        )
        self.executor = ToolExecutor(self._executor_config(), self.desk)
        self.desk.attach(self.executor)
        self.commands = Commands(self)
        """What programs on this machine may ask; the command socket and a front end in this process use it."""
        self._liveness = Liveness(
            link=self._link,
            board=self.board,
            lock=self._lock,
            prove_locally=self.commands.prove_locally,
            clock=self._clock,
        )
        prober = self._liveness.prober
        self.desk.on_probe_done = prober.confirmed
        self.board.on_news = self._link.send_status
        self._uplink.attach(self.executor, self.desk, prober)
        self._health = HealthServer(
            host=settings.health_host,
            port=settings.health_port,
            allowed_hosts=settings.health_allowed_hosts,
            status=self.board.snapshot,
            is_ready=self._is_ready,
            metrics=self._metrics,
            next_free=self._next_free_health_port,
        )
        fill_sources(
            sources,
            settings=settings,
            uplink=self._uplink,
            prober=prober,
            executor=self.executor,
            desk=self.desk,
            ledger=self.ledger,
            health=self._health,
            pause=self.pause,
            activity=self.activity,
            sign_in=self.sign_in,
        )

    async def _start(self) -> None:
        assert self._health is not None, "composed before started"
        for warning in self._loaded.warnings:
            self.board.raise_problem("configuration", key=f"configuration:{warning.message}", detail=warning.message)
        # Health listens before anything can take time, so that probes hear 503 and not silence.
        await self._stack.start(self._health)
        self._lock.write(self._lock_content())
        try:
            await self._uplink.check_credentials()
        except NotConnected as error:
            # A locked keyring is not signed out, and a platform that is away may renew the token later: the link waits.
            log.info("credentials not to be had yet code=%s", error.code)
        except NeedsLogin:
            # The link finds them missing too and shows the problem; it looks again now and then.
            if not self._stay_without_credentials:
                raise
        if self._auto_resume:
            self.pause.restore()
        else:
            self.pause.forget()
        # Before the tools, whose import can take long: `status` and `stop` are answered meanwhile.
        hello = {"program": "edge-connector", "release": __version__, "pid": os.getpid()}
        address = control_address(self._paths.directory)
        await self._stack.start(
            ControlServer(address, self.commands, hello={**hello, "directory": str(self._paths.directory)})
        )
        await self._stack.start(self.ledger)
        await self._stack.start(self.executor)
        self._on_tools_changed()
        self._tasks.spawn(self._follow_tools(), name="tools")
        await self._stack.start(self._liveness)
        await self._stack.start(self._uplink.large_results)
        await self._stack.start(self._link)
        await self._stack.start(self.sign_in)
        log.info(
            "started version=%s pid=%d directory=%s tools=%d",
            __version__, os.getpid(), self._paths.directory, len(self.executor.tools),
        )  # fmt: skip

    async def _drain(self) -> None:
        """No new work, running calls finish within the grace period, their outcomes are delivered."""
        self.board.set_flags(stopping=True)
        self._link.send(m.Goodbye(reason="stopping"))
        self._link.send_status()
        grace_s = 0.0 if self._hard_stop.is_set() else self._settings.shutdown_grace_s
        if self.desk.open:
            log.info("waiting for running calls count=%d grace_s=%.0f", self.desk.open, grace_s)
        draining = self._tasks.spawn(self.executor.drain(grace_s), name="drain")
        hard = self._tasks.spawn(self._hard_stop.wait(), name="hard stop")
        await asyncio.wait({draining, hard}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            draining.cancel()
            await asyncio.wait({draining})
            await self.executor.drain(0.0)
        hard.cancel()
        await self._wait_for_receipts()

    async def _wait_for_receipts(self) -> None:
        """Until the platform confirmed every outcome, while that can happen."""
        if not self._link.is_open or self._hard_stop.is_set():
            return
        settled = self._tasks.spawn(self.desk.settled(), name="receipts")
        deadline = self._clock.monotonic() + RECEIPT_WAIT_S
        while not settled.done() and self._link.is_open and not self._hard_stop.is_set():
            if self._clock.monotonic() > deadline:
                break
            await asyncio.wait({settled}, timeout=0.1)
        if not settled.done():
            log.warning("outcomes without receipt count=%d", self.desk.unconfirmed)
            settled.cancel()

    # ---- what changes

    def _on_pause(self) -> None:
        self.board.set_flags(paused=True)
        self._link.send(m.Goodbye(reason=PAUSED))
        self._pausing = self._tasks.spawn(self._step_back(), name="pause")

    async def _step_back(self) -> None:
        """Running calls finish, then the platform sees this connector offline because it is paused."""
        try:
            async with asyncio.timeout(self._settings.shutdown_grace_s):
                await self.desk.settled()
        except TimeoutError:
            log.info("paused with running calls, their outcomes follow after resuming count=%d", self.desk.open)
        await self._link.hold(PAUSED)

    def _on_resume(self) -> None:
        if self._pausing is not None:
            self._pausing.cancel()
        self.board.set_flags(paused=False)
        self._link.release(PAUSED)

    def _on_refused(self, refusal: Fatal) -> None:
        if self._exit_when_refused:
            self._refusal = refusal
            self.stop()

    def _on_credentials_changed(self, reason: str) -> None:
        self._tasks.spawn(self._uplink.credentials_changed(reason), name="credentials")

    async def _follow_tools(self) -> None:
        async for _ in self.executor.changes.watch():
            self._on_tools_changed()

    def _on_tools_changed(self) -> None:
        self.board.clear_problems(prefix="tool:")
        for problem in self.executor.problems:
            code = "workers_unavailable" if problem.code == "workers_unavailable" else "tool_problem"
            self.board.raise_problem(code, key=f"tool:{problem.code}:{problem.name}", detail=problem.message)
        self._link.register_again()
        self._liveness.prober.tools_changed()
        self.board.changed("tools")

    def _on_ledger_problem(self, code: str, detail: str) -> None:
        if code:
            self.board.raise_problem(code, detail=detail)
        else:
            self.board.clear_problems("ledger_unavailable")

    def _is_ready(self) -> bool:
        return not self._stop_requested.is_set() and self._liveness.is_ready()

    def _is_served(self, tool: str) -> bool:
        return any(info.name == tool for info in self.executor.tools)

    def _metrics(self) -> list[Sample]:
        return collect(
            self.board.snapshot(),
            self.activity.counts,
            self.executor.counters,
            ready=self._is_ready(),
            dropped=self.desk.dropped,
            ledger=self._paths.ledger_file,
        )

    # ---- parts

    def _executor_config(self) -> ExecutorConfig:
        settings = self._settings
        implementations = settings.implementations_path
        return ExecutorConfig(
            implementations=implementations if implementations.exists() else None,
            scratch_root=self._paths.scratch,
            concurrency=settings.tool_concurrency,
            queue=settings.tool_queue,
            default_timeout_s=settings.tool_timeout_s,
            worker_memory_bytes=settings.tool_memory_mb * MIB,
            max_result_bytes=settings.tool_max_result_kb * 1024,
            max_children=settings.tool_max_children,
            environment=scrubbed_environment(os.environ, settings.tool_environment),
            log_file=self._paths.log_file,
            platform_url=settings.platform_api_url,
        )

    def _lock_content(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "version": __version__,
            "startedAt": to_iso(self._clock.wall()),
            "program": sys.argv[0],
            "control": str(control_address(self._paths.directory)),
            "healthPort": self._health.port if self._health is not None else 0,
        }

    # ---- what commands use

    @property
    def directory(self) -> Path:
        """The installation directory."""
        return self._paths.directory

    def redial(self, reason: str) -> None:
        """Dial now."""
        self._link.redial(reason)

    async def watch_status(self) -> AsyncIterator[dict[str, Any]]:
        """The status document now and after each change."""
        async for status in self.board.watch():
            yield msgspec.to_builtins(status)
