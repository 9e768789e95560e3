"""The first organization of a platform: a one-time code makes it, its admin and a server token. No pages here."""

from __future__ import annotations

import hmac
import logging
import secrets

from edge_connector.core.clock import Clock
from edge_connector.platform_api import models as api
from edge_connector.platform_server.identity import Identity, digest_of, new_id, new_secret
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.passwords import Passwords
from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.store.people import MembershipRow, UserRow
from edge_connector.platform_server.store.records import OrganizationRow, ServerTokenRow, Store
from edge_connector.platform_server.store.sqlite import SETUP_CODE_KEY

log = logging.getLogger(__name__)


class FirstStart:
    """Owns the set-up code. Each start before the set-up makes a new one, because only its hash is kept."""

    def __init__(self, store: Store, identity: Identity, passwords: Passwords, audit: Audit, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._passwords = passwords
        self._audit = audit
        self._clock = clock
        self.code: str | None = None
        """The code to print; None once the platform is set up."""
        self.issuer = ""

    async def open(self) -> None:
        """Make a code unless an organization exists."""
        if self._identity.organizations:
            return
        self.code = secrets.token_urlsafe(24)
        await self._store.put_setting(SETUP_CODE_KEY, digest_of(self.code).hex())

    def check(self, code: str) -> None:
        """Pass only with the code.

        Raises:
            Refused: set up already, or another code.
        """
        if self.code is None:
            raise Refused(
                409,
                "already_set_up",
                "This platform is set up already.",
                hint="Sign in with a token of its organization.",
            )
        if not hmac.compare_digest(digest_of(self.code), digest_of(code)):
            raise Refused(
                403,
                "wrong_setup_code",
                "The field code is not the set-up code of this platform.",
                hint="Use the link that the platform printed at its last start.",
            )

    async def set_up(self, request: api.SetupRequest, *, address: str = "") -> api.SetupReply:
        """Make organization, admin and server token; the code is used up.

        Raises:
            Refused: see `check`; or the password is too short.
        """
        self.check(request.code)
        password_hash = await self._passwords.hash(request.password) if request.password else ""
        self.check(request.code)
        now = self._clock.wall()
        organization = OrganizationRow(id=new_id("org"), name=request.organization.strip(), created_at=now)
        user = UserRow(
            id=new_id("usr"),
            email=request.email,
            name=request.name.strip(),
            password_hash=password_hash,
            created_at=now,
        )
        membership = MembershipRow(user_id=user.id, organization_id=organization.id, role="admin", created_at=now)
        secret = new_secret("ect")
        token = ServerTokenRow(
            id=new_id("tok"),
            organization_id=organization.id,
            user_id=user.id,
            name="first token",
            digest=digest_of(secret),
            created_at=now,
        )
        used, self.code = self.code, None
        try:
            made = await self._store.set_up(organization, user, membership, token)
        except BaseException:
            self.code = used
            raise
        if not made:
            self.check(request.code)
        self._identity.put_user(user)
        self._identity.add_organization(organization, membership)
        self._identity.add_server_token(token)
        session_token, _ = self._identity.make_session_token(user, organization.id, issuer=self.issuer)
        subject = ("organization", organization.id, organization.name)
        await self._audit.note_person(user, "organization.created", subject, address=address)
        log.info("platform set up organization=%s", organization.id)
        return api.SetupReply(
            organization_id=organization.id,
            organization=organization.name,
            user_id=user.id,
            server_token=secret,
            session_token=session_token,
        )
