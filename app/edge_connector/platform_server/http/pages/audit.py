"""The audit log: narrowed by kind and person, page by page."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api import operations as ops
from edge_connector.platform_api import people
from edge_connector.platform_server.http.pages.site import ROWS, Site
from edge_connector.platform_server.http.pages.visit import Visit
from edge_connector.platform_server.http.pages.words import KINDS

PAGE = "/audit"
MAX_ACTORS = 100
"""In the list to choose from; everybody in the table can be chosen there."""


class AuditPages:
    """`/audit`, for admins."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        return [self._site.route("GET", PAGE, self.audit)]

    async def audit(self, visit: Visit) -> Response:
        action, actor = visit.given("action")[:100], visit.given("actor")[:100]
        before = visit.given("before")
        is_number = before.isascii() and before.isdigit() and len(before) < 16
        query = people.AuditQuery(limit=ROWS, before=int(before) if is_number else 0, action=action, actor=actor)
        found = await self._site.do(visit, ops.LIST_AUDIT, query=query)
        actors = self._actors(visit.principal.organization_id)
        for entry in found.entries:
            if entry.actor_id:  # the platform's operator has none
                actors.setdefault(entry.actor_id, entry.actor_name)
        narrowed = {name: value for name, value in (("action", action), ("actor", actor)) if value}
        if actor:
            actors.setdefault(actor, actor)
        return self._site.page(
            visit,
            "audit.html",
            entries=found.entries,
            kinds=KINDS if not action or action in KINDS else {**KINDS, action: action},
            actors=actors,
            action=action,
            actor=actor,
            is_first=not query.before,
            older=f"{PAGE}?{urlencode({**narrowed, 'before': found.next})}" if found.next else "",
            newest=f"{PAGE}?{urlencode(narrowed)}" if narrowed else PAGE,
        )

    def _actors(self, organization_id: str) -> dict[str, str]:
        identity = self._site.parts.identity
        found = {user.id: user.name for user, _ in identity.members_of(organization_id)[:MAX_ACTORS]}
        for token in identity.server_tokens.values():
            if token.organization_id == organization_id and len(found) < 2 * MAX_ACTORS:
                found[token.id] = token.name
        return found
