"""People in the SQLite store: what is written once, what is moved only from one state, what is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
from edge_connector.platform_server.store.records import OrganizationRow, ServerTokenRow
from edge_connector.platform_server.store.sqlite import SqliteStore
from edge_connector.platform_server.store.sqlite_people import KEEP_ENDED_S

USER = UserRow(id="usr_1", email="a@b", name="Ada", password_hash="h", created_at=2.0)
MEMBERSHIP = MembershipRow(user_id="usr_1", organization_id="org_1", role="admin", created_at=2.0)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db")
    await made.open()
    token = ServerTokenRow(id="tok_1", organization_id="org_1", user_id="usr_1", name="t", digest=b"\x01" * 32)
    await made.set_up(OrganizationRow(id="org_1", name="Acme", created_at=1.5), USER, MEMBERSHIP, token)
    yield made
    await made.close()


def token(digest: bytes, *, created_at: float = 1.0, expires_at: float = 1e9) -> RefreshTokenRow:
    return RefreshTokenRow(
        digest=digest,
        family="fam",
        user_id="usr_1",
        organization_id="org_1",
        created_at=created_at,
        expires_at=expires_at,
    )


async def test_web_sessions_come_back_and_go(store: SqliteStore) -> None:
    row = WebSessionRow(digest=b"s", user_id="usr_1", created_at=1.0, seen_at=1.0, expires_at=9.0, user_agent="B")
    await store.people.put_web_session(row)
    row.seen_at, row.expires_at = 5.0, 12.0
    store.people.note_web_sessions([row])
    await store.settle()
    assert (await store.load()).web_sessions == [row]
    await store.people.remove_web_sessions([b"s", b"unknown"])
    assert (await store.load()).web_sessions == []


async def test_an_invite_is_used_once_with_all_that_it_does(store: SqliteStore) -> None:
    invite = InviteRow(id="inv_1", digest=b"i", organization_id="org_1", role="member", expires_at=9.0)
    await store.people.add_invite(invite)
    assert await store.people.invite_by_digest(b"i") == invite
    bob = UserRow(id="usr_2", email="b@b", name="Bob")
    membership = MembershipRow(user_id="usr_2", organization_id="org_1", role="member")
    assert await store.people.use_invite("inv_1", 3.0, bob, membership)
    cy = UserRow(id="usr_3", email="c@b", name="Cy")
    assert not await store.people.use_invite(
        "inv_1", 4.0, cy, MembershipRow(user_id="usr_3", organization_id="org_1", role="member")
    )
    stored = await store.load()
    assert [user.id for user in stored.users] == ["usr_1", "usr_2"]
    assert len(stored.memberships) == 2
    assert await store.people.invites("org_1") == []
    assert not await store.people.remove_invite("org_1", "inv_1")


async def test_a_grant_moves_from_one_state_only(store: SqliteStore) -> None:
    grant = DeviceGrantRow(device_digest=b"d", user_code="BBBB-BBBB", expires_at=9.0)
    assert await store.people.add_device_grant(grant)
    assert not await store.people.add_device_grant(DeviceGrantRow(device_digest=b"e", user_code="BBBB-BBBB"))
    assert (await store.people.pending_device_grants(8.0), await store.people.pending_device_grants(9.0)) == (1, 0)
    moves = store.people.move_device_grant
    assert await moves(b"d", "pending", "approved", user_id="usr_1", organization_id="org_1")
    assert not await moves(b"d", "pending", "denied", user_id="usr_1", organization_id="org_1")
    assert await moves(b"d", "approved", "used")
    found = await store.people.device_grant_by_code("BBBB-BBBB")
    assert found is not None
    assert (found.state, found.user_id, found.organization_id) == ("used", "usr_1", "org_1")


async def test_refresh_tokens_keep_their_first_use_and_end_by_family_or_membership(store: SqliteStore) -> None:
    people = store.people
    await people.add_refresh_token(token(b"1"))
    await people.add_refresh_token(token(b"2", created_at=5.0), in_place_of=b"1")
    await people.add_refresh_token(token(b"3", created_at=6.0), in_place_of=b"1")
    first = await people.refresh_token(b"1")
    assert first is not None and first.used_at == 5.0
    assert [row.digest for row in await people.refresh_tokens("usr_1", 7.0)] == [b"2", b"3"]
    assert (await store.load()).revoked_families == []
    await people.remove_membership("usr_1", "org_1", 8.0)
    assert await people.refresh_tokens("usr_1", 8.0) == []
    stored = await store.load()
    assert (stored.revoked_families, stored.memberships) == (["fam"], [])
    await people.revoke_families(["fam"], 9.0)
    second = await people.refresh_token(b"2")
    assert second is not None and second.revoked_at == 8.0


async def test_the_audit_log_is_paged_newest_first_and_by_organization(store: SqliteStore) -> None:
    def entry(at: float, action: str, organization_id: str = "org_1", actor: str = "usr_1") -> AuditRow:
        return AuditRow(
            at=at, organization_id=organization_id, actor_kind="user", actor_id=actor, actor_name="A", action=action
        )

    await store.people.add_audit([entry(1.0, "a.b"), entry(2.0, "a.c", actor="usr_2"), entry(3.0, "ab.c")])
    await store.people.add_audit([entry(4.0, "a.b", "org_2")])

    async def moments(**which: object) -> list[float]:
        rows = await store.people.audit(AuditFilter(organization_id="org_1", **which))  # type: ignore[arg-type]
        return [row.at for row in rows]

    assert await moments() == [3.0, 2.0, 1.0]
    assert await moments(limit=1) == [3.0]
    assert await moments(before=3) == [2.0, 1.0]
    assert await moments(action="a.") == [2.0, 1.0]
    assert await moments(action="a.b") == [1.0]
    assert await moments(actor_id="usr_2") == [2.0]
    await store.people.prune_people(0.0, audit_before=2.5)
    assert await moments() == [3.0]


async def test_what_ended_is_forgotten_after_a_while(store: SqliteStore) -> None:
    people = store.people
    await people.put_web_session(WebSessionRow(digest=b"s", user_id="usr_1", expires_at=100.0))
    await people.add_device_grant(DeviceGrantRow(device_digest=b"d", user_code="x", expires_at=100.0))
    await people.add_invite(InviteRow(id="i", digest=b"i", organization_id="org_1", role="member", expires_at=100.0))
    await people.add_refresh_token(token(b"1", expires_at=100.0))
    await people.add_refresh_token(token(b"2"))

    async def left() -> list[bool]:
        found = [await people.device_grant(b"d"), await people.invite_by_digest(b"i"), await people.refresh_token(b"1")]
        return [bool((await store.load()).web_sessions), *(row is not None for row in found)]

    await people.prune_people(99.0, audit_before=0.0)
    assert await left() == [True, True, True, True]
    await people.prune_people(101.0, audit_before=0.0)
    assert await left() == [False, True, True, True]
    await people.prune_people(101.0 + KEEP_ENDED_S, audit_before=0.0)
    assert await left() == [False, False, False, False]
    assert await people.refresh_token(b"2") is not None
