"""The ASGI application of the API port: host check, fast call endpoint, then the table's routes and the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from edge_connector.platform_api.operations import CREATE_CALL, HEALTHZ, LIVEZ, OPERATIONS, Operation, Scope
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.http.bodies import read_body
from edge_connector.platform_server.http.call_endpoint import CallEndpoint
from edge_connector.platform_server.http.call_protocol import CallFront
from edge_connector.platform_server.http.failures import as_refusal
from edge_connector.platform_server.http.operations import Operations
from edge_connector.platform_server.http.pages import Pages
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.people.refusals import in_oauth_form
from edge_connector.platform_server.refusals import (
    Refused,
    forbidden,
    invalid_request,
    too_many_attempts,
    unauthorized,
)

Endpoint = Callable[[Request], Awaitable[Response]]
_ANY_HOST = frozenset({LIVEZ.path, HEALTHZ.path})
"""A probe uses whatever address it has."""


class HttpApplication:
    """ASGI application of the API port."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._calls = CallEndpoint(parts)
        self.front = CallFront(self._calls, parts.hosts)
        """For the protocol under this application, which answers plain calls by itself."""
        operations = Operations(parts)
        self._pages = Pages(parts, operations)
        self._router = Router([*self._routes(operations), *self._pages.routes], redirect_slashes=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await self._refuse_websocket(receive, send)
            return
        path = scope["path"]
        refusal = self._parts.hosts.refusal(scope["headers"], scope["method"])
        if refusal is not None and path not in _ANY_HOST:
            await _response(refusal)(scope, receive, send)
        elif path == CREATE_CALL.path and scope["method"] == "POST":
            await self._calls(scope, receive, send)
        else:
            # Starlette's router raises for paths and methods it does not know; here they are answers like any other.
            scope["app"] = self
            try:
                await self._router(scope, receive, send)
            except HTTPException as error:
                request = Request(scope, receive)
                is_person = error.status_code == 404 and "text/html" in request.headers.get("accept", "")
                answer = self._pages.unknown(request) if is_person else _response(_unrouted(error.status_code, scope))
                await answer(scope, receive, send)

    async def _refuse_websocket(self, receive: Any, send: Any) -> None:
        await receive()
        text = f"This is the HTTP API; Tool RPC sessions are opened at {self._parts.rpc_url}."
        body = Refused(400, "wrong_port", text, hint="Set TOOL_RPC_URL to that address.").body()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "websocket.http.response.start", "status": 400, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})

    # ---- operations

    def _routes(self, operations: Operations) -> list[Route]:
        routes = []
        for operation in OPERATIONS:
            if operation is not CREATE_CALL:
                endpoint = self._endpoint(operation, operations.named(operation.name))
                endpoint = _guarded(_oauth_guarded(endpoint) if operation.oauth else endpoint)
                routes.append(Route(operation.path, endpoint, methods=[operation.method]))
        return routes

    def _endpoint(self, operation: Operation[Any, Any], perform: Callable[[ApiRequest], Awaitable[Any]]) -> Endpoint:
        decoder = msgspec.json.Decoder(operation.request) if operation.request is not None else None

        async def endpoint(request: Request) -> Response:
            address = request.client.host if request.client else ""
            caller = None
            if operation.scope is not Scope.PUBLIC:
                caller = self._principal(request, address)
                if operation.scope not in caller.scopes:
                    raise forbidden(f"These credentials lack the scope {operation.scope.value!r}.")
            body: Any = request if operation.raw_body else None
            if decoder is not None:
                content = await read_body(request)
                if not content and operation.optional_body:
                    content = b"{}"
                body = _form(content, operation.request) if operation.oauth else _decoded(decoder, content)
            query = None
            if operation.query is not None:
                query = _converted(dict(request.query_params), operation.query)
            answer = await perform(ApiRequest(caller, body, query, dict(request.path_params), address))
            # Connectors compare their clock with it (RFC 9110, section 6.6.1).
            date = {"Date": formatdate(usegmt=True)}
            body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
            if operation.oauth:
                date["Cache-Control"] = "no-store"  # RFC 6749, section 5.1
            return Response(body, operation.status, date, operation.media_type)

        return endpoint

    def _principal(self, request: Request, address: str) -> Principal:
        header = request.headers.get("authorization", "")
        principal = self._parts.identity.authenticate(header.encode("latin-1")) if header else None
        if principal is None:
            if header and not self._parts.identity.count_failure(address):
                raise too_many_attempts()
            raise unauthorized(given=bool(header))
        return principal


def _decoded(decoder: msgspec.json.Decoder[Any], content: bytes) -> Any:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_request(str(error)) from error


def _form(content: bytes, kind: Any) -> Any:
    """The fields of a form; a repeated one is an error (RFC 6749, section 3.2)."""
    try:
        pairs = parse_qsl(content.decode(), keep_blank_values=True, strict_parsing=bool(content), max_num_fields=50)
    except ValueError as error:
        raise invalid_request("the body is no form (application/x-www-form-urlencoded)") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise invalid_request("a field is there twice")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise invalid_request(str(error)) from error


def _converted(parameters: dict[str, str], kind: type[msgspec.Struct]) -> Any:
    try:
        return msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_request(f"query parameter: {error}") from error


def _oauth_guarded(endpoint: Endpoint) -> Endpoint:
    """Every refusal in the form of OAuth."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as error:
            raise in_oauth_form(error) from error

    return guarded


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Every failure becomes the one error document."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            return _response(as_refusal(error, request.scope["path"]))

    return guarded


def _unrouted(status: int, scope: Any) -> Refused:
    where = f"{scope['method']} {scope['path']}"
    if status == 405:
        return Refused(405, "method_not_allowed", f"{where} does not exist; the path has other methods.")
    return Refused(404, "unknown_path", f"{where} does not exist.", hint="See /api/v1/openapi.json.")


def _response(error: Refused) -> Response:
    headers = {"Retry-After": "60"} if error.status == 429 else None
    return Response(error.body(), error.status, media_type="application/json", headers=headers)
