"""SQLite behind one writer thread with group commit, and reads on a connection of their own.

    database = SqliteDatabase(path)
    database.open()
    await database.write(lambda connection: connection.execute("UPDATE ...").rowcount)
    database.append("INSERT INTO calls VALUES (?, ?)", row)          # fire and forget, in batches
    rows = await database.read(lambda connection: connection.execute("SELECT ...").fetchall())
    await database.close()

It knows no tables. Everything that waits at the same moment shares one transaction; a function that fails is rolled
back alone, by savepoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

from edge_connector.core.errors import EdgeError, Fatal, UserError
from edge_connector.core.files import explain_os_error

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = Sequence[Any]

LINGER_S = 0.02
"""How long rows without a waiter are collected before they are written; a waiting `write` ends it at once."""
MAX_WAITING = 200_000
BATCH = 5_000
"""Items in one transaction: keeps a waiting `write` behind a backlog of rows to some milliseconds."""
_AT_ONCE = (64, 8, 1)
"""Rows in one statement; few different numbers, so that SQLite keeps the prepared statements."""


class _Task:
    __slots__ = ("durable", "function", "future")

    def __init__(self, function: Callable[[sqlite3.Connection], Any], durable: bool) -> None:
        self.function = function
        self.durable = durable
        self.future: Future[Any] = Future()


class _Rows:
    __slots__ = ("rows", "sql", "weight")

    def __init__(self, sql: str, rows: Sequence[Row], weight: int) -> None:
        self.sql = sql
        self.rows = rows
        self.weight = weight


class SqliteDatabase:
    """One database file, WAL mode.

    Attributes:
        dropped: appended rows that were refused because the queue was full, or failed in SQL; each cause is logged
            once.
    """

    def __init__(
        self, path: Path, *, synchronous: Literal["NORMAL", "FULL"] = "NORMAL", max_waiting: int = MAX_WAITING
    ) -> None:
        self.path = path
        self.dropped = 0
        self._synchronous = synchronous
        self._max_waiting = max_waiting
        self._queue: deque[_Task | _Rows] = deque()
        # Each counter has one writing side, so that the bounds need no lock.
        self._rows_given = self._rows_taken = 0
        self._tasks_given = self._tasks_taken = 0
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._read_connection: sqlite3.Connection | None = None
        self._warned: set[str] = set()

    def open(self) -> None:
        """Creates the file (mode 0600) when it is not there and starts the threads.

        Raises:
            UserError: the file cannot be opened, or is no database.
        """
        with explain_os_error(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Created here and not by SQLite, so that nobody can read it for even a moment.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = self._connect()
        try:
            self._read_connection = self._connect()
            self._read_connection.execute("PRAGMA query_only=ON")
        except BaseException:
            connection.close()
            raise
        self._closing = False
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-read")
        self._thread = threading.Thread(target=self._work, args=(connection,), name="sqlite-write", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        try:
            # Autocommit: transactions are begun and ended by the writer alone.
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10.0)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={self._synchronous}")
                connection.execute("PRAGMA foreign_keys=ON")
            except BaseException:
                connection.close()
                raise
            return connection
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    async def close(self) -> None:
        """Writes what waits, then closes; idempotent. Later writes fail."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """`close` for a thread without a loop."""
        self._closing = True
        self._urgent.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=30.0)
            self._thread = None
        if self._reader is not None:
            self._reader.shutdown(wait=True)
            self._reader = None
        if self._read_connection is not None:
            self._read_connection.close()
            self._read_connection = None

    # ---- writing

    def execute(self, function: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> Future[T]:
        """Run `function` in the writer thread, in a transaction shared with others; the future ends after the commit.

        With `durable` the commit also survives a power cut, whatever the database's own `synchronous` is: the
        write-ahead log is synced to the disk before the future ends.

        The future fails with what `function` raised (its changes are undone), with `UserError` `disk_full` or
        `database_error`, or with `Fatal` `database_closed`.
        """
        task = _Task(function, durable)
        if self._closing or self._thread is None:
            task.future.set_exception(Fatal("database_closed", f"The database {self.path} is closed."))
        elif self._tasks_given - self._tasks_taken >= self._max_waiting:
            task.future.set_exception(
                UserError("database_busy", f"Too many changes wait to be written to {self.path}.", hint="Slow down.")
            )
        else:
            self._tasks_given += 1
            self._queue.append(task)
            self._urgent.set()
            self._wake.set()
        return task.future

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """`execute`, awaited."""
        return await asyncio.wrap_future(self.execute(function))

    def append(self, sql: str, row: Row, *, weight: int = 1) -> bool:
        """Run a statement with one row of parameters soon, without waiting; `weight` counts for the bound."""
        return self._append(_Rows(sql, (row,), weight))

    def append_many(self, sql: str, rows: Sequence[Row]) -> bool:
        """Write `rows` soon, in order with everything else; False when too many wait already and these were dropped."""
        return self._append(_Rows(sql, rows, len(rows)))

    def _append(self, rows: _Rows) -> bool:
        if self._closing or self._rows_given - self._rows_taken + rows.weight > self._max_waiting:
            self._drop(rows.weight, "the queue is full" if not self._closing else "the database is closed")
            return False
        self._rows_given += rows.weight
        self._queue.append(rows)
        if not self._wake.is_set():
            self._wake.set()
        return True

    async def settle(self) -> None:
        """Returns when everything that was given before is committed."""
        await self.write(lambda connection: None)

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        if count and why not in self._warned:
            self._warned.add(why)
            log.warning("database rows dropped path=%s rows=%d reason=%s", self.path, count, why)

    # ---- reading

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the reading connection, in its own thread; it sees what is committed.

        Raises:
            UserError: `database_error`.
        """
        if self._reader is None or self._read_connection is None:
            raise Fatal("database_closed", f"The database {self.path} is closed.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, function, self._read_connection)
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    # ---- the writer thread

    def _work(self, connection: sqlite3.Connection) -> None:
        try:
            while True:
                self._wake.wait()
                if not self._urgent.is_set():
                    self._urgent.wait(LINGER_S)
                # Cleared before the queue is drained: what comes in between wakes the thread once more.
                self._wake.clear()
                self._urgent.clear()
                while self._queue:
                    self._write_batch(connection, self._take())
                if self._closing and not self._queue:
                    return
        finally:
            connection.close()

    def _take(self) -> list[_Task | _Rows]:
        items: list[_Task | _Rows] = []
        rows = tasks = 0
        while self._queue and rows + tasks < BATCH:
            item = self._queue.popleft()
            items.append(item)
            if isinstance(item, _Rows):
                rows += item.weight
            else:
                tasks += 1
        self._rows_taken += rows
        self._tasks_taken += tasks
        return items

    def _write_batch(self, connection: sqlite3.Connection, items: list[_Task | _Rows]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        synced = self._synchronous != "FULL" and any(isinstance(item, _Task) and item.durable for item in items)
        try:
            if synced:
                connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            for group in _grouped(items):
                if isinstance(group, _Task):
                    self._run(connection, group, done, failed)
                else:
                    self._insert(connection, group)
            connection.execute("COMMIT")
        except Exception as error:
            # Nothing of the batch is in the file: whoever waits is told, whoever does not is counted. The thread goes
            # on whatever it was, because without it every later write would wait for ever.
            if not isinstance(error, sqlite3.Error):
                log.exception("database batch failed path=%s items=%d", self.path, len(items))
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            reason = database_error(error, self.path)
            failed += [(future, reason) for future, _ in done]
            known = {id(future) for future, _ in failed}
            failed += [(i.future, reason) for i in items if isinstance(i, _Task) and id(i.future) not in known]
            self._drop(sum(i.weight for i in items if isinstance(i, _Rows)), str(error))
            done = []
        finally:
            if synced:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute(f"PRAGMA synchronous={self._synchronous}")
        for future, value in done:
            future.set_result(value)
        for future, problem in failed:
            # A waiter that gave up before its turn has cancelled its future.
            with contextlib.suppress(InvalidStateError):
                future.set_exception(problem)

    def _run(
        self,
        connection: sqlite3.Connection,
        task: _Task,
        done: list[tuple[Future[Any], Any]],
        failed: list[tuple[Future[Any], BaseException]],
    ) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        connection.execute("SAVEPOINT item")
        try:
            value = task.function(connection)
        except Exception as error:
            if not connection.in_transaction:
                # SQLite itself does this when the disk is full; then its error says so.
                if isinstance(error, sqlite3.Error):
                    raise
                raise sqlite3.OperationalError(f"the transaction was ended: {error}") from error
            connection.execute("ROLLBACK TO item")
            connection.execute("RELEASE item")
            told = database_error(error, self.path) if _is_broken(error) else error
            failed.append((task.future, told))
            return
        connection.execute("RELEASE item")
        done.append((task.future, value))

    def _insert(self, connection: sqlite3.Connection, rows: _Rows) -> None:
        connection.execute("SAVEPOINT item")
        try:
            connection.executemany(rows.sql, rows.rows)
        except Exception as error:
            # Values that cannot be bound are no sqlite3.Error: an integer of more than 64 bits is an OverflowError.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO item")
            connection.execute("RELEASE item")
            if len(rows.rows) == 1:
                self._drop(rows.weight, str(error))
                return
            # One bad row must not take the others with it.
            for row in rows.rows:
                self._insert(connection, _Rows(rows.sql, (row,), max(1, rows.weight // len(rows.rows))))
            return
        connection.execute("RELEASE item")


def in_groups(statement: str, rows: Sequence[Row]) -> Iterator[tuple[str, Row, int]]:
    """Many rows as few statements: SQL, parameters, and how many rows they are.

    A step a row would hand the interpreter's lock back and forth between the loop and the writer thread for each of
    them. Binding values is cheaper than one JSON parameter that SQLite takes apart.

    Args:
        statement: SQL with `{rows}` where `VALUES` lists them.
    """
    start = 0
    while start < len(rows):
        count = next(size for size in _AT_ONCE if size <= len(rows) - start)
        group = rows[start : start + count]
        yield _for_rows(statement, count, len(group[0])), tuple(chain.from_iterable(group)), count
        start += count


@lru_cache
def _for_rows(statement: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(rows=", ".join([row] * rows))


def _grouped(items: Iterable[_Task | _Rows]) -> Iterable[_Task | _Rows]:
    """The items in order, neighbouring rows of one statement joined."""
    open_group: _Rows | None = None
    for item in items:
        if isinstance(item, _Rows) and open_group is not None and open_group.sql == item.sql:
            _extend(open_group, item)
            continue
        if open_group is not None:
            yield open_group
            open_group = None
        if isinstance(item, _Rows):
            open_group = _Rows(item.sql, list(item.rows), item.weight)
        else:
            yield item
    if open_group is not None:
        yield open_group


def _extend(group: _Rows, more: _Rows) -> None:
    assert isinstance(group.rows, list), "a group owns its list of rows"
    group.rows.extend(more.rows)
    group.weight += more.weight


def _is_broken(error: Exception) -> bool:
    """Whether the database itself failed; a violated constraint is the business of whoever wrote the statement."""
    return isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError)


def database_error(error: BaseException, path: Path) -> EdgeError:
    """What SQLite says about `path` as one sentence with a next step."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return UserError(
            "disk_full", f"No space left on the disk that holds {path}.", hint="Free some space and try again."
        )
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return UserError("not_a_database", f"{path} is no SQLite database.", hint="Move it away, or restore a backup.")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
        return UserError(
            "database_damaged", f"The database {path} is damaged: {error}.", hint="Move it away, or restore a backup."
        )
    return UserError("database_error", f"The database {path} failed: {error}.", hint="Check the disk and its rights.")


def backup_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use to the new file `target`, consistently (SQLite online backup).

    Raises:
        UserError: `source` is not there, `target` is already there, or a disk failed; a half-made copy is removed.
    """
    if not source.exists():
        raise UserError("nothing_to_back_up", f"There is no database at {source}.", hint="Check --data.")
    with explain_os_error(target):
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError as error:
            raise UserError(
                "backup_exists", f"{target} already exists and is not overwritten.", hint="Name a new file."
            ) from error
    try:
        reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)
        try:
            writing = sqlite3.connect(target)
            try:
                reading.backup(writing)
            finally:
                writing.close()
        finally:
            reading.close()
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise database_error(error, source) from error
