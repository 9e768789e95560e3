"""Serves the health endpoints over HTTP. Read only, no token; it says nothing that is secret."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection
from typing import Any

import msgspec
import psutil
from aiohttp import web

from edge_connector.core.errors import UserError
from edge_connector.core.status import RuntimeStatus
from edge_connector.health.documents import healthz, is_host_allowed, livez

log = logging.getLogger(__name__)

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class HealthServer:
    """Listens before the first connect, so that a probe hears 503 instead of silence. A `core.services.Service`."""

    name = "health"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        allowed_hosts: Collection[str],
        status: Callable[[], RuntimeStatus],
        is_ready: Callable[[], bool],
        next_free: bool = False,
    ) -> None:
        """`next_free` takes any free port, and says so, when the wanted one is taken."""
        self._host = host
        self._port = port
        self._allowed_hosts = allowed_hosts
        self._status = status
        self._is_ready = is_ready
        self._next_free = next_free
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port it listens on; the real one when 0 was asked for."""
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            UserError: `health_port_taken` naming the holder, or the address cannot be used.
        """
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/statusz", self._statusz)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, self._host, self._port).start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not self._next_free:
                    raise
                log.warning(
                    "health port is taken, another one is used port=%d holder=%s", self._port, _holder(self._port)
                )
                await web.TCPSite(runner, self._host, 0).start()
        except OSError as error:
            await runner.cleanup()
            raise _cannot_listen(error, self._host, self._port) from error
        self._runner = runner
        log.info("health server listens host=%s port=%d", self._host, self.port)

    async def stop(self) -> None:
        """Close the port."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _livez(self, request: web.Request) -> web.Response:
        return _answer(*livez(self._status()))

    async def _healthz(self, request: web.Request) -> web.Response:
        return _answer(*healthz(self._status(), ready=self._is_ready()))

    async def _statusz(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers or not is_host_allowed(request.headers.get("Host"), self._allowed_hosts):
            error = UserError(
                "host_not_allowed",
                f"The host name {request.headers.get('Host')} may not be used to read the status.",
                hint="Use an IP address or localhost, or add the name to HEALTH_ALLOWED_HOSTS.",
            )
            return _answer(403, error.to_document())
        return _answer(200, self._status())


def _answer(status: int, document: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), headers=_JSON)


def _cannot_listen(error: OSError, host: str, port: int) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            "health_port_taken",
            f"healthPort {port} is taken by {_holder(port)}.",
            hint="Set HEALTH_PORT to a free port (0 lets the system choose one).",
        )
    if error.errno == errno.EACCES:
        return UserError(
            "health_port_forbidden",
            f"This user may not listen on healthPort {port}.",
            hint="Set HEALTH_PORT to a port above 1023.",
        )
    return UserError(
        "health_host_unusable",
        f"healthHost {host} cannot be listened on: {error.strerror or error}.",
        hint="Set HEALTH_HOST to an address of this machine, for example 127.0.0.1.",
    )


def _holder(port: int) -> str:
    """Who listens on `port`, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
