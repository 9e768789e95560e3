"""What this address is, the style sheet, and the first set-up."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_connector.core.resources import resource_path
from edge_connector.platform_api import models as api
from edge_connector.platform_server.http.pages.forms import filled, password_problems
from edge_connector.platform_server.http.pages.site import Site, Who
from edge_connector.platform_server.http.pages.visit import HOME, Visit
from edge_connector.platform_server.people.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from edge_connector.platform_server.refusals import Refused, too_many_attempts

LENGTH = (MIN_CHARACTERS, MAX_CHARACTERS)


class PublicPages:
    """`/`, `/setup` and the style sheet."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._style = (resource_path("static/platform") / "platform.css").read_bytes()

    def routes(self) -> list[Route]:
        """Of this group."""
        anybody = Who.ANYBODY
        return [
            self._site.route("GET", "/", self.home, anybody),
            self._site.route("GET", "/setup", self.setup_form, anybody),
            self._site.route("POST", "/setup", self.setup, anybody),
            Route("/static/platform.css", self.style, methods=["GET"]),
        ]

    async def style(self, request: Request) -> Response:
        headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(self._style, media_type="text/css", headers=headers)

    async def home(self, visit: Visit) -> Response:
        if visit.session is not None:
            return self._site.redirect(HOME)
        return self._site.page(visit, "home.html", is_set_up=self._site.parts.first_start.code is None)

    async def setup_form(self, visit: Visit) -> Response:
        self._check(visit)
        return self._site.page(visit, "setup.html", code=visit.given("code"), length=LENGTH)

    async def setup(self, visit: Visit) -> Response:
        """Make the organization, show its token once, and sign its admin in."""
        self._check(visit)
        wanted, problems = filled(api.SetupRequest, visit.fields)
        problems |= password_problems(visit.fields, length=LENGTH)
        if wanted is None or problems:
            code = visit.given("code")
            return self._site.page(visit, "setup.html", status=400, code=code, length=LENGTH, problems=problems)
        parts = self._site.parts
        made = await parts.first_start.set_up(wanted, address=visit.address)
        session = await parts.sessions.open_for(
            parts.identity.users[made.user_id], made.organization_id, address=visit.address, user_agent=visit.browser
        )
        visit.session = session
        response = self._site.page(visit, "ready.html", made=made)
        visit.sign_in(response, session)
        return response

    def _check(self, visit: Visit) -> None:
        parts = self._site.parts
        try:
            parts.first_start.check(visit.given("code"))
        except Refused as error:
            if error.status == 403 and not parts.identity.count_failure(visit.address):
                raise too_many_attempts() from error
            raise
