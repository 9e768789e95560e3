"""The SQLite store: rows come back as they were put in; call history is filtered, paged, pruned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_connector.core.sqlite import SqliteDatabase
from edge_connector.platform_server.store import sqlite
from edge_connector.platform_server.store.people import MembershipRow, UserRow
from edge_connector.platform_server.store.records import (
    CallFilter,
    CallRow,
    ConnectorRow,
    DeploymentRow,
    OrganizationRow,
    ServerTokenRow,
    Store,
    call_id_at,
)
from edge_connector.platform_server.store.sqlite import SETUP_CODE_KEY, SqliteStore

ORGANIZATION = OrganizationRow(id="org_1", name="Acme", created_at=1.5)
USER = UserRow(id="usr_1", email="a@b", name="Ada", created_at=2.0)
MEMBERSHIP = MembershipRow(user_id="usr_1", organization_id="org_1", role="admin", created_at=2.0)
TOKEN = ServerTokenRow(id="tok_1", organization_id="org_1", user_id="usr_1", name="t", digest=b"\x01" * 32)
DEPLOYMENT = DeploymentRow(id="dep_1", organization_id="org_1", name="edge", secret_digest=b"\x02" * 32)
CONNECTOR = ConnectorRow(id="con_1", deployment_id="dep_1")


def name_of(number: int) -> str:
    return call_id_at(number) + "x"


def call(number: int, **fields: Any) -> CallRow:
    known: dict[str, Any] = {
        "id": name_of(number),
        "organization_id": "org_1",
        "deployment_id": "dep_1",
        "tool": "echo",
        "started_at": float(number),
        "outcome": "succeeded",
    }
    return CallRow(**(known | fields))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    await made.open()
    await made.put_setting(SETUP_CODE_KEY, "00")
    assert await made.set_up(ORGANIZATION, USER, MEMBERSHIP, TOKEN)
    await made.add_deployment(DEPLOYMENT, CONNECTOR)
    yield made
    await made.close()


async def numbers(store: Store, **which: Any) -> list[int]:
    return [int(row.started_at) for row in await store.calls(CallFilter(organization_id="org_1", **which))]


async def test_identity_comes_back_as_it_was_put_in(store: Store) -> None:
    stored = await store.load()
    assert stored.organizations == [ORGANIZATION]
    assert stored.users == [USER]
    assert stored.memberships == [MEMBERSHIP]
    assert stored.server_tokens == [TOKEN]
    assert stored.deployments == [DEPLOYMENT]
    assert stored.connectors == [CONNECTOR]
    assert await store.setting(SETUP_CODE_KEY) is None


async def test_set_up_happens_once(store: Store) -> None:
    other = msgspec.structs.replace(ORGANIZATION, id="org_2")
    assert not await store.set_up(other, USER, MEMBERSHIP, TOKEN)
    assert len((await store.load()).organizations) == 1


async def test_changes_and_removals(store: Store) -> None:
    await store.set_deployment_secret("dep_1", b"\x03" * 32, previous=b"\x02" * 32, previous_until=8.5)
    seen = msgspec.structs.replace(
        CONNECTOR, host="box", last_seen_at=9.5, offline_reason="asleep", tools=b'[{"name":"x"}]'
    )
    store.note_connectors([seen])
    store.note_token_use([("tok_1", 7.0)])
    await store.settle()
    stored = await store.load()
    row = stored.deployments[0]
    assert (row.secret_digest, row.previous_secret_digest) == (b"\x03" * 32, b"\x02" * 32)
    assert row.previous_secret_until == 8.5
    assert stored.connectors == [seen]
    assert stored.server_tokens[0].last_used_at == 7.0
    await store.remove_server_token("tok_1")
    await store.remove_deployment("dep_1")
    stored = await store.load()
    assert (stored.server_tokens, stored.deployments, stored.connectors) == ([], [], [])


async def test_a_call_is_written_open_and_then_ended(store: Store) -> None:
    await store.add_call(call(1, outcome="", idempotency_key="k", request_digest=b"d"))
    assert (await numbers(store, outcome="open")) == [1]
    ended = call(1, result=b"[1]", idempotency_key="k", request_digest=b"d", duration_ms=2.5)
    store.note_calls([ended, call(2, outcome="failed", error_code="c", error_detail=b"{}")])
    await store.settle()
    assert await store.call("org_1", name_of(1)) == ended
    assert await store.call_by_key("org_1", "k") == ended
    assert await store.call("org_2", name_of(1)) is None
    assert await store.call_by_key("org_2", "k") is None
    assert [row.result for row in await store.calls(CallFilter(organization_id="org_1"))] == [None, None]


async def test_calls_are_filtered_and_paged(store: Store) -> None:
    store.note_calls(
        [call(n, tool="a" if n % 2 else "b", outcome="failed" if n > 4 else "succeeded") for n in range(8)]
    )
    store.note_calls([call(9, organization_id="org_2")])
    await store.settle()
    assert await numbers(store, limit=3) == [7, 6, 5]
    assert await numbers(store, limit=3, before=name_of(5)) == [4, 3, 2]
    assert await numbers(store, tool="b", outcome="failed") == [6]
    assert await numbers(store, deployment_id="dep_2") == []


async def test_late_outcomes_touch_only_calls_that_ended_without_one(store: Store) -> None:
    store.note_calls([call(1), call(2, outcome="interrupted"), call(3, outcome="timed_out")])
    for number in (1, 2):
        store.note_late_outcome("org_1", name_of(number), "dep_1", "failed")
    store.note_late_outcome("org_1", name_of(2), "dep_1", "succeeded")
    store.note_late_outcome("org_1", name_of(3), "dep_other", "succeeded")
    await store.settle()
    rows = {int(row.started_at): row.late_outcome for row in await store.calls(CallFilter(organization_id="org_1"))}
    assert rows == {1: None, 2: "failed", 3: None}


async def test_open_calls_are_interrupted_at_start(store: Store) -> None:
    await store.add_call(call(1, outcome=""))
    await store.add_call(call(2))
    assert await store.interrupt_open_calls("outcome_unknown", "unknown") == 1
    row = await store.call("org_1", name_of(1))
    assert row is not None
    assert (row.outcome, row.error_code) == ("interrupted", "outcome_unknown")


async def test_pruning_forgets_results_first_and_calls_later(store: Store) -> None:
    await store.add_call(call(1, result=b"1"))
    await store.add_call(call(20, result=b"1", idempotency_key="k"))
    await store.add_call(call(30, result=b"1"))
    await store.add_call(call(2, outcome=""))
    await store.prune(results_before=25.0, calls_before=10.0, keep_calls=100)
    assert await numbers(store) == [30, 20, 2]
    assert await store.call_by_key("org_1", "k") is None
    kept, cut = await store.call("org_1", name_of(30)), await store.call("org_1", name_of(20))
    assert kept is not None
    assert cut is not None
    assert (kept.result, cut.result) == (b"1", None)


async def test_pruning_goes_in_small_steps_and_lets_other_writes_between(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.note_calls([call(n, result=b"1") for n in range(50)])
    await store.settle()
    monkeypatch.setattr(sqlite, "PRUNE_CALLS", 10)
    monkeypatch.setattr(sqlite, "PRUNE_RESULTS", 5)
    changed: list[int] = []
    write = SqliteDatabase.write

    async def recording(database: SqliteDatabase, function: Any) -> Any:
        before = database.execute(lambda connection: connection.total_changes)
        value = await write(database, function)
        after = database.execute(lambda connection: connection.total_changes)
        changed.append(await asyncio.wrap_future(after) - await asyncio.wrap_future(before))
        return value

    monkeypatch.setattr(SqliteDatabase, "write", recording)
    await store.prune(results_before=40.0, calls_before=30.0, keep_calls=100)
    assert await numbers(store) == list(reversed(range(30, 50)))
    kept = [await store.call("org_1", name_of(number)) for number in (39, 40)]
    assert [row.result for row in kept if row] == [None, b"1"]
    assert (sum(changed), max(changed)) == (40 + 30, 10)


async def test_pruning_keeps_the_newest_calls_up_to_a_number(store: SqliteStore) -> None:
    store.note_calls([call(n, outcome="" if n == 2 else "succeeded") for n in range(20)])
    await store.settle()
    await store.prune(results_before=0.0, calls_before=5.0, keep_calls=20)
    assert await numbers(store) == [*reversed(range(5, 20)), 2]
    await store.prune(results_before=0.0, calls_before=0.0, keep_calls=4)
    assert await numbers(store) == [19, 18, 17, 16, 2]


async def test_a_late_outcome_that_says_the_same_is_not_noted(store: Store) -> None:
    store.note_calls([call(1, outcome="timed_out"), call(2, outcome="timed_out")])
    store.note_late_outcome("org_1", name_of(1), "dep_1", "timed_out")
    store.note_late_outcome("org_1", name_of(2), "dep_1", "cancelled")
    await store.settle()
    rows = {int(row.started_at): row.late_outcome for row in await store.calls(CallFilter(organization_id="org_1"))}
    assert rows == {1: None, 2: "cancelled"}
