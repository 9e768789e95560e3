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
FIXTURE_V2 = Path(__file__).with_name("store_v2.sql")


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


async def test_a_store_of_version_2_loses_nothing_and_its_users_become_people_with_memberships(tmp_path: Path) -> None:
    path = tmp_path / "platform.db"
    connection = sqlite3.connect(path)
    connection.executescript(FIXTURE_V2.read_text())
    before = {
        table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
        for table, columns in UNCHANGED.items()
    }
    connection.close()
    store = SqliteStore(path)
    await store.open()
    try:
        stored = await store.load()
        assert [(user.id, user.email, user.name, user.password_hash, user.active) for user in stored.users] == [
            ("usr_1", "ada@acme.test", "Ada", "", True),
            ("usr_2", "bob@acme.test", "Bob", "", True),
        ]
        assert sorted((m.user_id, m.organization_id, m.role, m.created_at) for m in stored.memberships) == [
            ("usr_1", "org_1", "admin", 1700000000.0),
            ("usr_1", "org_2", "member", 1700000003.0),
            ("usr_2", "org_1", "member", 1700000002.0),
        ]
        # What the second row of the same person owned is the person's.
        assert {token.id: token.user_id for token in stored.server_tokens} == {"tok_1": "usr_1", "tok_2": "usr_1"}
        assert {row.id: row.user_id for row in stored.deployments} == {"dep_1": "", "dep_2": "usr_1"}
        assert {row.previous_secret_digest for row in stored.deployments} == {None}
        assert stored.web_sessions == []
    finally:
        await store.close()
    connection = sqlite3.connect(path)
    for table, rows in before.items():
        assert connection.execute(f"SELECT {UNCHANGED[table]} FROM {table} ORDER BY 1").fetchall() == rows, table
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO users VALUES ('usr_9', 'ADA@acme.test', 'x', '', '', 1, 0)")
    fresh = sqlite3.connect(":memory:")
    migrate(fresh, Path("memory"))
    assert schema(connection) == schema(fresh)
    connection.close()
    fresh.close()


UNCHANGED = {
    "settings": "*",
    "organizations": "*",
    "server_tokens": "id, organization_id, name, digest, created_at, last_used_at",
    "deployments": "id, organization_id, name, description, client_type, runtime_kind, secret_digest, instance_id,"
    " created_at",
    "connectors": "*",
    "calls": "*",
}
"""Tables of version 2 with the columns that stay as they are."""


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
