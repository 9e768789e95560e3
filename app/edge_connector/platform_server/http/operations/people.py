"""Operations on people: organizations, members, invites, sign-ins, the audit log."""

from __future__ import annotations

import msgspec

from edge_connector.core.clock import to_iso
from edge_connector.platform_api import models as api
from edge_connector.platform_api import people
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import forbidden
from edge_connector.platform_server.store.people import AuditFilter, AuditRow, MembershipRow, UserRow

INVITE_PAGE = "/invite"
"""Where an invite link leads to."""


class PeopleOperations:
    """People of the caller's organization, and the caller's own sign-ins."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ---- organizations

    async def listOrganizations(self, request: ApiRequest) -> people.OrganizationList:
        caller, identity = request.principal, self._parts.identity
        if caller.kind == "user":
            own = [(m.organization_id, m.role) for m in identity.memberships_of(caller.user_id)]
        else:
            own = [(caller.organization_id, "admin")]
        return people.OrganizationList(organizations=[self._organization(caller, id_, role) for id_, role in own])

    async def createOrganization(self, request: ApiRequest) -> people.Organization:
        body: people.OrganizationRequest = request.body
        row = await self._parts.members.create_organization(request.principal, body.name, address=request.address)
        return self._organization(request.principal, row.id, "admin")

    def _organization(self, caller: Principal, organization_id: str, role: str) -> people.Organization:
        row = self._parts.identity.organizations[organization_id]
        return people.Organization(
            id=row.id,
            name=row.name,
            role=role,  # type: ignore[arg-type]
            created_at=to_iso(row.created_at),
            members=len(self._parts.identity.members_of(row.id)),
            is_current=row.id == caller.organization_id,
        )

    # ---- members

    async def listMembers(self, request: ApiRequest) -> people.MemberList:
        found = self._parts.identity.members_of(request.principal.organization_id)
        return people.MemberList(members=[_member(user, membership) for user, membership in found])

    async def setMemberRole(self, request: ApiRequest) -> people.Member:
        user, membership = await self._parts.members.set_role(
            request.principal, request.path["id"], request.body.role, address=request.address
        )
        return _member(user, membership)

    async def removeMember(self, request: ApiRequest) -> api.Empty:
        await self._parts.members.remove(request.principal, request.path["id"], address=request.address)
        return api.Empty()

    # ---- invites

    async def listInvites(self, request: ApiRequest) -> people.InviteList:
        rows = await self._parts.members.invites(request.principal.organization_id)
        users = self._parts.identity.users
        return people.InviteList(
            invites=[
                people.Invite(
                    id=row.id,
                    role=row.role,  # type: ignore[arg-type]
                    email=row.email,
                    created_at=to_iso(row.created_at),
                    expires_at=to_iso(row.expires_at),
                    created_by=users[row.created_by].name if row.created_by in users else "",
                )
                for row in rows
            ]
        )

    async def createInvite(self, request: ApiRequest) -> people.NewInvite:
        body: people.InviteRequest = request.body
        row, code = await self._parts.members.invite(
            request.principal, body.role, email=body.email, address=request.address
        )
        return people.NewInvite(
            id=row.id,
            url=f"{self._parts.api_url}{INVITE_PAGE}?code={code}",
            role=body.role,
            email=row.email,
            expires_at=to_iso(row.expires_at),
        )

    async def revokeInvite(self, request: ApiRequest) -> api.Empty:
        await self._parts.members.revoke_invite(request.principal, request.path["id"], address=request.address)
        return api.Empty()

    # ---- sign-ins

    async def listSessions(self, request: ApiRequest) -> people.SignInList:
        found = await self._parts.sessions.overview(_person(request))
        return people.SignInList(
            sessions=[
                people.SignIn(
                    id=known.id,
                    kind=known.kind,  # type: ignore[arg-type]
                    place=known.place,
                    address=known.address,
                    organization_id=known.organization_id,
                    created_at=to_iso(known.created_at),
                    seen_at=to_iso(known.seen_at),
                    expires_at=to_iso(known.expires_at),
                    is_current=known.is_current or known.id == request.principal.family,
                )
                for known in found
            ]
        )

    async def endSession(self, request: ApiRequest) -> api.Empty:
        await self._parts.sessions.end(_person(request), request.path["id"], address=request.address)
        return api.Empty()

    # ---- the audit log

    async def listAudit(self, request: ApiRequest) -> people.AuditList:
        query: people.AuditQuery = request.query
        rows = await self._parts.audit.entries(
            AuditFilter(
                organization_id=request.principal.organization_id,
                limit=query.limit,
                before=query.before,
                action=query.action,
                actor_id=query.actor,
            )
        )
        is_last = len(rows) < query.limit
        return people.AuditList(entries=[_entry(row) for row in rows], next=0 if is_last else rows[-1].seq)


def _person(request: ApiRequest) -> str:
    if request.principal.kind != "user":
        raise forbidden("Only a person has sessions.", hint="Sign in and use your own token.")
    return request.principal.user_id


def _member(user: UserRow, membership: MembershipRow) -> people.Member:
    return people.Member(
        id=user.id,
        name=user.name,
        email=user.email,
        role=membership.role,  # type: ignore[arg-type]
        since=to_iso(membership.created_at),
        has_password=bool(user.password_hash),
    )


def _entry(row: AuditRow) -> people.AuditEntry:
    return people.AuditEntry(
        seq=row.seq,
        at=to_iso(row.at),
        actor_kind=row.actor_kind,
        actor_id=row.actor_id,
        actor_name=row.actor_name,
        action=row.action,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        subject_name=row.subject_name,
        detail=msgspec.json.decode(row.detail),
        address=row.address,
    )
