"""Access and refresh tokens of signed-in connectors (RFC 6749, 7009, 9700). It knows no forms and no pages.

An access token is a JWT for an hour. A refresh token is good for one use and 90 days; each use gives a new one of the
same family. When a used one comes again, somebody has a copy: the whole family is revoked (RFC 9700, section 4.14.2).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from edge_connector.core.clock import Clock
from edge_connector.platform_server.identity import Identity, digest_of, new_id, new_secret
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.refusals import invalid_grant
from edge_connector.platform_server.store.people import PeopleStore, RefreshTokenRow, UserRow

log = logging.getLogger(__name__)

ACCESS_S = 3600
REFRESH_S = 90 * 24 * 3600.0
GRACE_S = 60.0
"""A client whose answer was lost asks with the same token again."""
PREFIX = "ecr"


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """What a connector is given."""

    access_token: str
    refresh_token: str
    expires_in_s: int
    organization_id: str


class Tokens:
    """Gives out, renews and revokes."""

    def __init__(self, store: PeopleStore, identity: Identity, audit: Audit, clock: Clock, issuer: str) -> None:
        self._store = store
        self._identity = identity
        self._audit = audit
        self._clock = clock
        self._issuer = issuer
        self._renewing = asyncio.Lock()

    async def issue(self, user: UserRow, organization_id: str, *, client: str, host: str) -> TokenPair:
        """The first pair of a new family, for a member of the organization."""
        family = new_id("fam")
        return await self._pair(user, organization_id, family, client=client, host=host)

    async def refresh(self, token: str) -> TokenPair:
        """A new pair in place of a refresh token.

        Raises:
            OAuthRefused: `invalid_grant`, with the reason.
        """
        async with self._renewing:
            row = await self._store.refresh_token(digest_of(token))
            now = self._clock.wall()
            if row is None:
                raise invalid_grant("The refresh token is not known here.")
            if row.revoked_at is not None or row.family in self._identity.revoked_families:
                raise invalid_grant("The refresh token was revoked.")
            if row.expires_at <= now:
                raise invalid_grant("The refresh token has expired.")
            user = self._identity.users.get(row.user_id)
            if row.used_at is not None and now - row.used_at > GRACE_S:
                await self.revoke_families(row.organization_id, [row.family], "a used refresh token came again")
                log.warning("refresh token reused family=%s user=%s", row.family, row.user_id)
                if user is not None:
                    await self._audit.note_person(user, "tokens.reused", host=row.host)
                raise invalid_grant("The refresh token was used before; all tokens of this sign-in are revoked now.")
            if user is None or self._identity.person(user.id, row.organization_id) is None:
                raise invalid_grant("The person is not a member of the organization.")
            if not self._identity.organizations[row.organization_id].active:
                raise invalid_grant("The organization is deactivated.")
            return await self._pair(
                user, row.organization_id, row.family, client=row.client, host=row.host, in_place_of=row.digest
            )

    async def revoke(self, token: str) -> None:
        """End the sign-in that a refresh or access token belongs to; an unknown token is no error (RFC 7009)."""
        if token.startswith(f"{PREFIX}_"):
            row = await self._store.refresh_token(digest_of(token))
            if row is None or row.revoked_at is not None:
                return
            family, organization_id, user_id = row.family, row.organization_id, row.user_id
        else:
            claims = self._identity.claims_of(token)
            if claims is None or not claims.get("sid"):
                return
            family, organization_id, user_id = str(claims["sid"]), str(claims["orgId"]), str(claims["sub"])
        await self.revoke_families(organization_id, [family], "the person signed out")
        if (user := self._identity.users.get(user_id)) is not None:
            await self._audit.note_person(user, "connector.signed_out")

    async def revoke_families(self, organization_id: str, families: Sequence[str], reason: str) -> None:
        """All tokens of these sign-ins are refused from now on, and sessions that live on them end."""
        await self._store.revoke_families(families, self._clock.wall())
        self._identity.revoke_families(organization_id, families, reason)

    async def _pair(
        self, user: UserRow, organization_id: str, family: str, *, client: str, host: str, in_place_of: bytes = b""
    ) -> TokenPair:
        now = self._clock.wall()
        refresh = new_secret(PREFIX)
        row = RefreshTokenRow(
            digest=digest_of(refresh),
            family=family,
            user_id=user.id,
            organization_id=organization_id,
            client=client,
            host=host,
            created_at=now,
            expires_at=now + REFRESH_S,
        )
        await self._store.add_refresh_token(row, in_place_of=in_place_of)
        access, _ = self._identity.make_session_token(
            user, organization_id, issuer=self._issuer, lifetime_s=ACCESS_S, family=family
        )
        return TokenPair(access, refresh, ACCESS_S, organization_id)
