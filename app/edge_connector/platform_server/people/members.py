"""Organizations and who belongs to them: members, roles, invite links. No HTTP here."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge_connector.core.clock import Clock
from edge_connector.platform_server.identity import Identity, Principal, digest_of, new_id, new_secret
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.passwords import Passwords
from edge_connector.platform_server.people.sessions import Session
from edge_connector.platform_server.refusals import Refused, forbidden, invalid_request, not_found
from edge_connector.platform_server.store.people import InviteRow, MembershipRow, PeopleStore, UserRow
from edge_connector.platform_server.store.records import OrganizationRow

log = logging.getLogger(__name__)

Role = Literal["admin", "member"]
INVITE_S = 7 * 24 * 3600.0
MAX_ORGANIZATIONS = 100
MAX_NAME = 100
MAX_EMAIL = 254
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
MAX_INVITES = 1_000
"""Open ones of an organization."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invite link leads to.

    Attributes:
        user: the person whom it is addressed to, when known here already.
        needs: `sign_in` when that person can, else `new_person`.
    """

    row: InviteRow
    organization: OrganizationRow
    user: UserRow | None
    needs: Literal["sign_in", "new_person"]


class Members:
    """Changes to organizations and their members; each is in the audit log."""

    def __init__(
        self, store: PeopleStore, *, identity: Identity, passwords: Passwords, audit: Audit, clock: Clock
    ) -> None:
        self._store = store
        self._identity = identity
        self._passwords = passwords
        self._audit = audit
        self._clock = clock
        self._changing = asyncio.Lock()

    # ---- organizations

    async def create_organization(self, actor: Principal, name: str, *, address: str) -> OrganizationRow:
        """A new organization with the person as its admin.

        Raises:
            Refused: 403, the actor is no person; 409, the person is in too many organizations.
        """
        if actor.kind != "user":
            raise forbidden("Only a person makes an organization.", hint="Sign in and use your own token.")
        if len(self._identity.memberships_of(actor.user_id)) >= MAX_ORGANIZATIONS:
            text = f"A person is in at most {MAX_ORGANIZATIONS} organizations."
            raise Refused(409, "too_many_organizations", text, hint="Leave the making of this one to somebody else.")
        now = self._clock.wall()
        row = OrganizationRow(id=new_id("org"), name=name.strip(), created_at=now)
        membership = MembershipRow(user_id=actor.user_id, organization_id=row.id, role="admin", created_at=now)
        await self._store.add_organization(row.id, row.name, membership)
        self._identity.add_organization(row, membership)
        inside = self._identity.person(actor.user_id, row.id)
        assert inside is not None, "the person has just become a member"
        await self._audit.note(inside, "organization.created", ("organization", row.id, row.name), address=address)
        log.info("organization made organization=%s user=%s", row.id, actor.user_id)
        return row

    async def set_organization_active(self, organization_id: str, active: bool, *, address: str) -> None:
        """Deactivate an organization: all its credentials are refused and all its sessions end; or let it go on."""
        await self._store.set_organization_active(organization_id, active)
        self._identity.set_active(organization_id, active)
        name = self._identity.organizations[organization_id].name
        await self._audit.note_operator(
            [organization_id],
            "organization.activated" if active else "organization.deactivated",
            ("organization", organization_id, name),
            address=address,
        )
        log.warning("organization %s organization=%s", "activated" if active else "deactivated", organization_id)

    # ---- members

    async def set_role(
        self, actor: Principal, user_id: str, role: Role, *, address: str
    ) -> tuple[UserRow, MembershipRow]:
        """Give a member another role; it holds for the next request.

        Raises:
            Refused: 404, no member; 409, the last admin.
        """
        async with self._changing:
            user, membership = self._member(actor, user_id)
            if membership.role != role:
                if role == "member":
                    self._check_other_admin(actor.organization_id, user_id)
                changed = MembershipRow(
                    user_id=user_id, organization_id=actor.organization_id, role=role, created_at=membership.created_at
                )
                await self._store.put_membership(changed)
                self._identity.put_membership(changed)
                membership = changed
                await self._audit.note(
                    actor, "member.role_changed", ("user", user.id, user.email), address=address, role=role
                )
            return user, membership

    async def remove(self, actor: Principal, user_id: str, *, address: str) -> None:
        """End a membership: the person's tokens, sessions and own connectors of this organization end at once.

        Raises:
            Refused: 404, no member; 409, the last admin.
        """
        async with self._changing:
            user, _ = self._member(actor, user_id)
            self._check_other_admin(actor.organization_id, user_id)
            await self._store.remove_membership(user_id, actor.organization_id, self._clock.wall())
            self._identity.remove_membership(user_id, actor.organization_id)
            await self._audit.note(actor, "member.removed", ("user", user.id, user.email), address=address)
            log.info("member removed user=%s organization=%s", user_id, actor.organization_id)

    def _member(self, actor: Principal, user_id: str) -> tuple[UserRow, MembershipRow]:
        for user, membership in self._identity.members_of(actor.organization_id):
            if user.id == user_id:
                return user, membership
        raise not_found("member", user_id)

    def _check_other_admin(self, organization_id: str, user_id: str) -> None:
        members = self._identity.members_of(organization_id)
        if not any(m.role == "admin" and user.active and user.id != user_id for user, m in members):
            raise Refused(
                409,
                "last_admin",
                "This person is the organization's last admin.",
                hint="Make somebody else admin first.",
            )

    # ---- invites

    async def invite(self, actor: Principal, role: Role, *, email: str = "", address: str) -> tuple[InviteRow, str]:
        """A new invite and its code, which is not kept.

        Raises:
            Refused: 409, the person is a member already, or too many invites are open.
        """
        known = self._identity.user_by_email(email) if email else None
        if known is not None and self._identity.role_of(known.id, actor.organization_id) and _can_sign_in(known):
            raise Refused(409, "already_member", f"{email} is a member already.", hint="Change the role instead.")
        if len(await self._store.invites(actor.organization_id)) >= MAX_INVITES:
            raise Refused(409, "too_many_invites", "Too many invites are open.", hint="Revoke some first.")
        code = new_secret("eci")
        now = self._clock.wall()
        row = InviteRow(
            id=new_id("inv"),
            digest=digest_of(code),
            organization_id=actor.organization_id,
            role=role,
            email=email.strip(),
            created_by=actor.user_id,
            created_at=now,
            expires_at=now + INVITE_S,
        )
        await self._store.add_invite(row)
        await self._audit.note(actor, "invite.created", ("invite", row.id, row.email), address=address, role=role)
        return row, code

    async def invites(self, organization_id: str) -> list[InviteRow]:
        """The open ones, the oldest first."""
        now = self._clock.wall()
        return [row for row in await self._store.invites(organization_id) if row.expires_at > now]

    async def revoke_invite(self, actor: Principal, invite_id: str, *, address: str) -> None:
        """The link is no longer good.

        Raises:
            Refused: 404, there is no such open invite.
        """
        if not await self._store.remove_invite(actor.organization_id, invite_id):
            raise not_found("invite", invite_id)
        await self._audit.note(actor, "invite.revoked", ("invite", invite_id, ""), address=address)

    async def look_at_invite(self, code: str) -> Invitation:
        """What a link leads to.

        Raises:
            Refused: 404 `unknown_invite`: no such link, or revoked; 410: used or expired.
        """
        row = await self._store.invite_by_digest(digest_of(code))
        organization = self._identity.organizations.get(row.organization_id) if row is not None else None
        if row is None or organization is None or not organization.active:
            raise Refused(
                404, "unknown_invite", "This invite link is not known here, or was revoked.", hint="Ask for a new one."
            )
        if row.used_at is not None or row.expires_at <= self._clock.wall():
            word = "has expired" if row.used_at is None else "was used before"
            raise Refused(410, "invite_over", f"This invite link {word}.", hint="Ask for a new one.")
        user = self._identity.user_by_email(row.email) if row.email else None
        needs: Literal["sign_in", "new_person"] = "sign_in" if user is not None and _can_sign_in(user) else "new_person"
        return Invitation(row, organization, user, needs)

    async def accept_invite(self, session: Session, code: str, *, address: str) -> Invitation:
        """The signed-in person becomes a member; a member stays what he or she is.

        Raises:
            Refused: see `look_at_invite`; 403, the link is for another address.
        """
        invitation = await self.look_at_invite(code)
        row, user = invitation.row, session.user
        if row.email and row.email.lower() != user.email.lower():
            raise forbidden(
                f"This invite is for {row.email}; you are signed in as {user.email}.",
                hint="Sign out, then open the link again.",
            )
        await self._join(invitation, user, address)
        return invitation

    async def accept_invite_as_new(
        self, code: str, *, email: str, name: str, password: str, address: str
    ) -> tuple[Invitation, UserRow]:
        """A new person with a password becomes a member.

        Raises:
            Refused: see `look_at_invite`; 409 `sign_in_first`: the person has an account; 403: another address; 400:
                no e-mail address, or the password is too short.
        """
        invitation = await self.look_at_invite(code)
        row, email = invitation.row, email.strip()
        if not _EMAIL.fullmatch(email) or len(email) > MAX_EMAIL:
            raise invalid_request("the field email is no e-mail address")
        if row.email and row.email.lower() != email.lower():
            raise forbidden(f"This invite is for {row.email}.", hint="Use that e-mail address.")
        known = self._identity.user_by_email(email)
        if known is not None and not self._may_get_password(known, row):
            raise _sign_in_first(email)
        password_hash = await self._passwords.hash(password)
        if known is None:
            known = UserRow(id=new_id("usr"), email=email, name=email, created_at=self._clock.wall())
        user = msgspec.structs.replace(known, name=name.strip()[:MAX_NAME] or known.name, password_hash=password_hash)
        await self._join(invitation, user, address)
        return invitation, user

    def _may_get_password(self, user: UserRow, invite: InviteRow) -> bool:
        """Whether the invite may give a person who never had a password one.

        Only when no other organization trusts that person: its admins could be overtaken otherwise.
        """
        elsewhere = [m for m in self._identity.memberships_of(user.id) if m.organization_id != invite.organization_id]
        return not _can_sign_in(user) and user.active and bool(invite.email) and not elsewhere

    async def _join(self, invitation: Invitation, user: UserRow, address: str) -> None:
        row, now = invitation.row, self._clock.wall()
        async with self._changing:
            holder = self._identity.user_by_email(user.email)
            if holder is not None and holder.id != user.id:
                # Two links for the same new person, opened at the same time.
                raise _sign_in_first(user.email)
            known = next(
                (m for m in self._identity.memberships_of(user.id) if m.organization_id == row.organization_id), None
            )
            membership = known or MembershipRow(
                user_id=user.id, organization_id=row.organization_id, role=row.role, created_at=now
            )
            if not await self._store.use_invite(row.id, now, user, membership):
                raise Refused(410, "invite_over", "This invite link was used before.", hint="Ask for a new one.")
            self._identity.put_user(user)
            self._identity.put_membership(membership)
        actor = self._identity.person(user.id, row.organization_id)
        if actor is not None:
            await self._audit.note(
                actor, "invite.accepted", ("user", user.id, user.email), address=address, role=membership.role
            )
        log.info("invite accepted user=%s organization=%s", user.id, row.organization_id)


def _can_sign_in(user: UserRow) -> bool:
    return bool(user.password_hash or user.oidc_subject)


def _sign_in_first(email: str) -> Refused:
    return Refused(
        409, "sign_in_first", f"{email} has an account here.", hint="Sign in, then open the invite link again."
    )
