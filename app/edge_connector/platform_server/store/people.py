"""The rows of people: who they are, where they belong, how they are signed in, what they did; and their store.

Stamps are Unix seconds. Of sessions, invites and tokens only SHA-256 digests are kept; nothing here knows SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class UserRow(msgspec.Struct, kw_only=True):
    """A person; an e-mail address names one, in upper or lower case."""

    id: str
    email: str
    name: str
    password_hash: str = ""
    """As argon2 writes it; empty for a person who cannot sign in with a password."""
    oidc_subject: str = ""
    active: bool = True
    created_at: float = 0.0


class MembershipRow(msgspec.Struct, kw_only=True):
    """A person in an organization."""

    user_id: str
    organization_id: str
    role: str
    """`admin` or `member`."""
    created_at: float = 0.0


class WebSessionRow(msgspec.Struct, kw_only=True):
    """A person in a browser; `organization_id` is empty until one is chosen."""

    digest: bytes
    user_id: str
    organization_id: str = ""
    created_at: float = 0.0
    seen_at: float = 0.0
    expires_at: float = 0.0
    user_agent: str = ""
    address: str = ""


class InviteRow(msgspec.Struct, kw_only=True):
    """A link that makes whoever opens it a member, once; `email` empty means anybody."""

    id: str
    digest: bytes
    organization_id: str
    role: str
    email: str = ""
    created_by: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0
    used_at: float | None = None


class DeviceGrantRow(msgspec.Struct, kw_only=True):
    """A connector that waits to be approved (RFC 8628)."""

    device_digest: bytes
    user_code: str
    client: str = ""
    host: str = ""
    instance_id: str = ""
    scope: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0
    interval_s: float = 5.0
    state: str = "pending"
    """`pending`, then `approved` or `denied`; an approved one is `used` once its tokens were given out."""
    user_id: str = ""
    organization_id: str = ""


class RefreshTokenRow(msgspec.Struct, kw_only=True):
    """A refresh token; all that came from one sign-in by rotation are a family."""

    digest: bytes
    family: str
    user_id: str
    organization_id: str
    client: str = ""
    host: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0
    used_at: float | None = None
    revoked_at: float | None = None


class AuditRow(msgspec.Struct, kw_only=True):
    """Who did what to whom, when and from where; `detail` is a JSON object."""

    seq: int = 0
    at: float
    organization_id: str
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    subject_kind: str = ""
    subject_id: str = ""
    subject_name: str = ""
    detail: str = "{}"
    address: str = ""


class AuditFilter(msgspec.Struct, kw_only=True):
    """Which entries of an organization's audit log, the newest first."""

    organization_id: str
    limit: int = 50
    before: int = 0
    """Only entries with a smaller number; 0 for the newest."""
    action: str = ""
    """An action, or with a dot at its end all that begin so."""
    actor_id: str = ""


class PeopleStore(Protocol):
    """What the platform needs kept of people. Coroutines return after the commit."""

    async def add_organization(self, organization_id: str, name: str, membership: MembershipRow) -> None: ...

    async def set_organization_active(self, organization_id: str, active: bool) -> None: ...

    async def set_password(self, user_id: str, password_hash: str) -> None: ...

    async def set_name(self, user_id: str, name: str) -> None: ...

    async def put_membership(self, membership: MembershipRow) -> None:
        """A new member, or one with another role."""
        ...

    async def remove_membership(self, user_id: str, organization_id: str, at: float) -> None:
        """End the membership and revoke the person's refresh tokens of the organization."""
        ...

    async def put_web_session(self, session: WebSessionRow) -> None: ...

    def note_web_sessions(self, sessions: Sequence[WebSessionRow]) -> None:
        """Write when sessions were last seen, soon; the rest of the rows is left alone."""
        ...

    async def remove_web_sessions(self, digests: Sequence[bytes]) -> None: ...

    async def add_invite(self, invite: InviteRow) -> None: ...

    async def invites(self, organization_id: str) -> list[InviteRow]:
        """All that were not used."""
        ...

    async def invite_by_digest(self, digest: bytes) -> InviteRow | None: ...

    async def remove_invite(self, organization_id: str, invite_id: str) -> bool: ...

    async def use_invite(self, invite_id: str, at: float, user: UserRow, membership: MembershipRow) -> bool:
        """Mark it used and put person and membership; False, and nothing changed, when it was used already."""
        ...

    async def add_device_grant(self, grant: DeviceGrantRow) -> bool:
        """False when the user code is taken."""
        ...

    async def device_grant(self, device_digest: bytes) -> DeviceGrantRow | None: ...

    async def device_grant_by_code(self, user_code: str) -> DeviceGrantRow | None: ...

    async def pending_device_grants(self, now: float) -> int:
        """How many wait for a decision."""
        ...

    async def move_device_grant(
        self, device_digest: bytes, before: str, after: str, *, user_id: str = "", organization_id: str = ""
    ) -> bool:
        """Change the state if it is `before`; False when it is not. An empty user leaves person and organization."""
        ...

    async def deny_device_grants(self, user_id: str) -> None:
        """Those that the person approved and that were not used yet."""
        ...

    async def refresh_token(self, digest: bytes) -> RefreshTokenRow | None: ...

    async def add_refresh_token(self, token: RefreshTokenRow, *, in_place_of: bytes = b"") -> None:
        """Keep a token; the one that it replaces is marked as used when it was created, unless it was before."""
        ...

    async def refresh_tokens(self, user_id: str, now: float) -> list[RefreshTokenRow]:
        """The unused, unrevoked and unexpired ones of a person: one a family, but for repeated refreshes."""
        ...

    async def revoke_families(self, families: Sequence[str], at: float) -> None: ...

    async def add_audit(self, entries: Sequence[AuditRow]) -> None:
        """Append; numbers are given here."""
        ...

    async def audit(self, which: AuditFilter) -> list[AuditRow]: ...

    async def prune_people(self, now: float, *, audit_before: float) -> None:
        """Forget what expired and, of the audit log, what is older than a moment in Unix seconds."""
        ...
