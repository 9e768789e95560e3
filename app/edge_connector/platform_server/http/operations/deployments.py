"""Operations on deployments: list, make, rotate, delete, and the desktop of a person."""

from __future__ import annotations

from typing import Any

from edge_connector.platform_api import models as api
from edge_connector.platform_api import people
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.fleet import DeploymentState, Fleet
from edge_connector.platform_server.http.api_request import ApiRequest, stamp
from edge_connector.platform_server.http.deployment_documents import deployment_document
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import forbidden, not_found


def found_deployment(fleet: Fleet, organization_id: str, id_or_name: str) -> DeploymentState:
    """The deployment of an organization.

    Raises:
        Refused: 404, there is none of that id or name.
    """
    state = fleet.find(organization_id, id_or_name)
    if state is None:
        raise not_found("deployment", id_or_name)
    return state


class DeploymentOperations:
    """Deployments of the caller's organization."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def listDeployments(self, request: ApiRequest) -> api.DeploymentList:
        states = self._parts.fleet.of_organization(request.principal.organization_id)
        return api.DeploymentList(deployments=[deployment_document(state) for state in states])

    async def getDeployment(self, request: ApiRequest) -> api.Deployment:
        return deployment_document(self._deployment(request))

    async def createDeployment(self, request: ApiRequest) -> api.NewDeployment:
        body: api.DeploymentRequest = request.body
        state, secret = await self._parts.deployments.create(
            request.principal.organization_id, name=body.name, description=body.description, client_type=body.type
        )
        await self._note(request, "deployment.created", state, type=body.type)
        return api.NewDeployment(id=state.row.id, name=state.row.name, secret=secret)

    async def deleteDeployment(self, request: ApiRequest) -> api.Empty:
        state = self._deployment(request)
        await self._parts.deployments.delete(state)
        await self._note(request, "deployment.deleted", state)
        return api.Empty()

    async def rotateDeploymentSecret(self, request: ApiRequest) -> people.RotatedDeployment:
        state = self._own_deployment(request)
        body: people.RotateRequest = request.body
        if request.principal.kind == "deployment" and body.keep_old_for_s == 0:
            # Whoever stole the secret could lock the connector out before anybody notices.
            raise forbidden("A deployment does not end its own secret at once.", hint="Leave keepOldForS out.")
        secret = await self._parts.deployments.rotate_secret(state, keep_old_s=body.keep_old_for_s)
        await self._note(request, "deployment.secret_rotated", state, keep_old_for_s=body.keep_old_for_s)
        until = state.row.previous_secret_until if state.row.previous_secret_digest is not None else None
        return people.RotatedDeployment(
            id=state.row.id, name=state.row.name, secret=secret, old_secret_until=stamp(until)
        )

    async def endOldDeploymentSecret(self, request: ApiRequest) -> api.Empty:
        state = self._own_deployment(request)
        if await self._parts.deployments.end_previous_secret(state):
            await self._note(request, "deployment.old_secret_ended", state)
        return api.Empty()

    async def registerDesktop(self, request: ApiRequest) -> people.DesktopDeployment:
        if request.principal.kind != "user":
            raise forbidden("Only a person registers a desktop.", hint="Sign in: edge-connector auth --browser.")
        body: people.DesktopRequest = request.body
        state, secret, is_new = await self._parts.deployments.register_desktop(
            request.principal, body.instance_id, body.host
        )
        await self._note(request, "deployment.desktop_registered", state, is_new=is_new)
        organization = self._parts.identity.organizations[state.row.organization_id]
        return people.DesktopDeployment(
            id=state.row.id,
            name=state.row.name,
            secret=secret,
            organization_id=organization.id,
            organization=organization.name,
            is_new=is_new,
        )

    def _own_deployment(self, request: ApiRequest) -> DeploymentState:
        """One that these credentials may change: an admin any, a person the own desktop, a deployment itself."""
        caller = request.principal
        if caller.kind == "deployment" and request.path["id"] != caller.id:
            raise not_found("deployment", request.path["id"])
        state = self._deployment(request)
        is_own = bool(caller.user_id) and caller.kind == "user" and state.row.user_id == caller.user_id
        if caller.kind == "deployment" or is_own or Scope.MANAGE in caller.scopes:
            return state
        raise forbidden("These credentials lack the scope 'manage', and it is not this person's desktop.")

    def _deployment(self, request: ApiRequest) -> DeploymentState:
        return found_deployment(self._parts.fleet, request.principal.organization_id, request.path["id"])

    async def _note(self, request: ApiRequest, action: str, state: DeploymentState, **detail: Any) -> None:
        subject = ("deployment", state.row.id, state.row.name)
        await self._parts.audit.note(request.principal, action, subject, address=request.address, **detail)
