"""Deployments: their state, new ones, secrets shown once, deletion by name."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api import people
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.fleet import DeploymentState
from edge_connector.platform_server.http.deployment_documents import deployment_document
from edge_connector.platform_server.http.operations.deployments import found_deployment
from edge_connector.platform_server.http.pages.forms import filled
from edge_connector.platform_server.http.pages.site import Site, part_of
from edge_connector.platform_server.http.pages.visit import HOME, Visit
from edge_connector.platform_server.refusals import Refused

OVERLAPS = (
    (86400, "another 24 hours"),
    (604800, "another 7 days"),
    (3600, "another hour"),
    (0, "no longer: end it now"),
)
"""For how long the old secret may stay good."""


class DeploymentPages:
    """`/deployments`, one deployment, and their forms. Members look; a member changes the own desktop."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        route = self._site.route
        return [
            route("GET", HOME, self.deployments),
            route("GET", f"{HOME}/new", self.new),
            route("POST", HOME, self.create),
            route("GET", f"{HOME}/{{id}}", self.deployment),
            route("POST", f"{HOME}/{{id}}/secret", self.rotate),
            route("POST", f"{HOME}/{{id}}/old-secret/end", self.end_old_secret),
            route("POST", f"{HOME}/{{id}}/delete", self.delete),
        ]

    async def deployments(self, visit: Visit) -> Response:
        found = (await self._site.do(visit, ops.LIST_DEPLOYMENTS)).deployments
        shown, part = part_of(found, visit.query.get("page", ""))
        return self._site.page(visit, "deployments.html", deployments=shown, part=part)

    async def new(self, visit: Visit) -> Response:
        if Scope.MANAGE not in visit.principal.scopes:
            raise self._site.admins_only(visit.principal)
        return self._site.page(visit, "deployment_new.html")

    async def create(self, visit: Visit) -> Response:
        """A new deployment with its secret, shown with this answer only."""
        wanted, problems = filled(api.DeploymentRequest, visit.fields)
        if wanted is None:
            return self._site.page(visit, "deployment_new.html", status=400, problems=problems)
        try:
            made = await self._site.do(visit, ops.CREATE_DEPLOYMENT, wanted)
        except Refused as error:
            if error.code != "name_taken":
                raise
            problems = {"name": f"{error.message} {error.hint}"}
            return self._site.page(visit, "deployment_new.html", status=409, problems=problems)
        return self._page(visit, self._found(visit, made.id), made=made)

    async def deployment(self, visit: Visit) -> Response:
        return self._page(visit, self._found(visit, visit.request.path_params["id"]))

    async def rotate(self, visit: Visit) -> Response:
        """A new secret, shown with this answer only."""
        state = self._changeable(visit)
        wanted, problems = filled(people.RotateRequest, visit.fields)
        if wanted is None:
            return self._page(visit, state, status=400, problems=problems)
        made = await self._site.do(visit, ops.ROTATE_SECRET, wanted, id=state.row.id)
        return self._page(visit, state, made=made)

    async def end_old_secret(self, visit: Visit) -> Response:
        state = self._changeable(visit)
        await self._site.do(visit, ops.END_OLD_SECRET, id=state.row.id)
        return self._site.redirect(f"{HOME}/{state.row.id}")

    async def delete(self, visit: Visit) -> Response:
        """Only with the deployment's name typed."""
        state = self._found(visit, visit.request.path_params["id"])
        if Scope.MANAGE not in visit.principal.scopes:
            raise self._site.admins_only(visit.principal)
        if visit.given("confirm") != state.row.name:
            return self._page(visit, state, status=400, problems={"confirm": f"Type {state.row.name} to delete it."})
        await self._site.do(visit, ops.DELETE_DEPLOYMENT, id=state.row.id)
        return self._site.redirect(HOME)

    def _found(self, visit: Visit, deployment_id: str) -> DeploymentState:
        return found_deployment(self._site.parts.fleet, visit.principal.organization_id, deployment_id)

    def _changeable(self, visit: Visit) -> DeploymentState:
        """The deployment, when the person may change its secret."""
        state = self._found(visit, visit.request.path_params["id"])
        if not _may_change(visit, state):
            raise self._site.admins_only(visit.principal)
        return state

    def _page(self, visit: Visit, state: DeploymentState, *, status: int = 200, **values: Any) -> Response:
        row = state.row
        is_overlap = (
            row.previous_secret_digest is not None and row.previous_secret_until > self._site.parts.clock.wall()
        )
        return self._site.page(
            visit,
            "deployment.html",
            status=status,
            **{
                "deployment": deployment_document(state),
                "tools": sorted(state.tools),
                "may_change": _may_change(visit, state),
                "has_secret": row.secret_digest is not None,
                "old_until": row.previous_secret_until if is_overlap else None,
                "overlaps": OVERLAPS,
                "made": None,
            }
            | values,
        )


def _may_change(visit: Visit, state: DeploymentState) -> bool:
    principal = visit.principal
    return Scope.MANAGE in principal.scopes or state.row.user_id == principal.user_id
