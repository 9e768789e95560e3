"""A person approves or denies a connector that shows a code (RFC 8628, section 3.3)."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_server.http.operations.oauth import DEVICE_PAGE
from edge_connector.platform_server.http.pages.site import Site, Who
from edge_connector.platform_server.http.pages.visit import Visit
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.refusals import Refused, not_found
from edge_connector.platform_server.store.people import DeviceGrantRow


class DevicePages:
    """`/device`: type the code, look at the connector, decide."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group. A person chooses the organization on the page itself."""
        return [
            self._site.route("GET", DEVICE_PAGE, self.look, Who.PERSON),
            self._site.route("POST", DEVICE_PAGE, self.decide, Who.PERSON),
        ]

    async def look(self, visit: Visit) -> Response:
        """The connector behind a code; without a code the form for it."""
        if not visit.given("user_code"):
            return self._code_form(visit, None)
        try:
            grant = await self._site.parts.devices.look(visit.given("user_code"), address=visit.address)
        except Refused as error:
            return self._refused(visit, error)
        return self._ask(visit, grant)

    async def decide(self, visit: Visit) -> Response:
        """Approve it for an organization of the person, or deny it; once."""
        devices, code = self._site.parts.devices, visit.given("user_code")
        approve = visit.given("decision") == "approve"
        try:
            grant = await devices.look(code, address=visit.address)
            principal = self._inside(visit, approve=approve)
            if principal is None:
                return self._ask(visit, grant, problems={"organization": "Choose the organization it works for."})
            session = replace(visit.signed_in, principal=principal)
            grant = await devices.decide(session, code, approve=approve, address=visit.address)
        except Refused as error:
            return self._refused(visit, error)
        chosen = self._site.parts.identity.organizations[principal.organization_id]
        return self._site.page(visit, "device_done.html", grant=grant, chosen=chosen)

    def _inside(self, visit: Visit, *, approve: bool) -> Principal | None:
        """The person in the chosen organization; None while none is chosen."""
        identity, user = self._site.parts.identity, visit.signed_in.user
        own = [m.organization_id for m in identity.memberships_of(user.id)]
        chosen = visit.given("organization")
        if chosen and chosen not in own:
            raise not_found("organization", chosen)
        if not chosen and own and not approve:
            # A denial concerns no organization; it is in the log of the current one.
            current = visit.signed_in.principal
            chosen = current.organization_id if current is not None else own[0]
        return identity.person(user.id, chosen) if chosen else None

    def _ask(self, visit: Visit, grant: DeviceGrantRow, problems: dict[str, str] | None = None) -> Response:
        identity = self._site.parts.identity
        own = identity.memberships_of(visit.signed_in.user.id)
        current = visit.signed_in.principal
        return self._site.page(
            visit,
            "device.html",
            status=400 if problems else 200,
            grant=grant,
            own=[(identity.organizations[m.organization_id], m.role) for m in own],
            current=current.organization_id if current is not None else "",
            problems=problems or {},
        )

    def _code_form(self, visit: Visit, error: Refused | None) -> Response:
        return self._site.page(
            visit,
            "device_code.html",
            status=error.status if error else 200,
            code=visit.given("user_code"),
            problems={"user_code": f"{error.message} {error.hint}"} if error else {},
        )

    def _refused(self, visit: Visit, error: Refused) -> Response:
        if error.code in ("unknown_user_code", "user_code_expired", "too_many_attempts"):
            return self._code_form(visit, error)
        return self._site.refusal(visit, error)
