"""Who is asking: tokens and secrets to principals, from memory alone, so that no call waits for the database.

It keeps the organizations, users and server tokens as the store has them; deployments belong to the fleet.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from edge_connector.core.clock import Clock, to_iso
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.fleet import Fleet
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.store.records import OrganizationRow, ServerTokenRow, StoredIdentity, UserRow
from edge_connector.wire.close_codes import CloseCode

CACHE_ENTRIES = 20_000
FAILED_ATTEMPTS_PER_MINUTE = 60
SESSION_TOKEN_S = 30 * 24 * 3600

_ALL = frozenset(Scope)
_MEMBER = frozenset({Scope.PUBLIC, Scope.IDENTITY, Scope.CALLS})
_DEPLOYMENT = frozenset({Scope.PUBLIC, Scope.IDENTITY})


def new_id(prefix: str) -> str:
    """A random id such as `dep_1f0c...`."""
    return f"{prefix}_{secrets.token_hex(8)}"


def new_secret(prefix: str) -> str:
    """256 random bits behind a prefix that says what they are."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(slots=True)
class Principal:
    """Whom the credentials of a request stand for.

    Attributes:
        kind: `server_token`, `user` or `deployment`.
        id: of the token, user or deployment.
        expires_at: Unix seconds; infinite for machine secrets.
        uses: since the last time it was written down.
    """

    kind: str
    id: str
    name: str
    organization_id: str
    user_id: str = ""
    email: str = ""
    scopes: frozenset[Scope] = _MEMBER
    expires_at: float = float("inf")
    uses: int = field(default=0, compare=False)


class Identity:
    """The people and machines of all organizations, and the answer to an `Authorization` header."""

    def __init__(self, stored: StoredIdentity, fleet: Fleet, key: SigningKey, clock: Clock) -> None:
        self.organizations: dict[str, OrganizationRow] = {row.id: row for row in stored.organizations}
        self.users: dict[str, UserRow] = {row.id: row for row in stored.users}
        self.server_tokens: dict[str, ServerTokenRow] = {row.id: row for row in stored.server_tokens}
        self._fleet = fleet
        self._key = key
        self._clock = clock
        self._by_digest: dict[bytes, ServerTokenRow] = {row.digest: row for row in stored.server_tokens}
        self._cache: dict[bytes, Principal] = {}
        self._used: dict[str, float] = {}
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._failures = RateLimitItemPerMinute(FAILED_ATTEMPTS_PER_MINUTE)

    # ---- asking

    def authenticate(self, header: bytes) -> Principal | None:
        """The principal behind an `Authorization` value; None when it is unknown, revoked or expired."""
        principal = self._cache.get(header)
        if principal is None:
            principal = self._resolve(header)
            if principal is None:
                return None
            if len(self._cache) >= CACHE_ENTRIES:
                self._cache.clear()
            self._cache[header] = principal
        if principal.expires_at <= self._clock.wall():
            return None
        principal.uses += 1
        return principal

    def refusal(self, header: bytes) -> tuple[CloseCode, str]:
        """Why `authenticate` does not take it. Only whoever holds something that was good once is told more than no."""
        found = self._find(header)
        if found is not None:
            return CloseCode.FORBIDDEN, "the organization is deactivated"
        scheme, _, token = header.partition(b" ")
        claims = None
        if scheme.lower() == b"bearer" and token.isascii():
            claims = self._key.verify(token.decode().strip(), also_expired=True)
        if claims is not None and (user := self.users.get(str(claims["sub"]))) is not None:
            if user.organization_id != claims["orgId"]:
                return CloseCode.FORBIDDEN, "the token is for another organization than its person is in"
            return CloseCode.UNAUTHORIZED, "the token has expired"
        return CloseCode.UNAUTHORIZED, "credentials refused: unknown, revoked or expired"

    def seconds_left(self, principal: Principal) -> float:
        """Until its credentials expire; infinite for machine secrets."""
        return principal.expires_at - self._clock.wall()

    def count_failure(self, address: str) -> bool:
        """Note a failed attempt from `address`; False when there were too many within a minute.

        Only failures are counted and only failures are refused: good credentials pass from any address, because many
        connectors may share one.
        """
        return self._limiter.hit(self._failures, address or "unknown")

    def _resolve(self, header: bytes) -> Principal | None:
        found = self._find(header)
        if found is None:
            return None
        organization = self.organizations.get(found.organization_id)
        return found if organization is not None and organization.active else None

    def _find(self, header: bytes) -> Principal | None:
        try:
            scheme, _, value = header.decode("ascii").partition(" ")
        except UnicodeDecodeError:
            return None
        value = value.strip()
        if scheme.lower() == "bearer":
            return self._server_token(value) if value.startswith("ect_") else self._session_token(value)
        return self._deployment(value) if scheme.lower() == "deployment" else None

    def _server_token(self, token: str) -> Principal | None:
        row = self._by_digest.get(digest_of(token))
        if row is None:
            return None
        user = self.users.get(row.user_id)
        return Principal(
            kind="server_token",
            id=row.id,
            name=row.name,
            organization_id=row.organization_id,
            user_id=row.user_id,
            email=user.email if user else "",
            scopes=_ALL,
        )

    def _session_token(self, token: str) -> Principal | None:
        claims = self._key.verify(token)
        user = self.users.get(str(claims["sub"])) if claims else None
        if claims is None or user is None or user.organization_id != claims["orgId"]:
            return None
        return Principal(
            kind="user",
            id=user.id,
            name=user.name,
            organization_id=user.organization_id,
            user_id=user.id,
            email=user.email,
            scopes=_ALL if user.role == "admin" else _MEMBER,
            expires_at=float(claims["exp"]),
        )

    def _deployment(self, pair: str) -> Principal | None:
        deployment_id, _, secret = pair.partition(":")
        state = self._fleet.by_id(deployment_id)
        if state is None or state.row.secret_digest is None:
            return None
        if not hmac.compare_digest(state.row.secret_digest, digest_of(secret)):
            return None
        return Principal(
            kind="deployment",
            id=deployment_id,
            name=state.row.name,
            organization_id=state.row.organization_id,
            scopes=_DEPLOYMENT,
        )

    # ---- changing

    def add(self, organization: OrganizationRow, user: UserRow, token: ServerTokenRow) -> None:
        """A new organization with its admin and first token."""
        self.organizations[organization.id] = organization
        self.users[user.id] = user
        self.add_server_token(token)

    def add_server_token(self, token: ServerTokenRow) -> None:
        """A new server token."""
        self.server_tokens[token.id] = token
        self._by_digest[token.digest] = token

    def remove_server_token(self, token_id: str) -> None:
        """From now on the token is refused."""
        token = self.server_tokens.pop(token_id)
        del self._by_digest[token.digest]
        self.forget()

    def forget(self) -> None:
        """Credentials changed: look each up anew."""
        self._collect_uses()
        self._cache.clear()

    def take_uses(self) -> list[tuple[str, float]]:
        """Server tokens that were used since the last time, with the moment in Unix seconds."""
        self._collect_uses()
        used, self._used = self._used, {}
        return list(used.items())

    def _collect_uses(self) -> None:
        now = self._clock.wall()
        for principal in self._cache.values():
            if principal.uses and principal.kind == "server_token":
                principal.uses = 0
                row = self.server_tokens.get(principal.id)
                if row is not None:
                    row.last_used_at = self._used[row.id] = now

    def make_session_token(self, user: UserRow, *, issuer: str, lifetime_s: float = SESSION_TOKEN_S) -> tuple[str, str]:
        """A JWT for `user` and the stamp of its expiry."""
        now = int(self._clock.wall())
        organization = self.organizations[user.organization_id]
        expires = now + int(lifetime_s)
        token = self._key.sign(
            {
                "iss": issuer,
                "sub": user.id,
                "orgId": organization.id,
                "orgs": {organization.id: {"name": organization.name, "role": user.role}},
                "email": user.email,
                "name": user.name,
                "iat": now,
                "exp": expires,
            }
        )
        return token, to_iso(expires)
