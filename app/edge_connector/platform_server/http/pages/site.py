"""What all pages share: templates and headers, who may open a page, operations of the API by a person, refusals.

A page does what it does through the operations of the HTTP API, so that roles and organizations are enforced in one
place, by the declared table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from edge_connector import __version__
from edge_connector.core.resources import resource_path
from edge_connector.platform_api.operations import Operation, Scope
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.http.bodies import read_body
from edge_connector.platform_server.http.failures import as_refusal
from edge_connector.platform_server.http.operations import Operations
from edge_connector.platform_server.http.pages import words
from edge_connector.platform_server.http.pages.visit import SESSION_COOKIE, Visit, cookie_name
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import Refused

Req = TypeVar("Req")
Res = TypeVar("Res")
Row = TypeVar("Row")
Handler = Callable[[Visit], Awaitable[Response]]

ROWS = 30
"""Of a table on one page, which keeps a page below 100 kB."""
NAMED_ADMINS = 5
HEADERS = {
    # No script, nothing from elsewhere; codes and secrets are in addresses and pages, so those go nowhere.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`: with it browsers send `Origin: null` with the form (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Who(Enum):
    """Whom a page is for; what else a role allows is checked by the operations."""

    ANYBODY = "anybody"
    PERSON = "a signed-in person"
    MEMBER = "a signed-in person with a chosen organization"


class Site:
    """The pages' common ground; it knows no single page."""

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self.parts = parts
        self._operations = operations
        self._is_secure = parts.api_url.startswith("https://")
        self._templates = Environment(
            loader=FileSystemLoader(resource_path("static/platform")),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            when=words.when,
            ago=lambda moment: words.ago(moment, parts.clock.wall()),
            browser=words.browser_name,
            action=words.action_words,
            duration=words.duration,
        )

    # ---- routes

    def route(self, method: str, path: str, handler: Handler, who: Who = Who.MEMBER) -> Route:
        """A page or a form's target. Forms are checked; who is not signed in is led to it."""

        async def endpoint(request: Request) -> Response:
            visit = self.visit(request)
            try:
                return await self._answer(visit, handler, who)
            except Exception as error:
                return self.refusal(visit, as_refusal(error, request.scope["path"]))

        return Route(path, endpoint, methods=[method])

    def visit(self, request: Request) -> Visit:
        """The request with the session that its cookie names."""
        cookie = request.cookies.get(cookie_name(SESSION_COOKIE, is_secure=self._is_secure), "")
        session = self.parts.sessions.find(cookie) if cookie else None
        return Visit(request, session, is_secure=self._is_secure)

    async def _answer(self, visit: Visit, handler: Handler, who: Who) -> Response:
        is_form = visit.request.method == "POST"
        if is_form:
            visit.read_form(await read_body(visit.request))
        # A form of a session that is over is not sent again by itself.
        scope = visit.request.scope  # `request.url` cannot hold what is not UTF-8
        query = scope["query_string"].decode("latin-1")
        here = "" if is_form else scope["path"] + (f"?{query}" if query else "")
        if who is not Who.ANYBODY and visit.session is None:
            return self.redirect("/sign-in", next=here, over="1" if is_form else "")
        if is_form:
            visit.check_form(needs_session=who is not Who.ANYBODY)
        if who is Who.MEMBER and visit.signed_in.principal is None:
            return self.redirect("/organizations", next=here)
        return await handler(visit)

    # ---- answers

    def page(self, visit: Visit, name: str, *, status: int = 200, **values: Any) -> Response:
        """A template with the values that it needs."""
        principal = visit.session.principal if visit.session is not None else None
        common = {
            "version": __version__,
            "api_url": self.parts.api_url,
            "rpc_url": self.parts.rpc_url,
            "visit": visit,
            "session": visit.session,
            "organization": self.parts.identity.organizations[principal.organization_id] if principal else None,
            "is_admin": principal is not None and Scope.MANAGE in principal.scopes,
            "path": visit.request.scope["path"],
            "given": visit.fields,
            "problems": {},
            "problem": None,
        }
        html = self._templates.get_template(name).render(common | values)
        response = HTMLResponse(html, status_code=status, headers=HEADERS)
        if status == 429:
            response.headers["Retry-After"] = "60"
        visit.keep_form_key(response)
        return response

    def redirect(self, path: str, **query: str) -> Response:
        """On to another page of ours; empty parameters are left out."""
        asked = urlencode({name: value for name, value in query.items() if value})
        headers = {name: value for name, value in HEADERS.items() if name != "Content-Security-Policy"}
        return RedirectResponse(path + (f"?{asked}" if asked else ""), status_code=303, headers=headers)

    def refusal(self, visit: Visit, error: Refused) -> Response:
        """A page that says why not, and what to do next."""
        return self.page(visit, "refused.html", status=error.status, error=error)

    # ---- operations

    async def do(
        self,
        visit: Visit,
        operation: Operation[Req, Res],
        body: Req | None = None,
        *,
        id: str = "",
        query: msgspec.Struct | None = None,
    ) -> Res:
        """An operation of the API, by the signed-in person.

        Raises:
            Refused: 403, the role does not allow it; and what the operation refuses.
        """
        principal = visit.principal
        if operation.scope not in principal.scopes:
            raise self.admins_only(principal)
        request = ApiRequest(principal, body, query, {"id": id} if id else {}, visit.address)
        answer: Res = await self._operations.named(operation.name)(request)
        return answer

    def admins_only(self, principal: Principal) -> Refused:
        """403 that says who may."""
        identity = self.parts.identity
        admins = [
            user.name
            for user, membership in identity.members_of(principal.organization_id)
            if membership.role == "admin" and user.active
        ]
        more = len(admins) - NAMED_ADMINS
        names = ", ".join(admins[:NAMED_ADMINS]) + (f" and {more} more" if more > 0 else "")
        name = identity.organizations[principal.organization_id].name
        return Refused(
            403,
            "admins_only",
            f"Only admins of {name} may do this; you are a Member.",
            hint=f"Ask an admin: {names}.",
        )


def part_of(rows: Sequence[Row], page: str) -> tuple[Sequence[Row], dict[str, int]]:
    """The rows of one page of a table, and where in it they are; a page that is not there is the nearest one.

    Args:
        page: its number from 1, as the address has it.
    """
    last = max(1, -(-len(rows) // ROWS))
    number = min(max(1, int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1), last)
    first = (number - 1) * ROWS
    shown = rows[first : first + ROWS]
    return shown, {"number": number, "last": last, "total": len(rows), "first": first + 1, "to": first + len(shown)}
