"""The Tool RPC port, a raw ASGI application: who may open a session, and as what. It routes no calls."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

from edge_connector import __version__
from edge_connector.core.clock import to_iso
from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.deployments import Deployments
from edge_connector.platform_server.fleet import DeploymentState, Fleet
from edge_connector.platform_server.http.hosts import HostCheck
from edge_connector.platform_server.identity import Identity, Principal, new_id
from edge_connector.platform_server.refusals import Refused, too_many_attempts, unauthorized
from edge_connector.platform_server.results.references import References
from edge_connector.platform_server.tool_rpc.caller_calls import CallerCalls
from edge_connector.platform_server.tool_rpc.caller_link import CallerLink
from edge_connector.platform_server.tool_rpc.calls import CallRouter
from edge_connector.platform_server.tool_rpc.connection import Connection, Peer, Receive, Send, Socket
from edge_connector.platform_server.tool_rpc.connector_link import ConnectorLink
from edge_connector.platform_server.tool_rpc.journal import CallJournal
from edge_connector.platform_server.tool_rpc.websocket import EXTENSION, FrameProtocol
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import ProtocolError

log = logging.getLogger(__name__)

MAX_HANDSHAKES = 64
"""Handshakes at a time: thousands of connectors that come back at once must not starve the calls of the others."""
HANDSHAKE_WAIT_S = 20.0
MAX_STRANGERS = 32
"""Sockets with unknown credentials at a time; they are only kept to be told why they are refused."""
RECONNECT_MS = (500, 5_000)
FEATURES = [m.FEATURE_PROBE, m.FEATURE_PARTS]
"""What every session may use."""
DEPLOYMENT_FEATURES = [*FEATURES, m.FEATURE_REFERENCES]
"""What a connector may use that has a deployment's credentials, which the HTTP API takes too."""


class ToolRpcEndpoint:
    """ASGI application of the Tool RPC port."""

    def __init__(
        self,
        *,
        identity: Identity,
        fleet: Fleet,
        deployments: Deployments,
        router: CallRouter,
        journal: CallJournal,
        references: References,
        hosts: HostCheck,
        limits: m.Limits | None = None,
        heartbeat_s: float = m.HEARTBEAT_S,
    ) -> None:
        """`heartbeat_s`: the terms of each session; its silence limit stays two and a half of them."""
        self._identity = identity
        self._fleet = fleet
        self._deployments = deployments
        self._router = router
        self._journal = journal
        self._references = references
        self._hosts = hosts
        self._limits = limits or m.Limits()
        self._heartbeat_s = heartbeat_s
        self._tasks = TaskOwner("tool_rpc")
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        self._strangers = 0
        self._connections: dict[Connection, tuple[str, bytes]] = {}
        """Organization and `Authorization` value of those that were admitted."""
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._callers: set[CallerLink] = set()
        self._caller_calls = CallerCalls()
        self._is_stopping = False
        identity.on_change.append(self.end_refused)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            refusal = Refused(
                426,
                "websocket_only",
                f"This is the Tool RPC port: it speaks WebSocket with the subprotocol {m.SUBPROTOCOL}.",
                hint="A connector needs this address as TOOL_RPC_URL; the HTTP API is on the other port.",
            )
            await _respond(send, "http.response", refusal, [(b"upgrade", b"websocket")])

    async def _websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        address = scope["client"][0] if scope.get("client") else ""
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        refusal = self._refusal(scope, header)
        principal = self._identity.authenticate(header) if refusal is None else None
        is_stranger = refusal is None and principal is None
        if is_stranger and (not self._identity.count_failure(address) or self._strangers >= MAX_STRANGERS):
            refusal = too_many_attempts()
        if refusal is not None:
            log.info("session refused address=%s code=%s", address, refusal.code)
            await _respond(send, "websocket.http.response", refusal)
            return
        frames: FrameProtocol = scope["extensions"][EXTENSION]
        socket = Socket(receive, send, frames.writable.wait, frames)
        if principal is None:
            await self._tell_stranger(socket, address, header)
        else:
            await self._serve(socket, address, header)

    def _refusal(self, scope: Any, header: bytes) -> Refused | None:
        # Browsers send no Authorization with an upgrade, so a page gets nothing here; it is told so first of all.
        if (foreign := self._hosts.refusal(scope["headers"], "CONNECT")) is not None:
            return foreign
        if m.SUBPROTOCOL not in scope["subprotocols"]:
            return Refused(
                400,
                "subprotocol_required",
                f"The Tool RPC port speaks the subprotocol {m.SUBPROTOCOL}, which was not offered.",
                hint=f"Send Sec-WebSocket-Protocol: {m.SUBPROTOCOL}.",
            )
        if header.partition(b" ")[0].lower() not in (b"bearer", b"deployment"):
            return unauthorized(given=bool(header))
        if self._is_stopping:
            return Refused(503, "platform_stopping", "The platform is stopping.", hint="Dial again.")
        return None

    async def _tell_stranger(self, socket: Socket, address: str, header: bytes) -> None:
        """Unknown credentials: the reason is a close code, which every client library shows, unlike an HTTP status."""

        async def refuse(connection: Connection, hello: m.Hello) -> Peer:
            raise ProtocolError(*self._identity.refusal(header))

        self._strangers += 1
        try:
            await self._run(socket, address, refuse)
        finally:
            self._strangers -= 1

    async def _serve(self, socket: Socket, address: str, header: bytes) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_WAIT_S):
                await self._handshakes.acquire()
        except TimeoutError:
            busy = Refused(503, "too_many_handshakes", "Too many sessions are being opened.", hint="Dial again.")
            await _respond(socket.send, "websocket.http.response", busy)
            return
        is_held = True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._handshakes.release()

        async def admit(connection: Connection, hello: m.Hello) -> Peer:
            # Asked again: the secret may have been changed since the upgrade.
            principal = self._identity.authenticate(header)
            if principal is None:
                raise ProtocolError(CloseCode.REVOKED, "the credentials were revoked")
            self._connections[connection] = (principal.organization_id, header)
            self._end_at_expiry(connection, principal)
            if hello.role is m.Role.CALLER:
                release()
                return self._admit_caller(connection, principal)
            return await self._admit_connector(connection, principal, hello, release)

        try:
            await self._run(socket, address, admit)
        finally:
            release()

    async def _run(
        self, socket: Socket, address: str, on_hello: Callable[[Connection, m.Hello], Awaitable[Peer]]
    ) -> None:
        await socket.send({"type": "websocket.accept", "subprotocol": m.SUBPROTOCOL})
        connection = Connection(socket, address=address, tasks=self._tasks)
        self._connections[connection] = ("", b"")
        self._all_gone.clear()
        try:
            await connection.run(on_hello)
        finally:
            self._connections.pop(connection, None)
            if not self._connections:
                self._all_gone.set()
            if isinstance(connection.peer, CallerLink):
                self._callers.discard(connection.peer)

    def sessions(self) -> dict[str, int]:
        """How many sessions there are by role; `new` ones have not said who they are."""
        callers = len(self._callers)
        known = sum(1 for connection in self._connections if connection.peer is not None)
        return {"connector": known - callers, "caller": callers, "new": len(self._connections) - known}

    # ---- admission

    def _admit_caller(self, connection: Connection, principal: Principal) -> CallerLink:
        if Scope.CALLS not in principal.scopes:
            raise ProtocolError(CloseCode.FORBIDDEN, "a deployment's credentials do not call tools; use a server token")
        link = CallerLink(connection, principal, self._router, self._caller_calls)
        self._callers.add(link)
        self._welcome(connection, principal.organization_id, FEATURES)
        return link

    async def _admit_connector(
        self, connection: Connection, principal: Principal, hello: m.Hello, release: Callable[[], None]
    ) -> ConnectorLink:
        state = await self._deployment_of(principal, hello)
        existing = state.link
        if existing is not None:
            if hello.instance_id and existing.instance_id == hello.instance_id:
                existing.request_close(CloseCode.REPLACED, "a newer session of the same installation took over")
            elif hello.take_over:
                host = hello.agent.host if hello.agent else "another host"
                existing.request_close(CloseCode.TAKEN_OVER, f"taken over by {host}")
            else:
                since = to_iso(existing.connected_at)
                raise ProtocolError(
                    CloseCode.ALREADY_CONNECTED,
                    f"Deployment already connected (host {(existing.host or 'unknown')[:50]}, since {since})",
                )
            self._fleet.detach(state, existing, "replaced by a newer session")
            self._router.link_lost(state, existing)
        link = ConnectorLink(
            connection,
            hello,
            state,
            fleet=self._fleet,
            router=self._router,
            journal=self._journal,
            references=self._references,
            on_registered=release,
        )
        self._fleet.attach(state, link)
        features = DEPLOYMENT_FEATURES if principal.kind == "deployment" else FEATURES
        self._welcome(connection, principal.organization_id, features, state)
        return link

    async def _deployment_of(self, principal: Principal, hello: m.Hello) -> DeploymentState:
        if principal.kind == "server_token":
            raise ProtocolError(
                CloseCode.FORBIDDEN, "a server token is for calls; connect with a deployment's id and secret"
            )
        if principal.kind == "deployment":
            state = self._fleet.by_id(principal.id)
            if state is None:
                raise ProtocolError(CloseCode.DEPLOYMENT_GONE, "the deployment was deleted")
            return state
        if principal.kind != "user":
            raise ProtocolError(CloseCode.FORBIDDEN, "the platform's operator connects nothing")
        if not hello.instance_id:
            raise ProtocolError(CloseCode.FORBIDDEN, "a connector that signs in as a person has to send an instanceId")
        host = hello.agent.host if hello.agent is not None else ""
        return await self._deployments.of_installation(principal, hello.instance_id, host)

    def _welcome(
        self,
        connection: Connection,
        organization_id: str,
        features: list[str],
        state: DeploymentState | None = None,
    ) -> None:
        welcome = m.Welcome(
            version=m.VERSION,
            session_id=new_id("ses"),
            organization_id=organization_id,
            organization=self._identity.organizations[organization_id].name,
            deployment_id=state.row.id if state else "",
            deployment=state.row.name if state else "",
            connector_id=state.connector.id if state else "",
            heartbeat_s=self._heartbeat_s,
            silence_s=self._heartbeat_s * m.SILENCE_S / m.HEARTBEAT_S,
            limits=self._limits,
            features=features,
            agent=m.Agent(name="edge-connector-platform", version=__version__),
        )
        connection.session.accept(welcome, now=asyncio.get_running_loop().time())
        connection.new_terms()
        connection.wake()

    # ---- ending

    def end_refused(self, organization_id: str, reason: str) -> None:
        """Close the sessions of an organization whose credentials are no longer good."""
        for connection, (of, header) in list(self._connections.items()):
            if of == organization_id:
                principal = self._identity.authenticate(header)
                if principal is None:
                    connection.request_close(CloseCode.REVOKED, reason)
                else:
                    # What was good for ever may be good for some hours now: the old secret of a deployment.
                    self._end_at_expiry(connection, principal)

    def _end_at_expiry(self, connection: Connection, principal: Principal) -> None:
        if principal.kind == "deployment":
            connection.end_at_expiry(
                lambda: self._identity.seconds_left(principal), "the deployment's secret was changed"
            )
        else:
            connection.end_at_expiry(lambda: self._identity.seconds_left(principal))

    def announce_drain(self) -> None:
        """Take no new sessions, and tell each peer when to dial again; the moments are spread."""
        self._is_stopping = True
        for connection in self._connections:
            if connection.peer is not None:
                start = random.randint(*RECONNECT_MS) // 2
                connection.send(
                    m.Drain(
                        reconnect_min_ms=max(RECONNECT_MS[0], start),
                        reconnect_max_ms=RECONNECT_MS[1],
                        reason="the platform is stopping",
                    )
                )

    async def close(self, timeout_s: float) -> None:
        """Close all sessions with the code for draining and wait until they are gone."""
        self._is_stopping = True
        for connection in list(self._connections):
            connection.request_close(CloseCode.DRAINING, "the platform is stopping")
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_gone.wait()
        except TimeoutError:
            log.warning("sessions did not end in time sessions=%d", len(self._connections))
        await self._references.close()
        await self._tasks.close()


async def _respond(send: Send, kind: str, refusal: Refused, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = refusal.body()
    await send(
        {
            "type": f"{kind}.start",
            "status": refusal.status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *(headers or []),
            ],
        }
    )
    await send({"type": f"{kind}.body", "body": body})
