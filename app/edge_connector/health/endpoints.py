"""The health endpoints over HTTP. Read only, no token; they say nothing that is secret.

`server` imports this module when the first connection comes, and nothing else does: it brings the HTTP library.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import web

from edge_connector.core.errors import UserError
from edge_connector.core.metrics import CONTENT_TYPE, Sample, exposition
from edge_connector.core.status import RuntimeStatus
from edge_connector.health.documents import healthz, is_host_allowed, livez

MAX_CONNECTIONS = 64
_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Endpoints:
    """What each path answers."""

    def __init__(
        self,
        *,
        allowed_hosts: Collection[str],
        status: Callable[[], RuntimeStatus],
        is_ready: Callable[[], bool],
        metrics: Callable[[], list[Sample]],
    ) -> None:
        self._allowed_hosts = allowed_hosts
        self._status = status
        self._is_ready = is_ready
        self._metrics = metrics
        self._paths = {
            "/livez": self._livez,
            "/healthz": self._healthz,
            "/statusz": self._statusz,
            "/metrics": self._prometheus,
        }

    async def serve(self, sockets: Sequence[socket.socket], *, stop_s: float) -> web.ServerRunner:
        """Answer on sockets that listen already; the runner's `cleanup` ends it and gives requests `stop_s` more."""
        server = _Server(self._answer, access_log=None)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=stop_s)
        await runner.setup()
        try:
            for one in sockets:
                await web.SockSite(runner, one).start()
        except BaseException:
            await runner.cleanup()
            raise
        return runner

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        endpoint = self._paths.get(request.path)
        if endpoint is None:
            known = ", ".join(self._paths)
            error = UserError("unknown_path", f"{request.path} does not exist.", hint=f"There are {known}.")
            return _answer(404, error.to_document())
        if request.method not in ("GET", "HEAD"):
            error = UserError("method_not_allowed", f"{request.path} is read only.", hint="Use GET.")
            return _answer(405, error.to_document(), {"Allow": "GET, HEAD"})
        return await endpoint(request)

    async def _livez(self, request: web.BaseRequest) -> web.Response:
        return _answer(*livez(self._status()))

    async def _healthz(self, request: web.BaseRequest) -> web.Response:
        return _answer(*healthz(self._status(), ready=self._is_ready()))

    async def _statusz(self, request: web.BaseRequest) -> web.Response:
        return self._refusal(request) or _answer(200, self._status())

    async def _prometheus(self, request: web.BaseRequest) -> web.Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        # In a thread: the first answer loads the library.
        text = await asyncio.to_thread(exposition, self._metrics())
        return web.Response(body=text, headers={**_JSON, "Content-Type": CONTENT_TYPE})

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a page in a browser that wants to read what this connector says of itself."""
        if "Origin" not in request.headers and is_host_allowed(request.headers.get("Host"), self._allowed_hosts):
            return None
        error = UserError(
            "host_not_allowed",
            f"The host name {request.headers.get('Host')} may not be used to read the status.",
            hint="Use an IP address or localhost, or add the name to HEALTH_ALLOWED_HOSTS.",
        )
        return _answer(403, error.to_document())


class _Server(web.Server):
    """Never holds more than `MAX_CONNECTIONS`: the oldest makes room, slow ones shut nobody out."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self.connections[0].force_close()


def _answer(status: int, document: Any, headers: Mapping[str, str] = MappingProxyType({})) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), headers={**_JSON, **headers})
