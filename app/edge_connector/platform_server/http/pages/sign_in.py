"""Signing in and out with a password, and choosing the organization."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api import operations as ops
from edge_connector.platform_api import people
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.http.pages.forms import filled
from edge_connector.platform_server.http.pages.site import Site, Who
from edge_connector.platform_server.http.pages.visit import HOME, Visit
from edge_connector.platform_server.refusals import Refused


class SignInPages:
    """`/sign-in`, `/sign-out` and `/organizations`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        return [
            self._site.route("GET", "/sign-in", self.form, Who.ANYBODY),
            self._site.route("POST", "/sign-in", self.sign_in, Who.ANYBODY),
            self._site.route("POST", "/sign-out", self.sign_out, Who.PERSON),
            self._site.route("GET", "/organizations", self.organizations, Who.PERSON),
            self._site.route("POST", "/organizations", self.choose, Who.PERSON),
            self._site.route("POST", "/organizations/new", self.create, Who.MEMBER),
        ]

    async def form(self, visit: Visit) -> Response:
        if visit.session is not None:
            return self._site.redirect(visit.next or HOME)
        return self._site.page(visit, "sign_in.html", next=visit.next, is_over=visit.given("over") == "1")

    async def sign_in(self, visit: Visit) -> Response:
        """A new session; the browser's former one ends."""
        try:
            session = await self._site.parts.sessions.sign_in(
                visit.given("email"),
                visit.fields.get("password", ""),
                address=visit.address,
                user_agent=visit.browser,
                former=visit.session,
            )
        except Refused as error:
            # 401 would have to name a scheme of HTTP (RFC 9110, section 15.5.2).
            status = 400 if error.status == 401 else error.status
            return self._site.page(visit, "sign_in.html", status=status, next=visit.next, is_over=False, problem=error)
        if session.principal is None:
            response = self._site.redirect("/organizations", next=visit.next)
        else:
            response = self._site.redirect(visit.next or HOME)
        visit.sign_in(response, session)
        return response

    async def sign_out(self, visit: Visit) -> Response:
        await self._site.parts.sessions.sign_out(visit.signed_in)
        response = self._site.redirect("/sign-in")
        visit.sign_out(response)
        return response

    # ---- organizations

    async def organizations(self, visit: Visit) -> Response:
        return self._list(visit, {})

    async def choose(self, visit: Visit) -> Response:
        """The session is in another organization of the person from now on."""
        await self._site.parts.sessions.choose_organization(visit.signed_in, visit.given("organization"))
        return self._site.redirect(visit.next or HOME)

    async def create(self, visit: Visit) -> Response:
        """Another organization, chosen at once."""
        wanted, problems = filled(people.OrganizationRequest, visit.fields)
        if wanted is None:
            return self._list(visit, problems)
        made = await self._site.do(visit, ops.CREATE_ORGANIZATION, wanted)
        await self._site.parts.sessions.choose_organization(visit.signed_in, made.id)
        return self._site.redirect(HOME)

    def _list(self, visit: Visit, problems: dict[str, str]) -> Response:
        identity = self._site.parts.identity
        own = identity.memberships_of(visit.signed_in.user.id)
        principal = visit.signed_in.principal
        return self._site.page(
            visit,
            "organizations.html",
            status=400 if problems else 200,
            own=[(identity.organizations[m.organization_id], m) for m in own],
            may_create=principal is not None and Scope.MANAGE in principal.scopes,
            next=visit.next,
            problems=problems,
        )
