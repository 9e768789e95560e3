"""The people side of a platform without its ports: a store on disk, two organizations, a clock set by hand.

async with people_room(tmp_path) as room:
    session = await room.sign_in(room.ada)
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from edge_connector.platform_server.fleet import Fleet
from edge_connector.platform_server.identity import Identity, Principal
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.devices import DeviceGrants
from edge_connector.platform_server.people.members import Members
from edge_connector.platform_server.people.passwords import Passwords
from edge_connector.platform_server.people.sessions import Session, Sessions
from edge_connector.platform_server.people.tokens import Tokens
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.store.people import AuditFilter, MembershipRow, UserRow
from edge_connector.platform_server.store.records import OrganizationRow, ServerTokenRow
from edge_connector.platform_server.store.sqlite import SqliteStore

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""How well the real parameters hash is not asked here; they take a hundred times as long."""
PASSWORD = "correct horse battery"
HERE = "127.0.0.1"


class HandClock:
    """A clock that is set by hand, starting now so that real JWT checks agree."""

    def __init__(self) -> None:
        self.now = time.time()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def asleep(self) -> float:
        return 0.0


@dataclass(slots=True)
class Room:
    """All parts, and Ada (admin) and Bob (member) of the organization `org_1`; Eve is the admin of `org_2`."""

    path: Path
    clock: HandClock
    store: SqliteStore
    identity: Identity
    audit: Audit
    tokens: Tokens
    sessions: Sessions
    members: Members
    devices: DeviceGrants

    @property
    def ada(self) -> UserRow:
        return self.identity.users["usr_ada"]

    @property
    def bob(self) -> UserRow:
        return self.identity.users["usr_bob"]

    @property
    def eve(self) -> UserRow:
        return self.identity.users["usr_eve"]

    async def sign_in(self, user: UserRow, password: str = PASSWORD) -> Session:
        return await self.sessions.sign_in(user.email, password, address=HERE, user_agent="Browser")

    def as_admin(self, user: UserRow, organization_id: str = "org_1") -> Principal:
        """The person as the API sees it."""
        principal = self.identity.person(user.id, organization_id)
        assert principal is not None
        return principal

    async def actions(self, organization_id: str = "org_1") -> list[str]:
        """The audit log, the oldest first."""
        found = await self.audit.entries(AuditFilter(organization_id=organization_id, limit=500))
        return [row.action for row in reversed(found)]


async def _assemble(path: Path, clock: HandClock) -> Room:
    store = SqliteStore(path / "platform.db")
    await store.open()
    stored = await store.load()
    key = SigningKey.load_or_create(path / "signing-key.pem")
    identity = Identity(stored, Fleet(stored.deployments, stored.connectors, clock), key, clock)
    audit = Audit(store.people, identity, clock)
    passwords = Passwords(QUICK)
    tokens = Tokens(store.people, identity, audit, clock, issuer="http://platform.test")
    sessions = Sessions(
        store.people,
        stored.web_sessions,
        identity=identity,
        passwords=passwords,
        tokens=tokens,
        audit=audit,
        clock=clock,
    )
    members = Members(store.people, identity=identity, passwords=passwords, audit=audit, clock=clock)
    devices = DeviceGrants(store.people, identity, tokens, audit, clock)
    return Room(path, clock, store, identity, audit, tokens, sessions, members, devices)


async def reopened(room: Room) -> Room:
    """The same data as after a restart; the former room is closed."""
    room.store.people.note_web_sessions(room.sessions.take_seen())
    await room.store.close()
    return await _assemble(room.path, room.clock)


@asynccontextmanager
async def people_room(tmp_path: Path) -> AsyncIterator[Room]:
    """A room of its own; closed in the end, also after `reopened`."""
    clock = HandClock()
    store = SqliteStore(tmp_path / "platform.db")
    await store.open()
    hashed = await Passwords(QUICK).hash(PASSWORD)
    now = clock.wall() - 3600
    people = {
        name: UserRow(id=f"usr_{name}", email=f"{name}@test.example", name=name.title(), created_at=now)
        for name in ("ada", "bob", "eve")
    }
    for user in people.values():
        user.password_hash = hashed

    def membership(name: str, organization_id: str, role: str) -> MembershipRow:
        return MembershipRow(user_id=f"usr_{name}", organization_id=organization_id, role=role, created_at=now)

    token = ServerTokenRow(id="tok_1", organization_id="org_1", user_id="usr_ada", name="t", digest=b"\1" * 32)
    organization = OrganizationRow(id="org_1", name="Acme", created_at=now)
    await store.set_up(organization, people["ada"], membership("ada", "org_1", "admin"), token)
    await _put(store, people["bob"], membership("bob", "org_1", "member"))
    await _put(store, people["eve"], membership("eve", "org_1", "member"))
    await store.people.add_organization("org_2", "Beta", membership("eve", "org_2", "admin"))
    await store.people.remove_membership("usr_eve", "org_1", now)
    await store.close()
    room = await _assemble(tmp_path, clock)
    try:
        yield room
    finally:
        await room.store.close()


async def _put(store: SqliteStore, user: UserRow, membership: MembershipRow) -> None:
    """A person enters by the one way there is, an invite."""
    from edge_connector.platform_server.store.people import InviteRow

    row = InviteRow(
        id=f"inv_{user.id}", digest=user.id.encode(), organization_id="org_1", role=membership.role, expires_at=1.0
    )
    await store.people.add_invite(row)
    assert await store.people.use_invite(row.id, 1.0, user, membership)
