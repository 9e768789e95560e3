"""Operations of the platform's operator, who looks after all organizations and belongs to none."""

from __future__ import annotations

from edge_connector.core.clock import to_iso
from edge_connector.platform_api import people
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import not_found
from edge_connector.platform_server.store.records import OrganizationRow


class OperatorOperations:
    """Organizations and lost passwords."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def listAllOrganizations(self, request: ApiRequest) -> people.PlatformOrganizationList:
        rows = sorted(self._parts.identity.organizations.values(), key=lambda row: (row.name.lower(), row.id))
        return people.PlatformOrganizationList(organizations=[self._shown(row) for row in rows])

    async def setOrganizationActive(self, request: ApiRequest) -> people.PlatformOrganization:
        row = self._parts.identity.organizations.get(request.path["id"])
        if row is None:
            raise not_found("organization", request.path["id"])
        await self._parts.members.set_organization_active(row.id, request.body.active, address=request.address)
        return self._shown(row)

    async def resetPassword(self, request: ApiRequest) -> people.PasswordReset:
        user, password = await self._parts.sessions.reset_password(request.body.email, address=request.address)
        return people.PasswordReset(email=user.email, password=password)

    def _shown(self, row: OrganizationRow) -> people.PlatformOrganization:
        return people.PlatformOrganization(
            id=row.id,
            name=row.name,
            active=row.active,
            created_at=to_iso(row.created_at),
            members=len(self._parts.identity.members_of(row.id)),
            deployments=len(self._parts.fleet.of_organization(row.id)),
        )
