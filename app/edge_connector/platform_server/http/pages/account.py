"""The person's own account: name, password, and where the person is signed in."""

from __future__ import annotations

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api.models import Name
from edge_connector.platform_server.http.pages.forms import filled, password_problems
from edge_connector.platform_server.http.pages.public import LENGTH
from edge_connector.platform_server.http.pages.site import Site, Who, part_of
from edge_connector.platform_server.http.pages.visit import Visit
from edge_connector.platform_server.refusals import Refused

PAGE = "/account"


class NameForm(msgspec.Struct, kw_only=True):
    """How the person is called."""

    name: Name


class AccountPages:
    """`/account` and its forms; they need no organization."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        person = Who.PERSON
        return [
            self._site.route("GET", PAGE, self.account, person),
            self._site.route("POST", f"{PAGE}/name", self.rename, person),
            self._site.route("POST", f"{PAGE}/password", self.change_password, person),
            self._site.route("POST", f"{PAGE}/sessions/{{id}}/end", self.end_session, person),
        ]

    async def account(self, visit: Visit) -> Response:
        return await self._page(visit)

    async def rename(self, visit: Visit) -> Response:
        wanted, problems = filled(NameForm, visit.fields)
        if wanted is None:
            return await self._page(visit, status=400, problems=problems)
        await self._site.parts.sessions.rename(visit.signed_in, wanted.name, address=visit.address)
        return self._site.redirect(PAGE)

    async def change_password(self, visit: Visit) -> Response:
        """A new password; the person stays signed in here and nowhere else."""
        problems = password_problems(visit.fields, length=LENGTH)
        if problems:
            return await self._page(visit, status=400, problems=problems)
        try:
            await self._site.parts.sessions.change_password(
                visit.signed_in, visit.fields.get("current", ""), visit.fields["password"], address=visit.address
            )
        except Refused as error:
            text = (
                "This is not your password." if error.code == "wrong_credentials" else f"{error.message} {error.hint}"
            )
            return await self._page(
                visit, status=400 if error.status == 401 else error.status, problems={"current": text}
            )
        return await self._page(visit, is_changed=True)

    async def end_session(self, visit: Visit) -> Response:
        sign_in_id = visit.request.path_params["id"]
        sessions = self._site.parts.sessions
        await sessions.end(visit.signed_in.user.id, sign_in_id, address=visit.address)
        if sessions.find(visit.signed_in.token) is not None:
            return self._site.redirect(PAGE)
        response = self._site.redirect("/sign-in")
        visit.sign_out(response)
        return response

    async def _page(
        self, visit: Visit, *, status: int = 200, problems: dict[str, str] | None = None, is_changed: bool = False
    ) -> Response:
        parts = self._site.parts
        found = await parts.sessions.overview(visit.signed_in.user.id, visit.signed_in)
        shown, part = part_of(found[::-1], visit.query.get("page", ""))
        return self._site.page(
            visit,
            "account.html",
            status=status,
            user=visit.signed_in.user,
            sign_ins=shown,
            part=part,
            names={row.id: row.name for row in parts.identity.organizations.values()},
            problems=problems or {},
            is_changed=is_changed,
            length=LENGTH,
        )
