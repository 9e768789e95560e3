"""The store in one SQLite file, for one process."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from edge_connector.core.sqlite import SqliteDatabase, in_groups
from edge_connector.platform_server.store.migrations import MIGRATIONS, migrate
from edge_connector.platform_server.store.people import MembershipRow, UserRow, WebSessionRow
from edge_connector.platform_server.store.records import (
    CallFilter,
    CallRow,
    ConnectorRow,
    DeploymentRow,
    OrganizationRow,
    ServerTokenRow,
    StoredIdentity,
    call_id_at,
)
from edge_connector.platform_server.store.rows import all_rows, columns, insert
from edge_connector.platform_server.store.sqlite_people import SqlitePeople

log = logging.getLogger(__name__)

PRUNE_CALLS = 2_000
"""Calls deleted in one write, some 10 ms: whoever waits for a commit meanwhile waits for one such step at most."""
PRUNE_RESULTS = 200
"""Likewise for results, which may be megabytes each."""
SETUP_CODE_KEY = "setup_code_sha256"
REVOKED_FAMILIES = "SELECT DISTINCT family FROM refresh_tokens WHERE revoked_at IS NOT NULL"


_INSERT_ORGANIZATION = insert("organizations", OrganizationRow)
_INSERT_USER = insert("users", UserRow)
_INSERT_MEMBERSHIP = insert("memberships", MembershipRow)
_INSERT_TOKEN = insert("server_tokens", ServerTokenRow)
_INSERT_DEPLOYMENT = insert("deployments", DeploymentRow)
_INSERT_CONNECTOR = insert("connectors", ConnectorRow)
_INSERT_CALL = insert("calls", CallRow)
# A call is written once open and once ended, or only ended: the later row wins.
_PUT_CALL = insert("calls", CallRow, verb="REPLACE")
_PLAIN = tuple(
    name
    for name in CallRow.__struct_fields__
    if name not in ("error_detail", "result", "idempotency_key", "request_digest", "late_outcome")
)
_PUT_PLAIN_CALLS = f"REPLACE INTO calls ({', '.join(_PLAIN)}) VALUES {{rows}}"
_plain_values = attrgetter(*_PLAIN)
# The index is named, because otherwise all older calls are read to find the few that still have something to forget.
_FORGET_RESULTS = (
    "UPDATE calls SET result=NULL, error_detail=NULL, idempotency_key=NULL, request_digest=NULL"
    " WHERE organization_id=?1 AND id IN (SELECT id FROM calls INDEXED BY calls_kept WHERE organization_id=?1"
    " AND id < ?2 AND outcome <> '' AND (result IS NOT NULL OR idempotency_key IS NOT NULL) LIMIT ?3)"
)
_DELETE_CALLS = (
    "DELETE FROM calls WHERE organization_id=?1"
    " AND id IN (SELECT id FROM calls WHERE organization_id=?1 AND id < ?2 AND outcome <> '' LIMIT ?3)"
)
_UPDATE_CONNECTOR = (
    "UPDATE connectors SET instance_id=?, host=?, version=?, platform=?, last_seen_at=?, offline_reason=?, tools=?"
    " WHERE id=?"
)


class SqliteStore:
    """`Store` on a file. The columns of a table are the fields of its struct, by name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = SqliteDatabase(path)
        self.people = SqlitePeople(self._database)

    async def open(self) -> None:
        self._database.open()
        try:
            had = await self._database.write(lambda connection: migrate(connection, self._path))
        except BaseException:
            await self._database.close()
            raise
        if had != len(MIGRATIONS):
            log.info("store migrated path=%s from_version=%d to_version=%d", self._path, had, len(MIGRATIONS))

    async def close(self) -> None:
        await self._database.close()

    async def load(self) -> StoredIdentity:
        def read(connection: sqlite3.Connection) -> StoredIdentity:
            return StoredIdentity(
                organizations=all_rows(connection, "organizations", OrganizationRow),
                users=all_rows(connection, "users", UserRow),
                memberships=all_rows(connection, "memberships", MembershipRow),
                server_tokens=all_rows(connection, "server_tokens", ServerTokenRow),
                deployments=all_rows(connection, "deployments", DeploymentRow),
                connectors=all_rows(connection, "connectors", ConnectorRow),
                web_sessions=all_rows(connection, "web_sessions", WebSessionRow),
                revoked_families=[row[0] for row in connection.execute(REVOKED_FAMILIES)],
            )

        return await self._database.read(read)

    async def setting(self, key: str) -> str | None:
        row = await self._database.read(
            lambda connection: connection.execute("SELECT value FROM settings WHERE key=?", (key,)).fetchone()
        )
        return row[0] if row else None

    async def put_setting(self, key: str, value: str | None) -> None:
        if value is None:
            await self._change("DELETE FROM settings WHERE key=?", (key,))
        else:
            await self._change("REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))

    async def set_up(
        self, organization: OrganizationRow, user: UserRow, membership: MembershipRow, token: ServerTokenRow
    ) -> bool:
        def write(connection: sqlite3.Connection) -> bool:
            if connection.execute("SELECT 1 FROM organizations LIMIT 1").fetchone():
                return False
            connection.execute(_INSERT_ORGANIZATION, msgspec.structs.astuple(organization))
            connection.execute(_INSERT_USER, msgspec.structs.astuple(user))
            connection.execute(_INSERT_MEMBERSHIP, msgspec.structs.astuple(membership))
            connection.execute(_INSERT_TOKEN, msgspec.structs.astuple(token))
            connection.execute("DELETE FROM settings WHERE key=?", (SETUP_CODE_KEY,))
            return True

        return await self._database.write(write)

    async def add_server_token(self, token: ServerTokenRow) -> None:
        await self._change(_INSERT_TOKEN, msgspec.structs.astuple(token))

    async def remove_server_token(self, token_id: str) -> None:
        await self._change("DELETE FROM server_tokens WHERE id=?", (token_id,))

    async def add_deployment(self, deployment: DeploymentRow, connector: ConnectorRow) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT_DEPLOYMENT, msgspec.structs.astuple(deployment))
            connection.execute(_INSERT_CONNECTOR, msgspec.structs.astuple(connector))

        await self._database.write(write)

    async def set_deployment_secret(
        self, deployment_id: str, digest: bytes | None, *, previous: bytes | None = None, previous_until: float = 0.0
    ) -> None:
        sql = "UPDATE deployments SET secret_digest=?, previous_secret_digest=?, previous_secret_until=? WHERE id=?"
        await self._change(sql, (digest, previous, previous_until, deployment_id))

    async def remove_deployment(self, deployment_id: str) -> None:
        await self._change("DELETE FROM deployments WHERE id=?", (deployment_id,))

    async def add_call(self, call: CallRow) -> None:
        await self._change(_INSERT_CALL, msgspec.structs.astuple(call))

    async def call(self, organization_id: str, call_id: str) -> CallRow | None:
        return await self._one_call("organization_id=? AND id=?", (organization_id, call_id))

    async def call_by_key(self, organization_id: str, key: str) -> CallRow | None:
        return await self._one_call("organization_id=? AND idempotency_key=?", (organization_id, key))

    async def _one_call(self, where: str, parameters: tuple[str, ...]) -> CallRow | None:
        sql = f"SELECT {columns(CallRow)} FROM calls WHERE {where}"
        row = await self._database.read(lambda connection: connection.execute(sql, parameters).fetchone())
        return CallRow(**dict(zip(CallRow.__struct_fields__, row, strict=True))) if row else None

    async def calls(self, which: CallFilter) -> list[CallRow]:
        where, parameters = ["organization_id=?"], [which.organization_id]
        wanted = {"tool": which.tool, "outcome": which.outcome, "deployment_id": which.deployment_id}
        for column, value in wanted.items():
            if value:
                where.append(f"{column}=?")
                # While a call is open its outcome is empty; the API calls that `open`.
                parameters.append("" if column == "outcome" and value == "open" else value)
        if which.before:
            where.append("id < ?")
            parameters.append(which.before)
        # Results may be megabytes: a list goes without them.
        wanted_columns = columns(CallRow).replace("result, ", "NULL, ")
        sql = f"SELECT {wanted_columns} FROM calls WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        rows = await self._database.read(
            lambda connection: connection.execute(sql, (*parameters, which.limit)).fetchall()
        )
        return [CallRow(**dict(zip(CallRow.__struct_fields__, row, strict=True))) for row in rows]

    async def interrupt_open_calls(self, code: str, message: str) -> int:
        sql = "UPDATE calls SET outcome='interrupted', error_code=?, error_message=? WHERE outcome=''"
        return await self._change(sql, (code, message))

    async def prune(self, *, results_before: float, calls_before: float, keep_calls: int) -> None:
        organizations = await self._database.read(
            lambda connection: connection.execute("SELECT id FROM organizations").fetchall()
        )
        for (organization_id,) in organizations:
            await self._in_steps(_FORGET_RESULTS, (organization_id, call_id_at(results_before)), PRUNE_RESULTS)
            oldest = call_id_at(calls_before)
            oldest = max(oldest, await self._newest_but(keep_calls - 1, organization_id))
            await self._in_steps(_DELETE_CALLS, (organization_id, oldest), PRUNE_CALLS)

    async def _newest_but(self, count: int, organization_id: str) -> str:
        """The id of the newest call but `count`; empty when there are not so many."""
        sql = "SELECT id FROM calls WHERE organization_id=? ORDER BY id DESC LIMIT 1 OFFSET ?"
        row = await self._database.read(lambda connection: connection.execute(sql, (organization_id, count)).fetchone())
        return row[0] if row else ""

    async def _in_steps(self, sql: str, parameters: tuple[str, ...], step: int) -> None:
        while await self._change(sql, (*parameters, step)) == step:
            pass

    def note_calls(self, calls: Sequence[CallRow]) -> None:
        plain, kept = [], []
        for call in calls:
            if call.result is None and call.error_detail is None and call.idempotency_key is None:
                plain.append(_plain_values(call))
            else:
                kept.append(msgspec.structs.astuple(call))
        for sql, parameters, count in in_groups(_PUT_PLAIN_CALLS, plain):
            self._database.append(sql, parameters, weight=count)
        if kept:
            self._database.append_many(_PUT_CALL, kept)

    def note_late_outcome(self, organization_id: str, call_id: str, deployment_id: str, outcome: str) -> None:
        # A repeated report of an outcome that arrived in time changes nothing either, nor does one that agrees: at a
        # deadline both ends give up, the connector after it has ended the tool.
        sql = (
            "UPDATE calls SET late_outcome=? WHERE organization_id=? AND id=? AND deployment_id=?"
            " AND late_outcome IS NULL AND outcome IN ('interrupted', 'timed_out') AND outcome <> ?"
        )
        self._database.append(sql, (outcome, organization_id, call_id, deployment_id, outcome))

    def note_connectors(self, connectors: Sequence[ConnectorRow]) -> None:
        rows = [
            (c.instance_id, c.host, c.version, c.platform, c.last_seen_at, c.offline_reason, c.tools, c.id)
            for c in connectors
        ]
        self._database.append_many(_UPDATE_CONNECTOR, rows)

    def note_token_use(self, uses: Sequence[tuple[str, float]]) -> None:
        rows = [(at, token_id) for token_id, at in uses]
        self._database.append_many("UPDATE server_tokens SET last_used_at=? WHERE id=?", rows)

    async def settle(self) -> None:
        await self._database.settle()

    async def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        return await self._database.write(lambda connection: connection.execute(sql, parameters).rowcount)
