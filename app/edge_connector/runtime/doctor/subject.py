"""What the checks are given: one installation, and the facts about it that several of them need, found out once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_connector import __version__
from edge_connector.auth.credentials import DeploymentCredentials, TokenCredentials, find_credentials, find_token
from edge_connector.auth.current import current_credentials
from edge_connector.config.json_file import read_json_object
from edge_connector.config.loading import LoadedConfig, load
from edge_connector.config.paths import InstallationPaths
from edge_connector.control.client import ControlClient
from edge_connector.control.lock import lock_holder
from edge_connector.core.checks import Once
from edge_connector.core.clock import SystemClock
from edge_connector.core.errors import EdgeError, NeedsLogin, NotConnected, UserError
from edge_connector.link.transport import DialTarget, LinkDown, dial, proxy_for
from edge_connector.net.tls import client_context
from edge_connector.net.way import HttpAnswer, TunnelRefused, address_of, ask, connected
from edge_connector.wire import messages as m
from edge_connector.wire.session import ConnectorSession

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANSWER_S = 5.0
"""How long the platform may take for its answer to a hello."""


@dataclass(frozen=True, slots=True)
class Running:
    """A connector that runs for this directory and answers."""

    status: dict[str, Any]
    recent: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Introduction:
    """How the platform answered a hello: with a welcome, or by closing."""

    welcome: m.Welcome | None
    down: LinkDown | None
    round_trip_s: float


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What the platform's HTTP API answered to `GET /livez`; `asked_at` in Unix seconds."""

    http: HttpAnswer
    asked_at: float
    took_s: float


class Subject:
    """One installation under examination."""

    def __init__(self, directory: Path, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> None:
        self.directory = directory
        self.environ = environ
        self.flags = flags
        self.paths = InstallationPaths(directory)
        self.running: Once[Running | None] = Once(self._running)
        """None when no connector runs for the directory."""
        self.introduction: Once[Introduction] = Once(self._introduce)
        self.api_answer: Once[ApiAnswer] = Once(self._ask_api)
        self._loaded: LoadedConfig | None = None

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration.

        Raises:
            UserError: it is wrong.
        """
        if self._loaded is None:
            self._loaded = load(self.directory, self.environ, self.flags)
        return self._loaded

    def credentials(self) -> DeploymentCredentials | TokenCredentials:
        """The credentials that a connector would use.

        Raises:
            EdgeError: there are none, or they are no good.
        """
        try:
            return find_credentials(self.loaded, now=time.time())
        except NeedsLogin as error:
            token = None
            if error.code == "token_expired":
                token = find_token(self.loaded, now=time.time(), also_expired=True)
            if token is None or not token.refresh_token:
                raise
            return token  # a connector exchanges it for a new one

    async def connector(self) -> Running | None:
        """The running connector, when it answers."""
        try:
            return await self.running()
        except EdgeError:
            return None

    async def _running(self) -> Running | None:
        try:
            async with ControlClient(self.directory) as client:
                status: dict[str, Any] = await client.request("status", timeout_s=ANSWER_S)
                recent: list[dict[str, Any]] = await client.request("calls.recent", timeout_s=ANSWER_S, limit=200)
        except NotConnected as error:
            if error.code != "not_running":
                raise
            return None
        return Running(status, recent)

    async def _introduce(self) -> Introduction:
        """Say hello to the platform as the connector would, and leave before registering: no call can come.

        Only while no connector runs here: the platform replaces the older session of the same installation.

        Raises:
            EdgeError: it must not or cannot be done.
        """
        if (holder := await asyncio.to_thread(lock_holder, self.paths.lock_file)) is not None:
            raise UserError(
                "lock_held", f"a process (pid {holder}) holds this directory, and its session is left alone"
            )
        credentials = await current_credentials(self.loaded, clock=SystemClock())
        instance = self._instance_id()
        if not instance and isinstance(credentials, TokenCredentials):
            raise UserError("never_ran", "the first `run` here makes a deployment for this token; nothing was made now")
        settings = self.loaded.settings
        tls = await asyncio.to_thread(client_context, settings.ca_file) if self.secure else None
        started = time.monotonic()
        try:
            transport = await dial(
                DialTarget(
                    url=settings.tool_rpc_url,
                    subprotocol=m.SUBPROTOCOL,
                    headers={"Authorization": credentials.authorization_header},
                    tls=tls,
                    max_frame_bytes=m.MAX_FRAME_BYTES,
                    user_agent=f"edge-connector/{__version__}",
                )
            )
            hello = m.Hello(
                versions=[m.VERSION],
                instance_id=instance or str(uuid.uuid4()),
                agent=m.Agent(name="edge-connector-doctor", version=__version__, host=settings.instance_name or ""),
            )
            session = ConnectorSession(hello, now=0.0)
            try:
                await transport.send(session.frames_to_send())
                async with asyncio.timeout(ANSWER_S):
                    messages = session.receive(await transport.receive(), now=0.0)
                welcome = next((message for message in messages if isinstance(message, m.Welcome)), None)
                return Introduction(welcome, None, time.monotonic() - started)
            finally:
                await transport.close(1000, "examined")
        except LinkDown as down:
            return Introduction(None, down, time.monotonic() - started)

    async def _ask_api(self) -> ApiAnswer:
        settings = self.loaded.settings
        url = settings.platform_api_url
        to = address_of(url)
        # As the client of the API does: a proxy for the world outside cannot reach this machine's loopback.
        proxy = None if to.host in LOOPBACK else proxy_for(url.replace("http", "ws", 1))
        context = await asyncio.to_thread(client_context, settings.ca_file) if to.secure else None
        asked_at, started = time.time(), time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S), connected(to, proxy, context) as (reader, writer):
                path = to.path.rstrip("/") + "/livez"
                answer = await ask(reader, writer, to, {"Accept": "application/json"}, path=path)
        except (TimeoutError, TunnelRefused) as error:
            words = str(error) or f"no answer within {ANSWER_S:g} s"
            raise NotConnected("platform_unreachable", f"{to} cannot be reached: {words}.") from error
        return ApiAnswer(answer, asked_at, time.monotonic() - started)

    @property
    def secure(self) -> bool:
        """Whether the link goes over TLS."""
        return self.loaded.settings.tool_rpc_url.startswith("wss:")

    def _instance_id(self) -> str:
        """The identity of this installation; empty before the first run. Nothing is made here."""
        try:
            found = read_json_object(self.paths.instance_file, prefix="instance")
        except EdgeError:
            return ""
        if found is None or found.values.get("directory") != str(self.directory.resolve()):
            return ""
        return str(found.values.get("instanceId", ""))
