"""Who is asking: tokens and secrets to principals, from memory alone, so that no call waits for the database.

It keeps organizations, people, memberships and server tokens as the store has them; deployments belong to the fleet.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from edge_connector.core.clock import Clock, to_iso
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.fleet import Fleet
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.store.people import MembershipRow, UserRow
from edge_connector.platform_server.store.records import DeploymentRow, OrganizationRow, ServerTokenRow, StoredIdentity
from edge_connector.wire.close_codes import CloseCode

CACHE_ENTRIES = 20_000
FAILED_ATTEMPTS_PER_MINUTE = 60
SESSION_TOKEN_S = 30 * 24 * 3600

_ALL = frozenset(Scope) - {Scope.OPERATE}
_MEMBER = frozenset({Scope.PUBLIC, Scope.IDENTITY, Scope.CALLS})
_DEPLOYMENT = frozenset({Scope.PUBLIC, Scope.IDENTITY})
_OPERATOR = frozenset({Scope.PUBLIC, Scope.OPERATE})
OPERATOR = "operator"
OPERATOR_TOKEN_S = 60


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
        kind: `server_token`, `user`, `deployment` or `operator`, which belongs to no organization.
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
    family: str = ""
    """Of the refresh token that came with a person's token."""
    uses: int = field(default=0, compare=False)


def operator_token(key: SigningKey, now: float) -> str:
    """A JWT, good for a minute, for whoever can read the platform's own key.

    Args:
        now: Unix seconds.
    """
    return key.sign({"sub": OPERATOR, "orgId": "", OPERATOR: True, "iat": int(now), "exp": int(now) + OPERATOR_TOKEN_S})


class Identity:
    """The people and machines of all organizations, and the answer to an `Authorization` header."""

    def __init__(self, stored: StoredIdentity, fleet: Fleet, key: SigningKey, clock: Clock) -> None:
        self.organizations: dict[str, OrganizationRow] = {row.id: row for row in stored.organizations}
        self.users: dict[str, UserRow] = {row.id: row for row in stored.users}
        self.revoked_families = dict.fromkeys(stored.revoked_families, clock.wall())
        """Of refresh tokens, with the moment; the access tokens that came with them are refused as well."""
        self.on_change: list[Callable[[str, str], None]] = []
        """Called with an organization's id and a reason when credentials of it may have become bad."""
        self.server_tokens: dict[str, ServerTokenRow] = {row.id: row for row in stored.server_tokens}
        self._fleet = fleet
        self._key = key
        self._clock = clock
        self._memberships: dict[str, dict[str, MembershipRow]] = {}
        for membership in stored.memberships:
            self._memberships.setdefault(membership.user_id, {})[membership.organization_id] = membership
        self._by_email = {row.email.lower(): row for row in stored.users}
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
        if claims is not None and str(claims["sub"]) in self.users:
            if not self.role_of(str(claims["sub"]), str(claims["orgId"])):
                return CloseCode.FORBIDDEN, "the token is for another organization than its person is in"
            if float(claims["exp"]) > self._clock.wall():
                return CloseCode.UNAUTHORIZED, "the token was revoked"
            return CloseCode.UNAUTHORIZED, "the token has expired"
        row = self._deployment_row(token) if scheme.lower() == b"deployment" else None
        if row is not None and row.user_id and not self.role_of(row.user_id, row.organization_id):
            return CloseCode.FORBIDDEN, "the person of this deployment is no longer a member of the organization"
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
        if found is None or found.kind == OPERATOR:
            return found
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
        if claims is None or claims.get("sid", "") in self.revoked_families:
            return None
        if claims.get(OPERATOR) is True:
            return Principal(OPERATOR, "", OPERATOR, "", scopes=_OPERATOR, expires_at=float(claims["exp"]))
        membership = self._memberships.get(str(claims["sub"]), {}).get(str(claims["orgId"]))
        # A token from a former membership does not come back with the person.
        if membership is None or int(claims.get("iat", membership.created_at)) < int(membership.created_at):
            return None
        principal = self.person(membership.user_id, membership.organization_id)
        if principal is not None:
            principal.expires_at = float(claims["exp"])
            principal.family = str(claims.get("sid", ""))
        return principal

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """What a session token says; None unless it is ours and has not expired."""
        return self._key.verify(token)

    def person(self, user_id: str, organization_id: str) -> Principal | None:
        """A person in an organization; None unless an active member."""
        role = self.role_of(user_id, organization_id)
        if not role:
            return None
        user = self.users[user_id]
        return Principal(
            kind="user",
            id=user.id,
            name=user.name,
            organization_id=organization_id,
            user_id=user.id,
            email=user.email,
            scopes=_ALL if role == "admin" else _MEMBER,
        )

    def _deployment(self, pair: str) -> Principal | None:
        deployment_id, _, secret = pair.partition(":")
        state = self._fleet.by_id(deployment_id)
        if state is None:
            return None
        row, digest = state.row, digest_of(secret)
        expires_at = float("inf")
        if row.secret_digest is None or not hmac.compare_digest(row.secret_digest, digest):
            expires_at = row.previous_secret_until
            is_previous = row.previous_secret_digest is not None and hmac.compare_digest(
                row.previous_secret_digest, digest
            )
            if not is_previous or expires_at <= self._clock.wall():
                return None
        if row.user_id and not self.role_of(row.user_id, row.organization_id):
            return None
        return Principal(
            kind="deployment",
            id=deployment_id,
            name=row.name,
            organization_id=row.organization_id,
            scopes=_DEPLOYMENT,
            expires_at=expires_at,
        )

    def _deployment_row(self, pair: bytes) -> DeploymentRow | None:
        """The deployment whose current secret this is, whatever else speaks against it."""
        deployment_id, _, secret = pair.decode("latin-1").strip().partition(":")
        state = self._fleet.by_id(deployment_id)
        if state is None or state.row.secret_digest is None:
            return None
        return state.row if hmac.compare_digest(state.row.secret_digest, digest_of(secret)) else None

    # ---- people

    def user_by_email(self, email: str) -> UserRow | None:
        """The person with this address, in upper or lower case."""
        return self._by_email.get(email.strip().lower())

    def role_of(self, user_id: str, organization_id: str) -> str:
        """`admin` or `member`; empty when the person is none or was deactivated."""
        user = self.users.get(user_id)
        membership = self._memberships.get(user_id, {}).get(organization_id)
        return membership.role if user is not None and user.active and membership is not None else ""

    def memberships_of(self, user_id: str) -> list[MembershipRow]:
        """Of one person in active organizations, by the organization's name."""
        own = [m for m in self._memberships.get(user_id, {}).values() if self.organizations[m.organization_id].active]
        return sorted(own, key=lambda m: (self.organizations[m.organization_id].name.lower(), m.organization_id))

    def members_of(self, organization_id: str) -> list[tuple[UserRow, MembershipRow]]:
        """The members of an organization, by name."""
        found = [
            (self.users[user_id], own[organization_id])
            for user_id, own in self._memberships.items()
            if organization_id in own
        ]
        return sorted(found, key=lambda pair: (pair[0].name.lower(), pair[0].id))

    def put_user(self, user: UserRow) -> None:
        """A new person, or one that changed."""
        self.users[user.id] = user
        self._by_email[user.email.lower()] = user

    def put_membership(self, membership: MembershipRow) -> None:
        """A new member, or one with another role; it holds for the next request."""
        self._memberships.setdefault(membership.user_id, {})[membership.organization_id] = membership
        self.forget()

    def remove_membership(self, user_id: str, organization_id: str) -> None:
        """The person's credentials for this organization are refused from now on, and their sessions end."""
        self._memberships.get(user_id, {}).pop(organization_id, None)
        self.credentials_changed(organization_id, "the person is no longer a member of the organization")

    # ---- changing

    def add_organization(self, organization: OrganizationRow, membership: MembershipRow) -> None:
        """A new organization with its first admin."""
        self.organizations[organization.id] = organization
        self.put_membership(membership)

    def set_active(self, organization_id: str, active: bool) -> None:
        """Everybody and everything of a deactivated organization is refused, and its sessions end."""
        self.organizations[organization_id].active = active
        self.credentials_changed(organization_id, "the organization is deactivated")

    def add_server_token(self, token: ServerTokenRow) -> None:
        """A new server token."""
        self.server_tokens[token.id] = token
        self._by_digest[token.digest] = token

    def remove_server_token(self, token_id: str) -> None:
        """From now on the token is refused."""
        token = self.server_tokens.pop(token_id)
        del self._by_digest[token.digest]
        self.credentials_changed(token.organization_id, "the server token was revoked")

    def revoke_families(self, organization_id: str, families: Iterable[str], reason: str) -> None:
        """Access tokens of these sign-ins are refused from now on, and their sessions end."""
        self.revoked_families.update(dict.fromkeys(families, self._clock.wall()))
        self.credentials_changed(organization_id, reason)

    def forget_revoked(self, before: float) -> None:
        """Families that were revoked before this moment have no access token left that has not expired."""
        self.revoked_families = {family: at for family, at in self.revoked_families.items() if at >= before}

    def credentials_changed(self, organization_id: str, reason: str) -> None:
        """Look each up anew, and end what lives on bad ones."""
        self.forget()
        for listener in self.on_change:
            listener(organization_id, reason)

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

    def make_session_token(
        self, user: UserRow, organization_id: str, *, issuer: str, lifetime_s: float = SESSION_TOKEN_S, family: str = ""
    ) -> tuple[str, str]:
        """A JWT for a member of an organization and the stamp of its expiry.

        Args:
            family: of the refresh token that comes with it; when that is revoked the JWT is refused as well.
        """
        now = int(self._clock.wall())
        organization = self.organizations[organization_id]
        expires = now + int(lifetime_s)
        claims = {
            "iss": issuer,
            "sub": user.id,
            "orgId": organization.id,
            "orgs": {organization.id: {"name": organization.name, "role": self.role_of(user.id, organization.id)}},
            "email": user.email,
            "name": user.name,
            "iat": now,
            "exp": expires,
        }
        if family:
            # Two tokens of the same second differ by their number (RFC 7519, section 4.1.7).
            claims |= {"sid": family, "jti": secrets.token_hex(8)}
        return self._key.sign(claims), to_iso(expires)
