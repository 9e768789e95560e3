"""The writer thread: grouping, isolation of failures, bounds, order; and backups."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_connector.core import sqlite
from edge_connector.core.errors import Fatal, UserError
from edge_connector.core.sqlite import SqliteDatabase, backup_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    made = SqliteDatabase(tmp_path / "folder" / "test.db", max_waiting=1000)
    made.open()
    made.execute(lambda c: c.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL)")).result(10)
    yield made
    made.close_now()


def insert(connection: sqlite3.Connection, key: int) -> int:
    return connection.execute("INSERT INTO t VALUES (?, 'v')", (key,)).rowcount


async def keys(database: SqliteDatabase) -> list[int]:
    rows = await database.read(lambda c: c.execute("SELECT k FROM t ORDER BY k").fetchall())
    return [row[0] for row in rows]


async def test_what_is_written_is_read_and_survives(database: SqliteDatabase) -> None:
    assert await database.write(lambda c: insert(c, 1)) == 1
    assert await keys(database) == [1]
    await database.close()
    await database.close()
    database.open()
    assert await keys(database) == [1]
    assert database.path.stat().st_mode & 0o777 == 0o600


async def test_waiting_writes_share_a_transaction_and_one_failure_spares_the_others(database: SqliteDatabase) -> None:
    gate = threading.Event()
    commits: list[bool] = []
    blocker = database.execute(lambda c: gate.wait(10))
    futures = [database.execute(lambda c, key=key: insert(c, key)) for key in (1, 2, 2, 3)]  # type: ignore[misc]
    failing = database.execute(lambda c: 1 // 0)
    observed = database.execute(lambda c: commits.append(c.in_transaction))
    gate.set()
    assert blocker.result(10)
    assert futures[0].result(10) == 1
    with pytest.raises(sqlite3.IntegrityError):
        futures[2].result(10)
    assert futures[3].result(10) == 1
    with pytest.raises(ZeroDivisionError):
        failing.result(10)
    observed.result(10)
    assert commits == [True]
    assert await keys(database) == [1, 2, 3]


async def test_a_failed_function_leaves_nothing_behind(database: SqliteDatabase) -> None:
    def half(connection: sqlite3.Connection) -> None:
        insert(connection, 1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(half)
    with pytest.raises(UserError) as error:
        await database.write(lambda c: c.execute("SELECT * FROM missing"))
    assert error.value.code == "database_error"
    with pytest.raises(UserError):
        await database.read(lambda c: c.execute("SELECT * FROM missing").fetchall())
    assert await keys(database) == []


async def test_a_function_that_ends_the_transaction_fails_its_batch_and_the_writer_lives(
    database: SqliteDatabase,
) -> None:
    def rogue(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")
        raise ValueError("gone")

    with pytest.raises(UserError):
        await database.write(rogue)
    assert await database.write(lambda c: insert(c, 1)) == 1


async def test_appended_rows_keep_their_order_and_bad_ones_are_dropped_alone(database: SqliteDatabase) -> None:
    sql = "INSERT INTO t VALUES (?, ?)"
    for key in range(100):
        assert database.append(sql, (key, "v"))
    database.append_many(sql, [(100, "v"), (5, "duplicate"), (101, "v")])
    database.append("UPDATE t SET v='changed' WHERE k=?", (101,))
    await database.settle()
    assert await keys(database) == list(range(102))
    assert database.dropped == 1
    changed = await database.read(lambda c: c.execute("SELECT k FROM t WHERE v='changed'").fetchall())
    assert changed == [(101,)]


async def test_appended_rows_come_to_disk_without_anybody_waiting(database: SqliteDatabase) -> None:
    database.append("INSERT INTO t VALUES (?, ?)", (1, "v"))
    async with asyncio.timeout(10):
        while await keys(database) != [1]:
            await asyncio.sleep(0.01)


async def test_bounds_refuse_instead_of_growing(database: SqliteDatabase) -> None:
    gate, begun = threading.Event(), threading.Event()

    def block(connection: sqlite3.Connection) -> bool:
        begun.set()
        return gate.wait(10)

    blocker = database.execute(block)
    assert begun.wait(10)
    assert not database.append_many("INSERT INTO t VALUES (?, ?)", [(key, "v") for key in range(1001)])
    assert database.dropped == 1001
    futures = [database.execute(lambda c: None) for _ in range(1500)]
    refused = [future for future in futures if future.done() and future.exception()]
    assert isinstance(refused[0].exception(), UserError)
    gate.set()
    assert blocker.result(10)


async def test_a_closed_database_refuses(database: SqliteDatabase) -> None:
    await database.close()
    with pytest.raises(Fatal):
        await database.write(lambda c: None)
    with pytest.raises(Fatal):
        await database.read(lambda c: None)
    assert not database.append("INSERT INTO t VALUES (1, 'v')", ())


async def test_closing_writes_what_waits(database: SqliteDatabase) -> None:
    for key in range(500):
        database.append("INSERT INTO t VALUES (?, ?)", (key, "v"))
    await database.close()
    database.open()
    assert len(await keys(database)) == 500


async def test_a_reader_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(UserError):
        await database.read(lambda c: c.execute("INSERT INTO t VALUES (9, 'v')"))


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "text.db"
    file.write_text("this is no database, it is only text, and long enough to be looked at" * 20)
    with pytest.raises(UserError) as error:
        SqliteDatabase(file).open()
    assert error.value.code == "not_a_database"


async def test_a_backup_is_consistent_and_never_overwrites(database: SqliteDatabase, tmp_path: Path) -> None:
    await database.write(lambda c: insert(c, 1))
    target = tmp_path / "copy.db"
    backup_database(database.path, target)
    await database.write(lambda c: insert(c, 2))
    connection = sqlite3.connect(target)
    assert connection.execute("SELECT k FROM t").fetchall() == [(1,)]
    connection.close()
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError) as error:
        backup_database(database.path, target)
    assert error.value.code == "backup_exists"


async def test_a_full_disk_fails_its_batch_and_a_cancelled_waiter_in_it_does_not_end_the_writer(
    database: SqliteDatabase,
) -> None:
    pages = (await database.write(lambda c: c.execute("PRAGMA page_count").fetchone()))[0]
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count={pages + 2}").fetchall())
    gate, begun = threading.Event(), threading.Event()

    def block(connection: sqlite3.Connection) -> bool:
        begun.set()
        return gate.wait(10)

    blocker = database.execute(block)
    assert begun.wait(10)
    early = database.execute(lambda c: 1)
    early.cancel()
    failing = database.execute(lambda c: c.execute("INSERT INTO t VALUES (7, zeroblob(200000))"))
    late = database.execute(lambda c: 1)
    late.cancel()
    gate.set()
    assert blocker.result(10)
    with pytest.raises(UserError) as error:
        await asyncio.to_thread(failing.result, 10)
    assert error.value.code == "disk_full"
    async with asyncio.timeout(10):
        await database.settle()
        assert await database.write(lambda c: insert(c, 1)) == 1


async def test_a_row_that_cannot_be_bound_is_dropped_alone(database: SqliteDatabase) -> None:
    sql = "INSERT INTO t VALUES (?, ?)"
    database.append_many(sql, [(1, "v"), (2**70, "v"), (3, "v")])
    async with asyncio.timeout(10):
        await database.settle()
    assert await keys(database) == [1, 3]
    assert database.dropped == 1


async def test_a_batch_that_fails_in_an_unforeseen_way_is_told_and_logged(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(items: object) -> None:
        raise RuntimeError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_grouped", broken)
        with pytest.raises(UserError, match="unforeseen"):
            async with asyncio.timeout(10):
                await database.settle()
    assert "RuntimeError" in caplog.text
    assert await database.write(lambda c: insert(c, 1)) == 1


def test_a_durable_write_is_synced_and_the_next_ones_are_not(database: SqliteDatabase) -> None:
    def level(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    normal, full = 1, 2
    assert database.execute(level).result(10) == normal
    assert database.execute(level, durable=True).result(10) == full
    assert database.execute(level).result(10) == normal
