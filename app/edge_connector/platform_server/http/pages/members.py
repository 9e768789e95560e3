"""Members of the organization, their roles, and open invites."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api import operations as ops
from edge_connector.platform_api import people
from edge_connector.platform_server.http.pages.forms import filled
from edge_connector.platform_server.http.pages.site import Site, part_of
from edge_connector.platform_server.http.pages.visit import HOME, Visit
from edge_connector.platform_server.refusals import Refused, invalid_request

PAGE = "/members"


class MemberPages:
    """`/members` and its forms, for admins."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        return [
            self._site.route("GET", PAGE, self.members),
            self._site.route("POST", f"{PAGE}/{{id}}/role", self.set_role),
            self._site.route("POST", f"{PAGE}/{{id}}/remove", self.remove),
            self._site.route("POST", "/invites", self.invite),
            self._site.route("POST", "/invites/{id}/revoke", self.revoke),
        ]

    async def members(self, visit: Visit) -> Response:
        return await self._page(visit)

    async def set_role(self, visit: Visit) -> Response:
        wanted, _ = filled(people.RoleRequest, visit.fields)
        if wanted is None:
            raise invalid_request("the field role is admin or member")
        member_id = visit.request.path_params["id"]
        try:
            await self._site.do(visit, ops.SET_ROLE, wanted, id=member_id)
        except Refused as error:
            if error.code != "last_admin":
                raise
            return await self._page(visit, status=error.status, problem=error, given={})
        return self._back(visit, member_id)

    async def remove(self, visit: Visit) -> Response:
        member_id = visit.request.path_params["id"]
        try:
            await self._site.do(visit, ops.REMOVE_MEMBER, id=member_id)
        except Refused as error:
            if error.code != "last_admin":
                raise
            return await self._page(visit, status=error.status, problem=error, given={})
        return self._back(visit, member_id)

    async def invite(self, visit: Visit) -> Response:
        """A new link, shown with this answer only."""
        wanted, problems = filled(people.InviteRequest, visit.fields)
        if wanted is None:
            return await self._page(visit, status=400, problems=problems)
        try:
            made = await self._site.do(visit, ops.CREATE_INVITE, wanted)
        except Refused as error:
            if error.status != 409:
                raise
            return await self._page(visit, status=409, problems={"email": f"{error.message} {error.hint}"})
        return await self._page(visit, made=made, given={})

    async def revoke(self, visit: Visit) -> Response:
        await self._site.do(visit, ops.REVOKE_INVITE, id=visit.request.path_params["id"])
        return self._site.redirect(PAGE)

    def _back(self, visit: Visit, member_id: str) -> Response:
        """The list again; who changed the own role may not be allowed to see it any more."""
        return self._site.redirect(HOME if member_id == visit.principal.user_id else PAGE)

    async def _page(self, visit: Visit, *, status: int = 200, **values: Any) -> Response:
        members = (await self._site.do(visit, ops.LIST_MEMBERS)).members
        invites = (await self._site.do(visit, ops.LIST_INVITES)).invites
        shown, part = part_of(members, visit.query.get("page", ""))
        open_invites, invite_part = part_of(invites, visit.query.get("invites", ""))
        return self._site.page(
            visit,
            "members.html",
            status=status,
            **{
                "members": shown,
                "part": part,
                "invites": open_invites,
                "invite_part": invite_part,
                "me": visit.principal.user_id,
                "made": None,
            }
            | values,
        )
