"""The ledger as a service: takes what happens to calls from the loop, and never lets the loop wait for the disk.

    ledger = CallLedger(path, limits=Limits(...), clock=clock)
    await ledger.start()                  # ledger.unfinished: what an earlier process left
    ledger.received(request, info)        # noted, written within `FLUSH_S`
    ledger.mark(request, info, done)      # a `once` call: `done` is called when its start is on the disk
    await ledger.stop()

A file that cannot be written is a problem and no error: `on_problem` hears of it, and writing is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_connector.core.clock import Clock
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.sqlite import SqliteDatabase
from edge_connector.core.tasks import TaskOwner
from edge_connector.tools.calls import CallRequest, ToolInfo
from edge_connector.tools.ledger import reading, retention
from edge_connector.tools.ledger.chain import VerifyReport
from edge_connector.tools.ledger.notebook import Notebook
from edge_connector.tools.ledger.opening import open_ledger
from edge_connector.tools.ledger.pages import ChainPages
from edge_connector.tools.ledger.records import CallRow, LedgerFacts
from edge_connector.tools.ledger.retention import Limits
from edge_connector.tools.ledger.tables import put_aside
from edge_connector.tools.ledger.writing import LedgerWriter, Noted, Written

log = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_S = 0.05
"""Between two batches."""
RETRY_S = 1.0
"""Between two attempts while the file cannot be written."""
MAX_WAITING = 50_000
"""Notes that wait while the file cannot be written; more are given up, and the chain says how many."""
RETENTION_S = 600.0
RETENTION_EVENTS = 20_000
"""Retention looks after so many seconds, or so many events."""
DAMAGED = ("not_a_database", "database_damaged")


@dataclass(frozen=True, slots=True)
class Marked:
    """What came of a mark: the call may start, or was here before, or cannot be written."""

    earlier: CallRow | None = None
    problem: EdgeError | None = None


class CallLedger(Notebook):
    """The calls of one installation directory. A `core.services.Service`; all methods are for the loop's thread.

    Attributes:
        unfinished: what an earlier process left: outcomes that were not confirmed. Calls that were open when it ended
            without a word have the outcome `interrupted` by now.
        known: ids of earlier calls.
        facts: for the status.
    """

    name = "ledger"

    def __init__(
        self,
        path: Path,
        *,
        limits: Limits,
        clock: Clock,
        on_problem: Callable[[str, str], None] = lambda code, detail: None,
    ) -> None:
        """`on_problem` hears the code of a problem and its detail, and an empty code when writing works again."""
        super().__init__(clock)
        self.path = path
        self.unfinished: list[CallRow] = []
        self.known: dict[str, None] = {}
        self.facts = LedgerFacts()
        self._limits = limits
        self._on_problem = on_problem
        self._database: SqliteDatabase | None = None
        self._writer = LedgerWriter()
        self._tasks = TaskOwner("ledger")
        self._is_writing = False
        self._is_stopping = False
        self._is_urgent = False
        """Something waits that must not be lost."""
        self._idle = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._unsaid = 0
        """Entries that were lost since the chain last said so."""
        self._since_cut = 0
        self._cut_now = asyncio.Event()

    # ---- life

    async def start(self) -> None:
        """Open the file and take up what an earlier process left; returns also when the file cannot be used."""
        await self._open()
        self._tasks.spawn(self._keep_within_limits(), name="retention")

    async def stop(self) -> None:
        """Write what waits and close; idempotent."""
        self._is_stopping = True
        await self._tasks.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        database, self._database = self._database, None
        if database is None:
            return
        if waiting := self._take(everything=True):
            try:
                await asyncio.wrap_future(database.execute(lambda connection: self._writer.write(connection, waiting)))
            except EdgeError as error:
                log.warning("ledger could not be completed entries=%d error=%s", len(waiting), error)
        await database.close()

    async def _open(self) -> None:
        try:
            await self._open_file()
        except UserError as error:
            if error.code not in DAMAGED:
                self._failed(error)
                return
            await self._begin_anew(error)

    async def _open_file(self) -> None:
        opened = await open_ledger(self.path, self._writer, now=self._clock.wall())
        self._database = opened.database
        self.unfinished = opened.unfinished
        self.known = dict.fromkeys(opened.known)
        opened.facts.lost, opened.facts.problem = self.facts.lost, self.facts.problem
        self.facts = opened.facts
        self._wrote()

    async def _begin_anew(self, error: EdgeError) -> None:
        """Put the damaged file aside and begin a new one; what is known in memory goes on."""
        unfinished, known = self.unfinished, self.known
        try:
            aside = await asyncio.to_thread(put_aside, self.path, now=self._clock.wall())
            log.error("ledger was damaged and put aside path=%s error=%s", aside, error)
            await self._open_file()
        except EdgeError as failure:
            self._failed(failure)
            return
        self.unfinished, self.known = unfinished, known
        self._say(f"begun anew, the damaged file is {aside.name}")
        self._on_problem("ledger_put_aside", aside.name)

    @property
    def is_open(self) -> bool:
        """Whether there is a file to write to."""
        return self._database is not None

    def take_unfinished(self) -> list[CallRow]:
        """What an earlier process left, once."""
        unfinished, self.unfinished = self.unfinished, []
        return unfinished

    # ---- calls that may be here already

    def mark(
        self, request: CallRequest, info: ToolInfo, done: Callable[[Marked], None], *, is_local: bool = False
    ) -> None:
        """Put the start of a `once` call on the disk, then call `done`, once and never before this returns."""
        loop = asyncio.get_running_loop()
        database = self._database
        if database is None:
            loop.call_soon(done, Marked(problem=_unavailable(self.facts.problem)))
            return
        noted = Noted(request.id, request, info)
        noted.received = noted.started = self._clock.wall()
        noted.is_local = is_local

        def write(connection: sqlite3.Connection) -> CallRow | Written:
            return reading.find_call(connection, request.id) or self._writer.write(connection, [noted])

        def written(future: Future[CallRow | Written]) -> None:
            loop.call_soon_threadsafe(self._marked, future, done)

        database.execute(write, durable=True).add_done_callback(written)

    def _marked(self, future: Future[CallRow | Written], done: Callable[[Marked], None]) -> None:
        if (error := future.exception()) is None:
            result = future.result()
            if isinstance(result, Written):
                self._wrote(result)
                done(Marked())
            else:
                done(Marked(earlier=result))
            return
        failure = _as_edge_error(error)
        self._failed(failure)
        done(Marked(problem=_unavailable(failure.code)))

    def find(self, call_id: str, done: Callable[[CallRow | None], None]) -> None:
        """Look a call up and call `done` later, with None when it is not there or cannot be read."""
        self._tasks.spawn(self._find(call_id, done), name="find")

    async def _find(self, call_id: str, done: Callable[[CallRow | None], None]) -> None:
        found = None
        try:
            found = await self.read(lambda connection: reading.find_call(connection, call_id))
        except EdgeError as error:
            log.warning("ledger cannot be read call=%s error=%s", call_id, error)
        done(found)

    # ---- asking

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the reading connection, after everything noted until now was written.

        Raises:
            UserError: the ledger cannot be read.
        """
        await self.settle()
        database = self._database
        if database is None:
            raise _unavailable(self.facts.problem)
        try:
            return await database.read(function)
        except UserError as error:
            if error.code in DAMAGED:
                self._failed(error)
            raise

    async def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer one of the requests of `reading.METHODS`.

        Raises:
            UserError: the request is wrong, or the ledger cannot be read.
        """
        return await self.read(lambda connection: reading.answer(connection, method, params))

    async def verify(self, head: str = "") -> VerifyReport:
        """Prove the chain, a page at a time; `head` is a hash noted elsewhere that it has to contain.

        Raises:
            UserError: the ledger cannot be read.
        """
        pages = ChainPages(head=head)
        while (params := pages.next_request()) is not None:
            asked = params
            await self.read(lambda connection: pages.take(reading.answer(connection, "calls.export", asked)))  # noqa: B023
        return pages.report()

    async def settle(self) -> None:
        """Returns when everything noted before is written, or cannot be written now."""
        while self.waiting or self._is_writing:
            self.flush(everything=True)
            if not self._is_writing:
                return
            await self._idle.wait()
            if self.facts.problem:
                return

    # ---- writing

    def _schedule(self, delay_s: float = FLUSH_S) -> None:
        if self._timer is None and not self._is_stopping:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.flush)

    def _hurry(self) -> None:
        if not self._is_urgent and not self._is_stopping:
            self._is_urgent = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._schedule(0)

    def flush(self, *, everything: bool = False) -> None:
        """Hand over what was noted; nothing happens while an earlier batch is being written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        database = self._database
        if self._is_writing or database is None or self._is_stopping:
            self._keep_bounded()
            return
        self._is_urgent = False
        notes = self._take(everything=everything)
        if self.waiting:
            self._schedule()
        if not notes and not self.facts.problem:
            return
        loop = asyncio.get_running_loop()
        self._is_writing = True
        self._idle.clear()
        future = database.execute(lambda connection: self._writer.write(connection, notes))
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._flushed, done, notes))

    def _flushed(self, future: Future[Written], notes: list[Noted]) -> None:
        self._is_writing = False
        self._idle.set()
        error = future.exception()
        if error is None:
            self._wrote(future.result())
            if self.waiting:
                self._schedule(0 if self._is_urgent else FLUSH_S)
            return
        if isinstance(error, EdgeError):
            self._put_back(notes)
            self._keep_bounded()
        else:
            # A batch that cannot be written whatever the disk does must not stand in the way of all others.
            log.error("ledger entries were given up entries=%d", len(notes), exc_info=error)
            self._lose(len(notes))
        self._failed(_as_edge_error(error))

    def _wrote(self, written: Written | None = None) -> None:
        facts = self.facts
        facts.last_write_at = self._clock.wall()
        if written is not None:
            facts.calls += written.calls
            facts.events += written.events
            facts.head = written.head_hash
            self._since_cut += written.events
            if self._since_cut >= RETENTION_EVENTS:
                self._cut_now.set()
        if facts.problem:
            log.info("ledger works again path=%s", self.path)
            facts.problem = ""
            self._on_problem("", "")
        if self._unsaid:
            self._say(f"{self._unsaid} entries were lost while the file could not be written")
            self._unsaid = 0

    def _failed(self, error: EdgeError) -> None:
        """The file cannot be used now: say so, and try again."""
        if self.facts.problem != error.code:
            log.error("ledger cannot be written path=%s code=%s error=%s", self.path, error.code, error)
            self.facts.problem = error.code
            self._on_problem("ledger_unavailable", error.message.rstrip("."))
        if self._is_stopping:
            return
        if error.code in DAMAGED or self._database is None:
            if self._reopening is None:
                self._reopening = self._tasks.spawn(self._reopen(error), name="reopen")
        else:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._schedule(RETRY_S)

    async def _reopen(self, error: EdgeError) -> None:
        database, self._database = self._database, None
        try:
            if database is not None:
                await database.close()
                await self._begin_anew(error)
            while not self.is_open:
                await asyncio.sleep(RETRY_S)
                await self._open()
        finally:
            self._reopening = None
        self.flush()

    def _keep_bounded(self) -> None:
        if (excess := self.waiting - MAX_WAITING) > 0:
            self._drop_oldest(excess)
            self._lose(excess)

    def _lose(self, count: int) -> None:
        self.facts.lost += count
        self._unsaid += count

    # ---- retention

    async def _keep_within_limits(self) -> None:
        while True:
            await self._cut()
            self._cut_now.clear()
            self._since_cut = 0
            try:
                async with asyncio.timeout(RETENTION_S):
                    await self._cut_now.wait()
            except TimeoutError:
                pass

    async def _cut(self) -> None:
        """Cut what is too old or too much, in short steps."""
        shrinking = False
        while (database := self._database) is not None:
            now, going_on = self._clock.wall(), shrinking
            try:
                cut = await database.write(
                    lambda connection: retention.cut_step(connection, self._limits, now=now, shrinking=going_on)  # noqa: B023
                )
            except EdgeError as error:
                self._failed(error)
                return
            self.facts.calls -= cut.calls
            self.facts.events -= cut.events
            self.facts.size_bytes = cut.size_bytes
            if cut.is_done:
                return
            shrinking = True


def _as_edge_error(error: BaseException) -> EdgeError:
    if isinstance(error, EdgeError):
        return error
    return UserError("database_error", f"The ledger failed: {error}.")


def _unavailable(code: str) -> UserError:
    return UserError(
        "ledger_unavailable",
        f"The call ledger cannot be written ({code or 'it is closed'}).",
        hint="Look at `edge-connector status` for the reason and its cure.",
    )
