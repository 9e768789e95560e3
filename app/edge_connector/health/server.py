"""Listens for the health endpoints. What they answer is in `endpoints`, which is loaded when somebody asks first."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from edge_connector.core.errors import UserError
from edge_connector.core.metrics import Sample
from edge_connector.core.status import RuntimeStatus
from edge_connector.core.tasks import TaskOwner
from edge_connector.net.ports import holder_words

if TYPE_CHECKING:
    from aiohttp import web

    from edge_connector.health.endpoints import Endpoints

log = logging.getLogger(__name__)

BACKLOG = 128
STOP_S = 1.0


class HealthServer:
    """Listens before the first connect, so that a probe hears 503 instead of silence. A `core.services.Service`.

    The HTTP library takes 14 MiB, and many connectors are never probed: until the first connection, which waits in the
    system's queue meanwhile, there are only the listening sockets.
    """

    name = "health"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        allowed_hosts: Collection[str],
        status: Callable[[], RuntimeStatus],
        is_ready: Callable[[], bool],
        metrics: Callable[[], list[Sample]],
        next_free: bool = False,
    ) -> None:
        """`next_free` takes any free port, and says so, when the wanted one is taken."""
        self._host = host
        self._port = port
        self._allowed_hosts = allowed_hosts
        self._status = status
        self._is_ready = is_ready
        self._metrics = metrics
        self._next_free = next_free
        self._sockets: list[socket.socket] = []
        self._tasks = TaskOwner("health")
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port it listens on; the real one when 0 was asked for."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            UserError: `health_port_taken` naming the holder, or the address cannot be used.
        """
        try:
            try:
                self._sockets = await _listening(self._host, self._port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not self._next_free:
                    raise
                log.warning(
                    "health port is taken, another one is used port=%d holder=%s", self._port, holder_words(self._port)
                )
                self._sockets = await _listening(self._host, 0)
        except OSError as error:
            raise _cannot_listen(error, self._host, self._port) from error
        self._await_first()
        log.info("health server listens host=%s port=%d", self._host, self.port)

    async def stop(self) -> None:
        """Close the port."""
        self._forget_first()
        await self._tasks.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        for one in self._sockets:
            one.close()
        self._sockets = []

    # ---- the first connection

    def _await_first(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for one in self._sockets:
                loop.add_reader(one, self._on_first)
        except NotImplementedError:  # Windows' proactor loop watches no sockets
            self._on_first()

    def _forget_first(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):
            for one in self._sockets:
                loop.remove_reader(one)

    def _on_first(self) -> None:
        self._forget_first()
        self._tasks.spawn(self._serve(), name="serve")

    async def _serve(self) -> None:
        # In a thread: calls go on while the library loads.
        kind = await asyncio.to_thread(load_endpoints)
        endpoints = kind(
            allowed_hosts=self._allowed_hosts, status=self._status, is_ready=self._is_ready, metrics=self._metrics
        )
        self._runner = await endpoints.serve(self._sockets, stop_s=STOP_S)


def load_endpoints() -> type[Endpoints]:
    """Bring the HTTP library; it takes a tenth of a second and more."""
    from edge_connector.health.endpoints import Endpoints

    return Endpoints


async def _listening(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of `host`; with port 0 all have the port that the first one got."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setblocking(False)
            if os.name == "posix":  # elsewhere it would let two programs have one port
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            one.listen(BACKLOG)
            port = one.getsockname()[1]
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def _cannot_listen(error: OSError, host: str, port: int) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            "health_port_taken",
            f"healthPort {port} is taken by {holder_words(port)}.",
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
