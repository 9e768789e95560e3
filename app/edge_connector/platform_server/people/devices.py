"""Connectors that ask to be approved by a person: the device authorization grant (RFC 8628). No forms, no pages.

`start` and `poll` serve the connector, `look` and `decide` the person in the browser.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from edge_connector.core.clock import Clock
from edge_connector.platform_server.identity import Identity, digest_of, new_secret
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.refusals import access_denied, expired_token, invalid_grant, waiting
from edge_connector.platform_server.people.sessions import Session
from edge_connector.platform_server.people.tokens import TokenPair, Tokens
from edge_connector.platform_server.refusals import Refused, too_many_attempts
from edge_connector.platform_server.store.people import DeviceGrantRow, PeopleStore

log = logging.getLogger(__name__)

GRANT_S = 600.0
INTERVAL_S = 5.0
SLOWER_S = 5.0
"""Added to the interval when a connector asks too often (RFC 8628, section 3.5)."""
TOLERANCE_S = 0.5
"""A request that waited its interval may still arrive a little early."""
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, no digits: no words and no mistakes (RFC 8628, section 6.1); 8 of them are 34 bits for 10 minutes."""
MAX_PENDING = 10_000
STARTS_A_MINUTE = 30
GUESSES_A_MINUTE = 20
MAX_TEXT = 200


@dataclass(frozen=True, slots=True, repr=False)
class StartedGrant:
    """What a connector is told: it shows `user_code` and keeps `device_code` for itself."""

    device_code: str
    user_code: str
    expires_in_s: int
    interval_s: int


class DeviceGrants:
    """The connectors that wait, and those that were decided."""

    def __init__(self, store: PeopleStore, identity: Identity, tokens: Tokens, audit: Audit, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._tokens = tokens
        self._audit = audit
        self._clock = clock
        self._asked: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._starts = RateLimitItemPerMinute(STARTS_A_MINUTE)
        self._guesses = RateLimitItemPerMinute(GUESSES_A_MINUTE)

    # ---- the connector

    async def start(self, *, client: str, host: str, instance_id: str, scope: str, address: str) -> StartedGrant:
        """A new grant that waits for a person.

        Raises:
            Refused: too many from this address, or too many that wait.
        """
        if not self._limiter.hit(self._starts, "start", address or "unknown"):
            raise too_many_attempts()
        now = self._clock.wall()
        if await self._store.pending_device_grants(now) >= MAX_PENDING:
            raise Refused(503, "too_many_grants", "Too many connectors wait to be approved.", hint="Try again soon.")
        device_code = new_secret("ecd")
        while True:
            letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
            row = DeviceGrantRow(
                device_digest=digest_of(device_code),
                user_code=f"{letters[:4]}-{letters[4:]}",
                client=client[:MAX_TEXT],
                host=host[:MAX_TEXT],
                instance_id=instance_id[:MAX_TEXT],
                scope=scope[:MAX_TEXT],
                created_at=now,
                expires_at=now + GRANT_S,
                interval_s=INTERVAL_S,
            )
            if await self._store.add_device_grant(row):
                return StartedGrant(device_code, row.user_code, int(GRANT_S), int(INTERVAL_S))

    async def poll(self, device_code: str) -> TokenPair:
        """The tokens, once, after a person approved.

        Raises:
            OAuthRefused: `authorization_pending`, `slow_down`, `access_denied`, `expired_token` or `invalid_grant`.
        """
        digest = digest_of(device_code)
        row = await self._store.device_grant(digest)
        if row is None:
            raise invalid_grant("The device code is not known here.")
        if row.state == "used":
            raise invalid_grant("The device code was used before.")
        if row.state == "denied":
            raise access_denied()
        if row.expires_at <= self._clock.wall():
            raise expired_token()
        self._check_pace(digest)
        if row.state == "pending":
            raise waiting("authorization_pending")
        user = self._identity.users.get(row.user_id)
        if user is None or self._identity.person(row.user_id, row.organization_id) is None:
            raise access_denied()
        if not await self._store.move_device_grant(digest, "approved", "used"):
            raise invalid_grant("The device code was used before.")
        self._asked.pop(digest, None)
        return await self._tokens.issue(user, row.organization_id, client=row.client, host=row.host)

    def _check_pace(self, digest: bytes) -> None:
        now = self._clock.monotonic()
        last, interval_s = self._asked.get(digest, (float("-inf"), INTERVAL_S))
        is_early = now - last < interval_s - TOLERANCE_S
        self._asked[digest] = (now, interval_s + SLOWER_S if is_early else interval_s)
        self._asked.move_to_end(digest)
        if len(self._asked) > MAX_PENDING:
            self._asked.popitem(last=False)
        if is_early:
            raise waiting("slow_down")

    # ---- the person

    async def look(self, user_code: str, *, address: str) -> DeviceGrantRow:
        """The connector that shows this code, as typed by a person in whatever case and spacing.

        Raises:
            Refused: unknown, expired or decided already, or too many guesses from this address.
        """
        if not self._limiter.test(self._guesses, "guess", address or "unknown"):
            raise too_many_attempts()
        letters = re.sub(r"[^A-Z]", "", user_code.upper())
        row = await self._store.device_grant_by_code(f"{letters[:4]}-{letters[4:]}")
        if row is None:
            self._limiter.hit(self._guesses, "guess", address or "unknown")
            raise Refused(
                404,
                "unknown_user_code",
                "No connector shows this code.",
                hint="Compare it with the connector's window.",
            )
        if row.expires_at <= self._clock.wall():
            raise Refused(
                410, "user_code_expired", "This code has expired.", hint="Begin again on the connector for a new code."
            )
        if row.state != "pending":
            raise _decided(row)
        return row

    async def decide(self, session: Session, user_code: str, *, approve: bool, address: str) -> DeviceGrantRow:
        """A signed-in person approves the connector for the session's organization, or denies it; once.

        Raises:
            Refused: see `look`; or the session has no organization.
        """
        row = await self.look(user_code, address=address)
        principal = session.principal
        if principal is None:
            raise Refused(409, "organization_not_chosen", "No organization is chosen.", hint="Choose one first.")
        state = "approved" if approve else "denied"
        moved = await self._store.move_device_grant(
            row.device_digest, "pending", state, user_id=principal.user_id, organization_id=principal.organization_id
        )
        if not moved:
            raise _decided(row)
        await self._audit.note(
            principal, f"connector.{state}", ("connector", row.instance_id, row.client), address=address, host=row.host
        )
        log.info("connector %s user=%s organization=%s", state, principal.user_id, principal.organization_id)
        row.state = state
        return row


def _decided(row: DeviceGrantRow) -> Refused:
    return Refused(
        409,
        "already_decided",
        f"The connector with the code {row.user_code} was approved or denied already.",
        hint="Begin again on the connector for a new code.",
    )
