"""Where the front end gets its status from and sends its requests to: a runtime in this process or in another one.

It shows nothing and decides nothing; every source speaks the documents and requests of docs/control.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QObject, Qt, Signal

from edge_connector import __version__
from edge_connector.control.client import ControlClient
from edge_connector.core.clock import SystemClock, to_iso
from edge_connector.core.errors import EdgeError, LockHeld, NotConnected
from edge_connector.core.feed import Feed
from edge_connector.core.status import SCHEMA_VERSION, LinkPhase, State
from edge_connector.core.tasks import TaskOwner

if TYPE_CHECKING:
    from edge_connector.runtime.app import ConnectorRuntime

log = logging.getLogger(__name__)

ATTACH_AGAIN_S = 2.0
"""Between two looks for a runtime that went away."""
REQUEST_TIMEOUT_S = 30.0

MakeRuntime = Callable[[], "ConnectorRuntime"]
"""Makes a runtime; called on the loop it will run on."""


class StatusSource(Protocol):
    """What the window and the tray are given."""

    @property
    def is_hosted(self) -> bool:
        """Whether this process runs the connector itself."""
        ...

    def watch(self) -> AsyncIterator[dict[str, Any]]:
        """The status document now and after each change."""
        ...

    async def request(self, method: str, *, timeout_s: float | None = REQUEST_TIMEOUT_S, **params: Any) -> Any:
        """One request of docs/control.md.

        Raises:
            EdgeError: what the connector answered.
            NotConnected: no connector runs.
        """
        ...


class HostedSource:
    """A runtime on the loop of the front end."""

    is_hosted = True

    def __init__(self, make_runtime: MakeRuntime, directory: Path) -> None:
        self._make = make_runtime
        self._directory = directory
        self._feed = Feed(bare_document(directory, State.CONNECTING))
        self._runtime: ConnectorRuntime | None = None
        self._stop: bool | None = None

    async def run(self) -> None:
        """Run the connector until `stop`; it can be run again.

        Raises:
            EdgeError: what `ConnectorRuntime.run` raises.
        """
        tasks = TaskOwner("hosted")
        runtime = self._make()
        tasks.spawn(relay_status(runtime, self._feed.publish), name="status")
        self._runtime = runtime
        if self._stop is not None:
            runtime.stop(hard=self._stop)
        try:
            await runtime.run()
        finally:
            self._runtime = None
            await tasks.close()
            self._feed.publish(bare_document(self._directory, State.STOPPED))

    def stop(self, *, hard: bool = False) -> None:
        """See `ConnectorRuntime.stop`; it counts for a run that has not begun as well."""
        self._stop = hard
        if self._runtime is not None:
            self._runtime.stop(hard=hard)

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        async for document in self._feed.watch():
            yield document

    async def request(self, method: str, *, timeout_s: float | None = REQUEST_TIMEOUT_S, **params: Any) -> Any:
        runtime = self._runtime
        if runtime is None:
            raise not_running(self._directory)
        return await ask_runtime(runtime, method, params, timeout_s)


class ThreadSource:
    """A runtime on an event loop of its own in a thread beside Qt: a stalled window does not stall the link."""

    is_hosted = True

    def __init__(
        self,
        make_runtime: MakeRuntime,
        directory: Path,
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self._make = make_runtime
        self._directory = directory
        self._loop_factory = loop_factory
        self._feed = Feed(bare_document(directory, State.CONNECTING))
        self._bridge = _Bridge(self._feed.publish)
        self._guard = threading.Lock()
        self._runtime: ConnectorRuntime | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: bool | None = None

    async def run(self) -> None:
        """See `HostedSource.run`; returns when the thread has ended."""
        ended: Future[None] = Future()
        thread = threading.Thread(target=self._run_thread, args=(ended,), name="runtime", daemon=True)
        thread.start()
        try:
            # Shielded: a cancelled front end still has to wait for the drain of the runtime.
            await asyncio.shield(asyncio.wrap_future(ended))
        except asyncio.CancelledError:
            self.stop(hard=True)
            await asyncio.wrap_future(ended)
            raise
        finally:
            await asyncio.to_thread(thread.join)
            self._bridge.flush()
            self._feed.publish(bare_document(self._directory, State.STOPPED))

    def _run_thread(self, ended: Future[None]) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._host())
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    async def _host(self) -> None:
        tasks = TaskOwner("threaded")
        runtime = self._make()
        tasks.spawn(relay_status(runtime, self._bridge.publish), name="status")
        with self._guard:
            self._runtime, self._loop = runtime, asyncio.get_running_loop()
            stop = self._stop
        if stop is not None:
            runtime.stop(hard=stop)
        try:
            await runtime.run()
        finally:
            with self._guard:
                self._runtime = self._loop = None
            await tasks.close()

    def stop(self, *, hard: bool = False) -> None:
        """See `HostedSource.stop`."""
        with self._guard:
            self._stop = hard
            if self._runtime is not None and self._loop is not None:
                runtime = self._runtime
                self._loop.call_soon_threadsafe(lambda: runtime.stop(hard=hard))

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        async for document in self._feed.watch():
            yield document

    async def request(self, method: str, *, timeout_s: float | None = REQUEST_TIMEOUT_S, **params: Any) -> Any:
        with self._guard:
            if self._runtime is None or self._loop is None:
                raise not_running(self._directory)
            asked = asyncio.run_coroutine_threadsafe(ask_runtime(self._runtime, method, params, timeout_s), self._loop)
        return await asyncio.wrap_future(asked)


class _Bridge(QObject):
    """Carries the newest status from the runtime's thread to Qt's; a stalled Qt gets the newest, never a backlog."""

    _changed = Signal()

    def __init__(self, deliver: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._deliver = deliver
        self._guard = threading.Lock()
        self._newest: dict[str, Any] | None = None
        self._changed.connect(self.flush, Qt.ConnectionType.QueuedConnection)

    def publish(self, document: dict[str, Any]) -> None:
        """Called on the runtime's thread."""
        with self._guard:
            is_on_its_way = self._newest is not None
            self._newest = document
        if not is_on_its_way:
            self._changed.emit()

    def flush(self) -> None:
        """Deliver what is on its way; called on Qt's thread."""
        with self._guard:
            document, self._newest = self._newest, None
        if document is not None:
            self._deliver(document)


class AttachedSource:
    """A runtime in another process, over its command socket; shown as stopped while there is none."""

    is_hosted = False

    def __init__(self, directory: Path, *, again_s: float = ATTACH_AGAIN_S) -> None:
        self._directory = directory
        self._again_s = again_s

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        was_there = True
        while True:
            try:
                async with ControlClient(self._directory) as client:
                    was_there = True
                    log.info("attached pid=%s", client.hello.get("pid"))
                    async with contextlib.aclosing(client.watch()) as documents:  # type: ignore[type-var]
                        async for document in documents:
                            yield document
            except NotConnected:
                if was_there:
                    log.info("the connector of this directory does not run; waiting for it")
                    was_there = False
                    yield bare_document(self._directory, State.STOPPED)
            except EdgeError as error:
                was_there = False
                yield bare_document(self._directory, State.STOPPED, error)
            await asyncio.sleep(self._again_s)

    async def request(self, method: str, *, timeout_s: float | None = REQUEST_TIMEOUT_S, **params: Any) -> Any:
        # A connection for each: answers may take as long as a tool does, and nothing has to be sorted.
        async with ControlClient(self._directory) as client:
            return await client.request(method, timeout_s=timeout_s, **params)


async def relay_status(runtime: ConnectorRuntime, publish: Callable[[dict[str, Any]], None]) -> None:
    """Pass on the runtime's status from its start on."""
    await runtime.started.wait()
    async for document in runtime.watch_status():
        publish(document)


async def ask_runtime(runtime: ConnectorRuntime, method: str, params: dict[str, Any], timeout_s: float | None) -> Any:
    """One request to a runtime of this process, on the runtime's loop."""
    if not runtime.started.is_set():
        raise NotConnected("starting", "The connector is still starting.", hint="Try again in a moment.")
    try:
        async with asyncio.timeout(timeout_s):
            return await runtime.commands.handle(method, params)
    except TimeoutError as error:
        raise NotConnected(
            "no_answer", f"The connector did not answer `{method}` within {timeout_s:.0f} s.", hint="Look at its log."
        ) from error


def not_running(directory: Path) -> NotConnected:
    """The error of a request while nothing runs."""
    return NotConnected(
        "not_running", f"No connector runs for {directory}.", hint="Start it again from the tray or the window."
    )


def bare_document(directory: Path, state: State, error: EdgeError | None = None) -> dict[str, Any]:
    """The status of a connector that tells nothing itself: it starts in this process, is stopped, or failed."""
    now = to_iso(SystemClock().wall())
    document: dict[str, Any] = {"schemaVersion": SCHEMA_VERSION, "state": str(state), "since": now, "problems": []}
    if error is not None:
        document["problems"] = [
            {"code": error.code, "severity": "person", "sentence": error.message, "fix": error.hint, "since": now}
        ]
    if state is not State.STOPPED:
        process = {"pid": os.getpid(), "version": __version__, "startedAt": now, "directory": str(directory)}
        document["process"] = process
        document["link"] = {"phase": str(LinkPhase.DIALLING), "url": "", "since": now}
    return document


class ChosenSource:
    """What the front end uses: it hosts the connector, and attaches when another process runs it already.

    An end in order ends `run`; a failure is shown as a problem, and `start_again` tries once more.
    """

    def __init__(
        self,
        hosted: HostedSource | ThreadSource,
        directory: Path,
        *,
        recover: Callable[[EdgeError], bool] = lambda error: False,
    ) -> None:
        """`recover` hears why the connector did not start; True when another try is worth it."""
        self._hosted = hosted
        self._recover = recover
        self._attached = AttachedSource(directory)
        self._current: StatusSource = hosted
        self._directory = directory
        self._feed = Feed(bare_document(directory, State.CONNECTING))
        self._wake = asyncio.Event()
        self._stopping = False

    @property
    def is_hosted(self) -> bool:
        return self._current.is_hosted

    async def run(self) -> None:
        """Be connected to the connector of the directory until `stop`, or until the one hosted here ends."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._follow(self._hosted, self._hosted.run())
                return
            except LockHeld as held:
                self._recover(held)
                log.info("attaching instead of hosting: %s", held.message)
                await self._follow(self._attached, self._wake.wait())
            except EdgeError as error:
                if self._recover(error):
                    continue
                log.error("the connector cannot run code=%s error=%s fix=%s", error.code, error.message, error.hint)
                self._feed.publish(bare_document(self._directory, State.STOPPED, error))
                await self._wake.wait()

    async def _follow(self, source: StatusSource, life: Coroutine[Any, Any, Any]) -> None:
        self._current = source
        tasks = TaskOwner("front")
        tasks.spawn(self._relay(source), name="status")
        try:
            await life
        finally:
            await tasks.close()
            self._feed.publish(bare_document(self._directory, State.STOPPED))

    async def _relay(self, source: StatusSource) -> None:
        async for document in source.watch():
            self._feed.publish(document)

    def start_again(self) -> None:
        """Try to host once more: after a failure, or when the runtime that was attached to is gone."""
        self._wake.set()

    def stop(self, *, hard: bool = False) -> None:
        """Drain and end the connector if it is hosted here; else only let go of it."""
        self._stopping = True
        self._hosted.stop(hard=hard)
        self._wake.set()

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        async for document in self._feed.watch():
            yield document

    async def request(self, method: str, *, timeout_s: float | None = REQUEST_TIMEOUT_S, **params: Any) -> Any:
        return await self._current.request(method, timeout_s=timeout_s, **params)
