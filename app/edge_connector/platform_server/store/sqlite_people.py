"""`PeopleStore` in the SQLite file of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from edge_connector.core.sqlite import SqliteDatabase
from edge_connector.platform_server.store.people import (
    AuditFilter,
    AuditRow,
    DeviceGrantRow,
    InviteRow,
    MembershipRow,
    RefreshTokenRow,
    UserRow,
    WebSessionRow,
)
from edge_connector.platform_server.store.rows import all_rows, insert

R = TypeVar("R", bound=msgspec.Struct)

KEEP_ENDED_S = 7 * 24 * 3600.0
"""How long used invites and ended refresh tokens are kept: a stolen token that comes back late is still recognised."""
_PUT_USER = (
    insert("users", UserRow)
    + " ON CONFLICT (id) DO UPDATE SET name=excluded.name, password_hash=excluded.password_hash"
)
_PUT_MEMBERSHIP = (
    insert("memberships", MembershipRow) + " ON CONFLICT (user_id, organization_id) DO UPDATE SET role=excluded.role"
)
_PUT_WEB_SESSION = insert("web_sessions", WebSessionRow, verb="REPLACE")
_INSERT_INVITE = insert("invites", InviteRow)
_INSERT_DEVICE_GRANT = insert("device_grants", DeviceGrantRow, verb="INSERT OR IGNORE")
_INSERT_REFRESH_TOKEN = insert("refresh_tokens", RefreshTokenRow)
_AUDIT = tuple(name for name in AuditRow.__struct_fields__ if name != "seq")
_INSERT_AUDIT = f"INSERT INTO audit ({', '.join(_AUDIT)}) VALUES ({', '.join('?' * len(_AUDIT))})"


class SqlitePeople:
    """People in the database that the store opens and closes."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    # ---- people and organizations

    async def add_organization(self, organization_id: str, name: str, membership: MembershipRow) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO organizations (id, name, active, created_at) VALUES (?, ?, 1, ?)",
                (organization_id, name, membership.created_at),
            )
            connection.execute(_PUT_MEMBERSHIP, msgspec.structs.astuple(membership))

        await self._database.write(write)

    async def set_organization_active(self, organization_id: str, active: bool) -> None:
        await self._change("UPDATE organizations SET active=? WHERE id=?", (active, organization_id))

    async def set_password(self, user_id: str, password_hash: str) -> None:
        await self._change("UPDATE users SET password_hash=? WHERE id=?", (password_hash, user_id))

    async def set_name(self, user_id: str, name: str) -> None:
        await self._change("UPDATE users SET name=? WHERE id=?", (name, user_id))

    async def put_membership(self, membership: MembershipRow) -> None:
        await self._change(_PUT_MEMBERSHIP, msgspec.structs.astuple(membership))

    async def remove_membership(self, user_id: str, organization_id: str, at: float) -> None:
        def write(connection: sqlite3.Connection) -> None:
            which = (user_id, organization_id)
            connection.execute("DELETE FROM memberships WHERE user_id=? AND organization_id=?", which)
            connection.execute(
                "UPDATE refresh_tokens SET revoked_at=? WHERE user_id=? AND organization_id=? AND revoked_at IS NULL",
                (at, *which),
            )

        await self._database.write(write)

    # ---- browsers

    async def put_web_session(self, session: WebSessionRow) -> None:
        await self._change(_PUT_WEB_SESSION, msgspec.structs.astuple(session))

    def note_web_sessions(self, sessions: Sequence[WebSessionRow]) -> None:
        rows = [(session.seen_at, session.expires_at, session.digest) for session in sessions]
        self._database.append_many("UPDATE web_sessions SET seen_at=?, expires_at=? WHERE digest=?", rows)

    async def remove_web_sessions(self, digests: Sequence[bytes]) -> None:
        rows = [(digest,) for digest in digests]
        await self._database.write(
            lambda connection: connection.executemany("DELETE FROM web_sessions WHERE digest=?", rows).rowcount
        )

    # ---- invites

    async def add_invite(self, invite: InviteRow) -> None:
        await self._change(_INSERT_INVITE, msgspec.structs.astuple(invite))

    async def invites(self, organization_id: str) -> list[InviteRow]:
        tail = "WHERE organization_id=? AND used_at IS NULL ORDER BY created_at, id"
        return await self._rows("invites", InviteRow, tail, (organization_id,))

    async def invite_by_digest(self, digest: bytes) -> InviteRow | None:
        return await self._row("invites", InviteRow, "WHERE digest=?", (digest,))

    async def remove_invite(self, organization_id: str, invite_id: str) -> bool:
        sql = "DELETE FROM invites WHERE organization_id=? AND id=? AND used_at IS NULL"
        return await self._change(sql, (organization_id, invite_id)) > 0

    async def use_invite(self, invite_id: str, at: float, user: UserRow, membership: MembershipRow) -> bool:
        def write(connection: sqlite3.Connection) -> bool:
            sql = "UPDATE invites SET used_at=? WHERE id=? AND used_at IS NULL"
            if not connection.execute(sql, (at, invite_id)).rowcount:
                return False
            connection.execute(_PUT_USER, msgspec.structs.astuple(user))
            connection.execute(_PUT_MEMBERSHIP, msgspec.structs.astuple(membership))
            return True

        return await self._database.write(write)

    # ---- connectors that sign in

    async def add_device_grant(self, grant: DeviceGrantRow) -> bool:
        return await self._change(_INSERT_DEVICE_GRANT, msgspec.structs.astuple(grant)) > 0

    async def device_grant(self, device_digest: bytes) -> DeviceGrantRow | None:
        return await self._row("device_grants", DeviceGrantRow, "WHERE device_digest=?", (device_digest,))

    async def device_grant_by_code(self, user_code: str) -> DeviceGrantRow | None:
        return await self._row("device_grants", DeviceGrantRow, "WHERE user_code=?", (user_code,))

    async def pending_device_grants(self, now: float) -> int:
        sql = "SELECT COUNT(*) FROM device_grants WHERE state='pending' AND expires_at > ?"
        row = await self._database.read(lambda connection: connection.execute(sql, (now,)).fetchone())
        return int(row[0])

    async def move_device_grant(
        self, device_digest: bytes, before: str, after: str, *, user_id: str = "", organization_id: str = ""
    ) -> bool:
        person = (user_id, organization_id) if user_id else ()
        also = ", user_id=?, organization_id=?" if user_id else ""
        sql = f"UPDATE device_grants SET state=?{also} WHERE device_digest=? AND state=?"
        return await self._change(sql, (after, *person, device_digest, before)) > 0

    async def deny_device_grants(self, user_id: str) -> None:
        await self._change("UPDATE device_grants SET state='denied' WHERE user_id=? AND state='approved'", (user_id,))

    async def refresh_token(self, digest: bytes) -> RefreshTokenRow | None:
        return await self._row("refresh_tokens", RefreshTokenRow, "WHERE digest=?", (digest,))

    async def add_refresh_token(self, token: RefreshTokenRow, *, in_place_of: bytes = b"") -> None:
        def write(connection: sqlite3.Connection) -> None:
            if in_place_of:
                sql = "UPDATE refresh_tokens SET used_at=? WHERE digest=? AND used_at IS NULL"
                connection.execute(sql, (token.created_at, in_place_of))
            connection.execute(_INSERT_REFRESH_TOKEN, msgspec.structs.astuple(token))

        await self._database.write(write)

    async def refresh_tokens(self, user_id: str, now: float) -> list[RefreshTokenRow]:
        tail = (
            "WHERE user_id=? AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ? ORDER BY created_at, digest"
        )
        return await self._rows("refresh_tokens", RefreshTokenRow, tail, (user_id, now))

    async def revoke_families(self, families: Sequence[str], at: float) -> None:
        rows = [(at, family) for family in families]
        sql = "UPDATE refresh_tokens SET revoked_at=? WHERE family=? AND revoked_at IS NULL"
        await self._database.write(lambda connection: connection.executemany(sql, rows).rowcount)

    # ---- the audit log

    async def add_audit(self, entries: Sequence[AuditRow]) -> None:
        rows = [msgspec.structs.astuple(entry)[1:] for entry in entries]
        await self._database.write(lambda connection: connection.executemany(_INSERT_AUDIT, rows).rowcount)

    async def audit(self, which: AuditFilter) -> list[AuditRow]:
        where, parameters = ["organization_id=?"], [which.organization_id]
        if which.before:
            where.append("seq < ?")
            parameters.append(str(which.before))
        if which.action.endswith("."):
            where.append("substr(action, 1, ?) = ?")
            parameters += [str(len(which.action)), which.action]
        elif which.action:
            where.append("action=?")
            parameters.append(which.action)
        if which.actor_id:
            where.append("actor_id=?")
            parameters.append(which.actor_id)
        tail = f"WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
        return await self._rows("audit", AuditRow, tail, (*parameters, which.limit))

    # ---- forgetting

    async def prune_people(self, now: float, *, audit_before: float) -> None:
        long_ago = now - KEEP_ENDED_S

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM web_sessions WHERE expires_at < ?", (now,))
            connection.execute("DELETE FROM device_grants WHERE expires_at < ?", (now - 3600,))
            connection.execute("DELETE FROM invites WHERE expires_at < ? OR used_at < ?", (long_ago, long_ago))
            # Each by its index: there may be hundreds of thousands, and calls wait behind this.
            connection.execute("DELETE FROM refresh_tokens WHERE used_at < ?", (long_ago,))
            connection.execute("DELETE FROM refresh_tokens WHERE expires_at < ?", (long_ago,))
            connection.execute("DELETE FROM audit WHERE at < ?", (audit_before,))

        await self._database.write(write)

    # ---- statements

    async def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        return await self._database.write(lambda connection: connection.execute(sql, parameters).rowcount)

    async def _rows(self, table: str, row: type[R], tail: str, parameters: Sequence[Any]) -> list[R]:
        return await self._database.read(lambda connection: all_rows(connection, table, row, tail, parameters))

    async def _row(self, table: str, row: type[R], tail: str, parameters: Sequence[Any]) -> R | None:
        found = await self._rows(table, row, tail, parameters)
        return found[0] if found else None
