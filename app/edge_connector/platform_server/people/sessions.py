"""People in browsers: sign-in with a password, their sessions, the chosen organization, a new password. No HTTP.

The browser keeps 256 random bits in a cookie, the platform their digest. Signing in always makes a new session.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from dataclasses import dataclass

from edge_connector.core.clock import Clock
from edge_connector.platform_server.identity import Identity, Principal, digest_of, new_secret
from edge_connector.platform_server.people.attempts import Attempts
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.passwords import Passwords
from edge_connector.platform_server.people.tokens import Tokens
from edge_connector.platform_server.refusals import Refused, not_found
from edge_connector.platform_server.store.people import PeopleStore, UserRow, WebSessionRow

log = logging.getLogger(__name__)

IDLE_S = 7 * 24 * 3600.0
LIFE_S = 30 * 24 * 3600.0
"""However busy it is, a session ends then."""
MAX_USER_AGENT = 300
MAX_EMAIL = 254
MAX_BROWSERS = 50
"""Of one person; then the one that was used longest ago is signed out."""
SEEN_EVERY_S = 60.0
NEW_PASSWORD_BYTES = 12
"""96 bits, 16 characters."""


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A signed-in person at this moment.

    Attributes:
        token: what the cookie holds.
        principal: the person in the chosen organization; None while none is chosen.
        csrf: to be in each form of this session.
    """

    token: str
    row: WebSessionRow
    user: UserRow
    principal: Principal | None

    @property
    def csrf(self) -> str:
        return hmac.digest(self.token.encode(), b"csrf", hashlib.sha256).hex()

    def is_csrf(self, given: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.csrf.encode(), given.encode())


@dataclass(frozen=True, slots=True)
class SignIn:
    """One place where a person is signed in, as it is listed.

    Attributes:
        kind: `browser` or `connector`.
        place: the browser's own name, or connector and host.
        seen_at: Unix seconds; of a connector the last renewal of its tokens.
    """

    id: str
    kind: str
    place: str
    address: str
    organization_id: str
    created_at: float
    seen_at: float
    expires_at: float
    is_current: bool = False


class Sessions:
    """The signed-in browsers of all people, in memory; the store has the same."""

    def __init__(
        self,
        store: PeopleStore,
        stored: list[WebSessionRow],
        *,
        identity: Identity,
        passwords: Passwords,
        tokens: Tokens,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._identity = identity
        self._passwords = passwords
        self._tokens = tokens
        self._audit = audit
        self._clock = clock
        self._attempts = Attempts(clock)
        self._rows = {row.digest: row for row in stored}
        self._seen: dict[bytes, WebSessionRow] = {}

    # ---- signing in and out

    async def sign_in(
        self, email: str, password: str, *, address: str, user_agent: str = "", former: Session | None = None
    ) -> Session:
        """A new session; with one organization only it is chosen.

        Args:
            former: the session that the browser had; it ends.

        Raises:
            Refused: 401 `wrong_credentials` (whatever is wrong), 429 `account_locked` or `too_many_attempts`, 503.
        """
        user = await self._checked(email, password, address)
        organizations = self._identity.memberships_of(user.id)
        session = await self._make(
            user, organizations[0].organization_id if len(organizations) == 1 else "", address, user_agent
        )
        if former is not None:
            await self._end([former.row.digest])
        await self._audit.note_person(user, "person.signed_in", address=address)
        if self._passwords.is_outdated(kept := user.password_hash):
            fresh = await self._passwords.rehash(password)
            if user.password_hash == kept:
                await self._set_password(user, fresh)
        return session

    async def open_for(self, user: UserRow, organization_id: str, *, address: str, user_agent: str = "") -> Session:
        """A session for a person who has just proved who they are in another way: set-up or an invite link."""
        return await self._make(user, organization_id, address, user_agent)

    async def sign_out(self, session: Session) -> None:
        """The session is over."""
        await self._end([session.row.digest])
        await self._audit.note_person(session.user, "person.signed_out", address=session.row.address)

    def find(self, token: str) -> Session | None:
        """The session of a cookie; None when it is unknown or over."""
        row = self._rows.get(digest_of(token))
        now = self._clock.wall()
        if row is None or row.expires_at <= now:
            return None
        user = self._identity.users.get(row.user_id)
        if user is None or not user.active:
            return None
        if now - row.seen_at >= SEEN_EVERY_S:
            row.seen_at = now
            row.expires_at = min(now + IDLE_S, row.created_at + LIFE_S)
            self._seen[row.digest] = row
        return Session(token, row, user, self._principal_of(row))

    def _principal_of(self, row: WebSessionRow) -> Principal | None:
        organization = self._identity.organizations.get(row.organization_id)
        if organization is None or not organization.active:
            return None
        return self._identity.person(row.user_id, row.organization_id)

    def take_seen(self) -> list[WebSessionRow]:
        """Sessions that were used since the last time, to be written."""
        seen, self._seen = self._seen, {}
        return list(seen.values())

    def expire(self) -> None:
        """Forget what is over; call it now and then."""
        now = self._clock.wall()
        for digest in [digest for digest, row in self._rows.items() if row.expires_at <= now]:
            del self._rows[digest]

    async def choose_organization(self, session: Session, organization_id: str) -> Session:
        """The same session in another organization of the person.

        Raises:
            Refused: 404, the person is no member of it or it is deactivated.
        """
        if organization_id not in {m.organization_id for m in self._identity.memberships_of(session.user.id)}:
            raise not_found("organization", organization_id)
        session.row.organization_id = organization_id
        await self._store.put_web_session(session.row)
        return Session(session.token, session.row, session.user, self._principal_of(session.row))

    # ---- name and password

    async def rename(self, session: Session, name: str, *, address: str) -> None:
        """The person is called so from now on, in all organizations."""
        user, former = session.user, session.user.name
        await self._store.set_name(user.id, name)
        user.name = name
        self._identity.forget()
        await self._audit.note_person(user, "person.renamed", address=address, former=former)

    async def change_password(self, session: Session, current: str, new: str, *, address: str) -> None:
        """A new password; all other sessions and connectors of the person are signed out.

        Raises:
            Refused: the current one is wrong, the new one too short, or too many tries.
        """
        user = await self._checked(session.user.email, current, address)
        await self._set_password(user, await self._passwords.hash(new))
        await self._end([row.digest for row in self._of(user.id) if row.digest != session.row.digest])
        await self._revoke_connectors(user.id, "the person's password was changed")
        await self._audit.note_person(user, "person.password_changed", address=address)

    async def reset_password(self, email: str, *, address: str) -> tuple[UserRow, str]:
        """A new password for a person who lost it, made by the platform's operator; every sign-in of the person ends.

        Raises:
            Refused: 404, nobody has this address.
        """
        user = self._identity.user_by_email(email)
        if user is None:
            raise Refused(404, "unknown_person", f"Nobody here has the address {email}.", hint="Check the address.")
        password = secrets.token_urlsafe(NEW_PASSWORD_BYTES)
        await self._set_password(user, await self._passwords.hash(password))
        self._attempts.succeeded(user.email.lower())
        await self._end([row.digest for row in self._of(user.id)])
        await self._revoke_connectors(user.id, "the person's password was changed")
        organizations = [m.organization_id for m in self._identity.memberships_of(user.id)]
        subject = ("user", user.id, user.email)
        await self._audit.note_operator(organizations, "person.password_reset", subject, address=address)
        return user, password

    async def _set_password(self, user: UserRow, password_hash: str) -> None:
        await self._store.set_password(user.id, password_hash)
        user.password_hash = password_hash

    async def _checked(self, email: str, password: str, address: str) -> UserRow:
        account = email.strip().lower()[:MAX_EMAIL]
        is_last = self._attempts.begin(account, address)
        user = self._identity.user_by_email(account)
        kept = user.password_hash if user is not None else ""
        is_right = await self._passwords.check(kept, password)
        # Meanwhile it may have been changed; whoever knew the old one is not let in any more.
        if user is None or not is_right or not user.active or user.password_hash != kept:
            if user is not None and is_last:
                log.warning("account locked user=%s address=%s", user.id, address)
                await self._audit.note_person(user, "person.locked", address=address)
            raise Refused(
                401,
                "wrong_credentials",
                "E-mail address or password is wrong.",
                hint="Check both; after ten wrong passwords an account is locked for a quarter of an hour.",
            )
        self._attempts.succeeded(account)
        return user

    # ---- where a person is signed in

    async def overview(self, user_id: str, current: Session | None = None) -> list[SignIn]:
        """Browsers and connectors, the oldest first."""
        found = [
            SignIn(
                id=session_id(row.digest),
                kind="browser",
                place=row.user_agent,
                address=row.address,
                organization_id=row.organization_id if self._principal_of(row) is not None else "",
                created_at=row.created_at,
                seen_at=row.seen_at,
                expires_at=row.expires_at,
                is_current=current is not None and row.digest == current.row.digest,
            )
            for row in self._of(user_id)
        ]
        connectors = {}
        for token in await self._store.refresh_tokens(user_id, self._clock.wall()):
            # The newest one of a family comes last.
            connectors[token.family] = SignIn(
                id=token.family,
                kind="connector",
                place=f"{token.client} on {token.host}" if token.host else token.client,
                address="",
                organization_id=token.organization_id,
                created_at=token.created_at,
                seen_at=token.created_at,
                expires_at=token.expires_at,
            )
        return sorted([*found, *connectors.values()], key=lambda sign_in: (sign_in.created_at, sign_in.id))

    async def end(self, user_id: str, sign_in_id: str, *, address: str) -> None:
        """Sign the person out in one place.

        Raises:
            Refused: 404, it is none of this person's.
        """
        found = next((known for known in await self.overview(user_id) if known.id == sign_in_id), None)
        if found is None:
            raise not_found("session", sign_in_id)
        if found.kind == "browser":
            await self._end([row.digest for row in self._of(user_id) if session_id(row.digest) == sign_in_id])
        else:
            await self._tokens.revoke_families(found.organization_id, [found.id], "the person signed the connector out")
        await self._audit.note_person(
            self._identity.users[user_id], "person.session_ended", address=address, kind=found.kind, place=found.place
        )

    async def _revoke_connectors(self, user_id: str, reason: str) -> None:
        await self._store.deny_device_grants(user_id)
        by_organization: dict[str, list[str]] = {}
        for token in await self._store.refresh_tokens(user_id, self._clock.wall()):
            by_organization.setdefault(token.organization_id, []).append(token.family)
        for organization_id, families in by_organization.items():
            await self._tokens.revoke_families(organization_id, families, reason)

    def _of(self, user_id: str) -> list[WebSessionRow]:
        now = self._clock.wall()
        return [row for row in self._rows.values() if row.user_id == user_id and row.expires_at > now]

    async def _make(self, user: UserRow, organization_id: str, address: str, user_agent: str) -> Session:
        token = new_secret("ecw")
        now = self._clock.wall()
        row = WebSessionRow(
            digest=digest_of(token),
            user_id=user.id,
            organization_id=organization_id,
            created_at=now,
            seen_at=now,
            expires_at=now + IDLE_S,
            user_agent=user_agent[:MAX_USER_AGENT],
            address=address,
        )
        own = sorted(self._of(user.id), key=lambda known: known.seen_at)
        # Known before it is written, so that a change of the password at the same moment ends it too.
        self._rows[row.digest] = row
        try:
            await self._store.put_web_session(row)
        except BaseException:
            self._rows.pop(row.digest, None)
            raise
        if len(own) >= MAX_BROWSERS:
            await self._end([own[0].digest])
        return Session(token, row, user, self._principal_of(row))

    async def _end(self, digests: list[bytes]) -> None:
        for digest in digests:
            self._rows.pop(digest, None)
            self._seen.pop(digest, None)
        await self._store.remove_web_sessions(digests)


def session_id(digest: bytes) -> str:
    """The public id of a browser's session: enough of its digest to tell it from others."""
    return f"ses_{digest[:8].hex()}"
