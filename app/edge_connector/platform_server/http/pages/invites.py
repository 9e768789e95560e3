"""Where an invite link leads: a person joins, by signing in or as somebody new."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api.models import Email, Name
from edge_connector.platform_server.http.operations.people import INVITE_PAGE
from edge_connector.platform_server.http.pages.forms import filled, password_problems
from edge_connector.platform_server.http.pages.public import LENGTH
from edge_connector.platform_server.http.pages.site import Site, Who
from edge_connector.platform_server.http.pages.visit import HOME, Visit
from edge_connector.platform_server.people.members import Invitation
from edge_connector.platform_server.refusals import Refused, too_many_attempts


class NewPersonForm(msgspec.Struct, kw_only=True):
    """Who joins; the password is checked by itself."""

    name: Name
    email: Email


class InvitePages:
    """`/invite`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        return [
            self._site.route("GET", INVITE_PAGE, self.look, Who.ANYBODY),
            self._site.route("POST", INVITE_PAGE, self.accept_as_new, Who.ANYBODY),
            self._site.route("POST", f"{INVITE_PAGE}/join", self.join, Who.PERSON),
        ]

    async def look(self, visit: Visit) -> Response:
        """What the link is for, and the form that fits the person who opened it."""
        return self._page(visit, await self._invitation(visit))

    async def join(self, visit: Visit) -> Response:
        """The signed-in person becomes a member, and is in that organization from now on."""
        parts = self._site.parts
        invitation = await self._invitation(visit)
        await parts.members.accept_invite(visit.signed_in, visit.given("code"), address=visit.address)
        await parts.sessions.choose_organization(visit.signed_in, invitation.organization.id)
        return self._site.redirect(HOME)

    async def accept_as_new(self, visit: Visit) -> Response:
        """A new person with a password, signed in at once."""
        invitation = await self._invitation(visit)
        addressed = {"email": invitation.row.email} if invitation.row.email else {}
        wanted, problems = filled(NewPersonForm, {**visit.fields, **addressed})
        problems |= password_problems(visit.fields, length=LENGTH)
        if wanted is None or problems:
            return self._page(visit, invitation, status=400, problems=problems)
        parts = self._site.parts
        try:
            _, user = await parts.members.accept_invite_as_new(
                visit.given("code"),
                email=wanted.email,
                name=wanted.name,
                password=visit.fields["password"],
                address=visit.address,
            )
        except Refused as error:
            if error.code != "sign_in_first":
                raise
            return self._page(visit, invitation, status=409, problems={"email": f"{error.message} {error.hint}"})
        session = await parts.sessions.open_for(
            user, invitation.organization.id, address=visit.address, user_agent=visit.browser
        )
        response = self._site.redirect(HOME)
        visit.sign_in(response, session)
        return response

    async def _invitation(self, visit: Visit) -> Invitation:
        parts = self._site.parts
        try:
            return await parts.members.look_at_invite(visit.given("code"))
        except Refused as error:
            if error.status == 404 and not parts.identity.count_failure(visit.address):
                raise too_many_attempts() from error
            raise

    def _page(
        self, visit: Visit, invitation: Invitation, *, status: int = 200, problems: dict[str, str] | None = None
    ) -> Response:
        code, email = visit.given("code"), invitation.row.email
        is_other = visit.session is not None and bool(email) and visit.session.user.email.lower() != email.lower()
        here = f"{INVITE_PAGE}?code={quote(code, safe='')}"
        return self._site.page(
            visit,
            "invite.html",
            status=status,
            invitation=invitation,
            code=code,
            is_other=is_other,
            sign_in_link=f"/sign-in?next={quote(here, safe='')}",
            problems=problems or {},
            length=LENGTH,
        )
