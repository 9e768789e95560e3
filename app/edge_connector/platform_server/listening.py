"""Listening sockets and uvicorn inside the caller's loop: no signal handlers, no main loop of its own."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import uvicorn

from edge_connector.core.errors import UserError
from edge_connector.core.files import os_error_as_user_error
from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_server.http.patience import Patience, PatientProtocol
from edge_connector.platform_server.tool_rpc.websocket import FrameProtocol

BACKLOG = 4096
KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections, so that none is closed under a request that is on its way."""
DEAD_PEER_MS = 90_000
LOOK_S = 5.0
"""How often connections that ask for nothing are looked for."""


class _FaultOfThePeer(logging.Filter):
    """A frame that is no UTF-8 is closed with 1007; it is the peer's fault and needs no traceback of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is not None and isinstance(record.exc_info[1], UnicodeDecodeError):
            record.exc_info = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


_FAULT_OF_THE_PEER = _FaultOfThePeer()
log = logging.getLogger(__name__)


def bind(host: str, port: int, *, flag: str) -> socket.socket:
    """A TCP socket bound to `host` and `port` (0 means any free one).

    Args:
        flag: the command-line option that sets the port, for the error.

    Raises:
        UserError: the port is taken or not allowed, or the address is not one of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise UserError(
            "bad_listen_address", f"--host {host!r} is no address of this machine.", hint="Use 127.0.0.1 or 0.0.0.0."
        ) from error
    # The protocol is named: asyncio sets TCP_NODELAY on what it accepts only then; without it a call costs 44 ms.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted sockets inherit it: a peer that vanished under unsent data is given up by the kernel.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
        listener.bind(address)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(error, host, port, flag) from error
    return listener


def _bind_error(error: OSError, host: str, port: int, flag: str) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            "port_taken",
            f"Port {port} on {host} is taken by another program.",
            hint=f"Stop that program, or choose another port with {flag} (0 means any free one).",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return UserError(
            "port_not_allowed", f"This user may not listen on port {port}.", hint=f"Choose {flag} above 1023."
        )
    return UserError(
        "bad_listen_address", f"{host}:{port} cannot be listened on: {error.strerror}.", hint="Check --host."
    )


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Server-side TLS from a PEM pair; None without one.

    Raises:
        UserError: only one of the two is given, or they cannot be read or do not belong together.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "--tls-cert" if certificate is None else "--tls-key"
        raise UserError("tls_half_pair", f"{missing} is missing.", hint="Give --tls-cert and --tls-key together.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for file in (certificate, key):
            with file.open("rb"):
                pass
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UserError(
            "tls_bad_pair",
            f"{certificate} and {key} are no certificate and private key that belong together ({error.reason}).",
            hint="Both are PEM files; the certificate file may hold the whole chain.",
        ) from error
    except OSError as error:
        raise os_error_as_user_error(error, certificate) from error
    return context


class EmbeddedServer:
    """One uvicorn server on a bound socket, in the loop of the caller."""

    def __init__(
        self,
        application: Any,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        *,
        max_frame: int,
        linger_s: float = 0.0,
        http: Any = PatientProtocol,
    ) -> None:
        """Nothing is accepted yet.

        Args:
            http: makes the HTTP protocol of a connection; `PatientProtocol` or a kind of it.
            max_frame: bytes of a WebSocket message.
            linger_s: how long `stop` waits for peers to answer close frames; a connection cut under data that is
                still arriving would take the close frame with it.
        """
        self._linger_s = linger_s
        self._listener = listener
        config = uvicorn.Config(
            application,
            http=http,
            ws=FrameProtocol,
            ws_max_size=max_frame,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=3,
        )
        config.load()
        logging.getLogger("uvicorn.error").addFilter(_FAULT_OF_THE_PEER)
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._is_started = False
        self._patience = Patience(KEEP_ALIVE_S)
        self._tasks = TaskOwner("listening")

    async def start(self) -> None:
        """Accept connections."""
        await self._server.startup(sockets=[self._listener])
        self._is_started = True
        self._tasks.spawn(self._close_the_idle(), name="idle")

    async def stop(self) -> None:
        """Stop accepting, let requests that are being answered finish, close; idempotent."""
        if self._is_started:
            self._is_started = False
            await self._tasks.close()
            await self._linger()
            await self._server.shutdown(sockets=[self._listener])
        self._listener.close()

    async def _close_the_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            closed = self._patience.look(self._server.server_state.connections, loop.time())
            if closed:
                log.info("connections without a request were closed connections=%d", closed)

    async def _linger(self) -> None:
        for server in self._server.servers:
            server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._linger_s
        connections = self._server.server_state.connections
        while loop.time() < end:
            if not connections:
                return
            await asyncio.sleep(0.02)
