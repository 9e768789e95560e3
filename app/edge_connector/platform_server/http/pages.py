"""The few pages of the platform: what this address is, and the set-up. Plain HTML forms, no script."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from edge_connector import __version__
from edge_connector.core.resources import resource_path
from edge_connector.platform_api import models as api
from edge_connector.platform_server.http.bodies import read_body
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import Refused, too_many_attempts

_HEADERS = {
    # No script, nothing from elsewhere; the set-up code is in the address, so that address goes nowhere.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # Not `no-referrer`: with it browsers send `Origin: null` with the form (Fetch, "append a request Origin header").
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_FIELDS = {"organization": "Organization", "name": "Your name", "email": "Your e-mail address"}


class Pages:
    """`GET /`, `GET /setup`, `POST /setup` and the style sheet."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        folder = resource_path("static/platform")
        self._style = (folder / "platform.css").read_bytes()
        self._templates = Environment(
            loader=FileSystemLoader(folder), autoescape=select_autoescape(["html"]), undefined=StrictUndefined
        )

    async def home(self, request: Request) -> Response:
        """What this is, and where to go on."""
        return self._page("home.html", is_set_up=self._parts.first_start.code is None)

    async def style(self, request: Request) -> Response:
        """The style sheet."""
        return Response(self._style, media_type="text/css", headers={"Cache-Control": "max-age=3600"})

    async def setup_form(self, request: Request) -> Response:
        """The form, for whoever has the code."""
        code = request.query_params.get("code", "")
        try:
            self._check(code, request)
        except Refused as error:
            return self._refusal(error)
        return self._form(code, {}, "")

    async def setup_submit(self, request: Request) -> Response:
        """Make the organization and show the token, once."""
        fields = parse_qs((await read_body(request)).decode("utf-8", errors="replace"), keep_blank_values=True)
        given = {name: fields.get(name, [""])[0].strip() for name in ("code", *_FIELDS)}
        code = given["code"]
        try:
            self._check(code, request)
        except Refused as error:
            return self._refusal(error)
        missing = [label for name, label in _FIELDS.items() if not given[name]]
        if missing:
            return self._form(code, given, f"{missing[0]} is empty.", status=400)
        try:
            wanted = msgspec.convert(given, api.SetupRequest)
        except msgspec.ValidationError as error:
            name = str(error).rpartition("$.")[2].rstrip("`")
            return self._form(code, given, f"{_FIELDS.get(name, 'A field')} is not valid.", status=400)
        try:
            made = await self._parts.first_start.set_up(wanted)
        except Refused as error:
            return self._refusal(error)
        return self._page("ready.html", made=made, rpc_url=self._parts.rpc_url)

    def _check(self, code: str, request: Request) -> None:
        try:
            self._parts.first_start.check(code)
        except Refused as error:
            address = request.client.host if request.client else ""
            if error.status == 403 and not self._parts.identity.count_failure(address):
                raise too_many_attempts() from error
            raise

    def _form(self, code: str, given: dict[str, str], problem: str, *, status: int = 200) -> Response:
        return self._page("setup.html", status=status, code=code, given=given, problem=problem)

    def _refusal(self, error: Refused) -> Response:
        return self._page("refused.html", status=error.status, error=error)

    def _page(self, name: str, *, status: int = 200, **values: Any) -> Response:
        html = self._templates.get_template(name).render(version=__version__, api_url=self._parts.api_url, **values)
        return HTMLResponse(html, status_code=status, headers=_HEADERS)
