"""Server tokens: shown once, listed, revoked."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.http.pages.forms import filled
from edge_connector.platform_server.http.pages.site import Site, part_of
from edge_connector.platform_server.http.pages.visit import Visit

PAGE = "/server-tokens"


class ServerTokenPages:
    """`/server-tokens` and its forms, for admins."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Of this group."""
        return [
            self._site.route("GET", PAGE, self.tokens),
            self._site.route("POST", PAGE, self.create),
            self._site.route("POST", f"{PAGE}/{{id}}/revoke", self.revoke),
        ]

    async def tokens(self, visit: Visit) -> Response:
        return await self._page(visit)

    async def create(self, visit: Visit) -> Response:
        """A new token, shown with this answer only."""
        wanted, problems = filled(api.ServerTokenRequest, visit.fields)
        if wanted is None:
            return await self._page(visit, status=400, problems=problems)
        return await self._page(visit, made=await self._site.do(visit, ops.CREATE_SERVER_TOKEN, wanted), given={})

    async def revoke(self, visit: Visit) -> Response:
        await self._site.do(visit, ops.REVOKE_SERVER_TOKEN, id=visit.request.path_params["id"])
        return self._site.redirect(PAGE)

    async def _page(self, visit: Visit, *, status: int = 200, **values: Any) -> Response:
        tokens = (await self._site.do(visit, ops.LIST_SERVER_TOKENS)).tokens
        shown, part = part_of(tokens, visit.query.get("page", ""))
        return self._site.page(
            visit, "server_tokens.html", status=status, **{"tokens": shown, "part": part, "made": None} | values
        )
