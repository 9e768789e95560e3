"""Older stores open and become new ones; newer ones are refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge_connector.core.errors import Fatal
from edge_connector.platform_server.store.migrations import MIGRATIONS, migrate
from edge_connector.platform_server.store.records import CallFilter
from edge_connector.platform_server.store.sqlite import SqliteStore

FIXTURE = Path(__file__).with_name("store_v1.sql")


def schema(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name")]
    return [(table, row[1], row[2]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]


async def test_a_store_of_version_1_opens_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"
    connection = sqlite3.connect(path)
    connection.executescript(FIXTURE.read_text())
    connection.close()
    store = SqliteStore(path)
    await store.open()
    try:
        stored = await store.load()
        assert [row.name for row in stored.organizations] == ["Acme"]
        assert stored.connectors[0].tools == b'[{"name":"echo"}]'
        call = await store.call_by_key("org_1", "key-1")
        assert call is not None
        assert (call.result, call.late_outcome, call.request_digest) == (b'{"a":1}', None, None)
        assert await store.interrupt_open_calls("outcome_unknown", "unknown") == 1
        rows = await store.calls(CallFilter(organization_id="org_1"))
        assert [row.outcome for row in rows] == ["interrupted", "succeeded"]
    finally:
        await store.close()
    migrated, fresh = sqlite3.connect(path), sqlite3.connect(":memory:")
    migrate(fresh, Path("memory"))
    assert schema(migrated) == schema(fresh)
    assert migrated.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    migrated.close()
    fresh.close()


def test_a_migration_of_the_newest_store_changes_nothing() -> None:
    connection = sqlite3.connect(":memory:")
    assert migrate(connection, Path("memory")) == 0
    before = schema(connection)
    assert migrate(connection, Path("memory")) == len(MIGRATIONS)
    assert schema(connection) == before
    connection.close()


def test_a_newer_store_is_refused() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(Fatal) as error:
        migrate(connection, Path("some.db"))
    assert error.value.code == "store_too_new"
    assert "some.db" in error.value.message
    connection.close()
