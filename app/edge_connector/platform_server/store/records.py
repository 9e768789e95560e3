"""The rows of the store as structs, and the interface that a store offers; nothing here knows SQL.

Stamps are Unix seconds. Secrets and tokens come as SHA-256 digests: they are 256-bit random, a slow hash adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from edge_connector.platform_server.store.people import MembershipRow, PeopleStore, UserRow, WebSessionRow


class OrganizationRow(msgspec.Struct, kw_only=True):
    """A customer: everything else belongs to one."""

    id: str
    name: str
    active: bool = True
    created_at: float = 0.0


class ServerTokenRow(msgspec.Struct, kw_only=True):
    """A token of the HTTP API."""

    id: str
    organization_id: str
    user_id: str
    name: str
    digest: bytes
    created_at: float = 0.0
    last_used_at: float | None = None


class DeploymentRow(msgspec.Struct, kw_only=True):
    """A named runtime target; `secret_digest` is None when only a user's own token may connect it."""

    id: str
    organization_id: str
    name: str
    description: str = ""
    client_type: str = "SERVER"
    runtime_kind: str = "edge-device"
    secret_digest: bytes | None = None
    user_id: str = ""
    instance_id: str = ""
    created_at: float = 0.0
    previous_secret_digest: bytes | None = None
    previous_secret_until: float = 0.0
    """Until when the secret before the last rotation is good too."""


class ConnectorRow(msgspec.Struct, kw_only=True):
    """What was last known of a deployment's connector."""

    id: str
    deployment_id: str
    instance_id: str = ""
    host: str = ""
    version: str = ""
    platform: str = ""
    last_seen_at: float | None = None
    offline_reason: str = ""
    tools: bytes = b"[]"
    """The last registration as a JSON array of tool specifications."""


def call_id_at(wall_s: float) -> str:
    """The beginning of the ids of calls started at this moment: ids sort by time, so history needs no other index."""
    return f"call_{int(wall_s * 1000):012x}"


class CallRow(msgspec.Struct, kw_only=True):
    """A call; `outcome` is empty while it is open. Its id begins with `call_id_at(started_at)`."""

    id: str
    organization_id: str
    deployment_id: str
    tool: str
    started_at: float
    agent: str = ""
    user: str = ""
    credential: str = ""
    """Name of the server token or user that asked."""
    attempt: int = 1
    outcome: str = ""
    duration_ms: float | None = None
    error_code: str = ""
    error_message: str = ""
    error_hint: str = ""
    error_detail: bytes | None = None
    result: bytes | None = None
    idempotency_key: str | None = None
    request_digest: bytes | None = None
    late_outcome: str | None = None


class StoredIdentity(msgspec.Struct, kw_only=True):
    """Everything small, as it is at start."""

    organizations: list[OrganizationRow]
    users: list[UserRow]
    memberships: list[MembershipRow]
    server_tokens: list[ServerTokenRow]
    deployments: list[DeploymentRow]
    connectors: list[ConnectorRow]
    web_sessions: list[WebSessionRow] = []
    revoked_families: list[str] = []
    """Families of refresh tokens whose access tokens may not have expired yet."""


class CallFilter(msgspec.Struct, kw_only=True):
    """Which calls of an organization, the newest first."""

    organization_id: str
    limit: int = 50
    before: str = ""
    tool: str = ""
    outcome: str = ""
    deployment_id: str = ""


class Store(Protocol):
    """What the platform needs kept. Coroutines return after the commit; `note_*` are written soon, without waiting.

    All raise `UserError` with `disk_full` or `database_error` when the disk does.
    """

    @property
    def people(self) -> PeopleStore:
        """People, their sessions, invites and grants, and the audit log."""
        ...

    async def open(self) -> None:
        """Create or migrate; refuses a store that a newer version made."""
        ...

    async def close(self) -> None:
        """Write what waits and close; idempotent."""
        ...

    async def load(self) -> StoredIdentity: ...

    async def setting(self, key: str) -> str | None: ...

    async def put_setting(self, key: str, value: str | None) -> None: ...

    async def set_up(
        self, organization: OrganizationRow, user: UserRow, membership: MembershipRow, token: ServerTokenRow
    ) -> bool:
        """Make all four unless an organization exists; False when one does. Ends the set-up code."""
        ...

    async def add_server_token(self, token: ServerTokenRow) -> None: ...

    async def remove_server_token(self, token_id: str) -> None: ...

    async def add_deployment(self, deployment: DeploymentRow, connector: ConnectorRow) -> None: ...

    async def set_deployment_secret(
        self, deployment_id: str, digest: bytes | None, *, previous: bytes | None = None, previous_until: float = 0.0
    ) -> None:
        """Keep a new secret, and the one before it until a moment in Unix seconds."""
        ...

    async def remove_deployment(self, deployment_id: str) -> None: ...

    async def add_call(self, call: CallRow) -> None:
        """Keep a call before it is made, so that its id outlives a crash."""
        ...

    async def call(self, organization_id: str, call_id: str) -> CallRow | None: ...

    async def call_by_key(self, organization_id: str, key: str) -> CallRow | None: ...

    async def calls(self, which: CallFilter) -> list[CallRow]: ...

    async def interrupt_open_calls(self, code: str, message: str) -> int:
        """End every open call as interrupted; for the start, when nobody can bring their outcome any more."""
        ...

    async def prune(self, *, results_before: float, calls_before: float, keep_calls: int) -> None:
        """Forget results and idempotency keys, and whole calls, older than these moments, in many small steps.

        Args:
            keep_calls: of each organization only so many of the newest calls are kept; open ones are kept besides.
        """
        ...

    def note_calls(self, calls: Sequence[CallRow]) -> None:
        """Write calls as they are now, open or ended."""
        ...

    def note_late_outcome(self, organization_id: str, call_id: str, deployment_id: str, outcome: str) -> None:
        """Note what came after a call of this deployment had timed out or been interrupted; others are left alone."""
        ...

    def note_connectors(self, connectors: Sequence[ConnectorRow]) -> None: ...

    def note_token_use(self, uses: Sequence[tuple[str, float]]) -> None: ...

    async def settle(self) -> None:
        """Returns when everything noted before is committed."""
        ...
