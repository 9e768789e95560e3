"""A platform that a test plays: a real WebSocket server that records everything and sends whatever it is told.

It is no platform: it has no users, no store and no routing. By default it behaves well, with `wire.PlatformSession`: it
welcomes, confirms registrations, answers heartbeats and gives receipts.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from msgspec import Raw
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from edge_connector.wire import messages as m
from edge_connector.wire.codec import ProtocolError
from edge_connector.wire.session import Phase, PlatformSession
from tests.support.waiting import DEADLINE_S, eventually

M = TypeVar("M", bound=m.Message)


@dataclass(frozen=True)
class Dial:
    """One upgrade request, refused or not."""

    at: float
    """Seconds on the monotonic clock."""
    path: str
    headers: Headers


class ScriptedSession:
    """One connection of a connector, as the platform sees it."""

    def __init__(self, platform: ScriptedPlatform, socket: ServerConnection) -> None:
        self.platform = platform
        self.socket = socket
        self.opened_at = time.monotonic()
        self.closed_at: float | None = None
        self.wire = PlatformSession(now=self.opened_at)
        self.frames: list[str] = []
        """Every frame as it came."""
        self.received: list[m.Message] = []
        """Every message but heartbeats, in order; hello first."""
        self.received_at: list[float] = []
        self.fault: ProtocolError | None = None
        """What the connector did wrong, when it broke the protocol."""
        self.mute = False
        """True: nothing is sent any more, not even answers to heartbeats."""
        self.give_receipts = True
        self._tasks: list[asyncio.Task[None]] = []

    # ---- what came

    def of(self, kind: type[M]) -> list[M]:
        """The received messages of one kind, in order."""
        return [message for message in self.received if isinstance(message, kind)]

    def outcomes(self, call_id: str) -> list[m.Result | m.Failure]:
        """Every outcome received for `call_id`."""
        return [each for each in self.received if isinstance(each, m.Result | m.Failure) and each.id == call_id]

    async def outcome(self, call_id: str, *, deadline_s: float = DEADLINE_S) -> m.Result | m.Failure:
        """The first outcome of `call_id`, once it is there."""
        found = await eventually(lambda: self.outcomes(call_id), what=f"an outcome of {call_id}", deadline_s=deadline_s)
        return found[0]

    async def registered(self) -> m.Register:
        """The first registration, once the session is open."""
        return (await eventually(lambda: self.of(m.Register), what="register"))[0]

    async def closed(self, *, deadline_s: float = DEADLINE_S) -> int:
        """The code with which the connector closed, once the socket is closed."""
        await eventually(lambda: self.closed_at is not None, what="the connector to close", deadline_s=deadline_s)
        end = self.socket.protocol.close_rcvd
        return 1006 if end is None else end.code

    # ---- what is sent

    async def send(self, *messages: m.Message) -> None:
        """Send messages, in one frame where it fits."""
        for message in messages:
            self.wire.send(message)
        await self._flush()

    async def send_raw(self, *frames: str | bytes) -> None:
        """Send frames as they are; `bytes` go as binary frames."""
        for frame in frames:
            await self.socket.send(frame)

    async def call(self, tool: str, arguments: Any, *, remaining_ms: int = 20_000, call_id: str = "") -> str:
        """Call a tool; returns the call's id."""
        call = self.platform.make_call(tool, arguments, remaining_ms=remaining_ms, call_id=call_id)
        await self.send(call)
        return call.id

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket with `code`."""
        self.wire.close()
        await self.socket.close(code, reason)

    async def _flush(self) -> None:
        for frame in self.wire.frames_to_send():
            if not self.mute:
                await self.socket.send(frame, text=True)

    # ---- life

    async def serve(self) -> None:
        """Play the platform until the socket is closed."""
        self._tasks.append(asyncio.create_task(self._tick(), name="scripted_platform.tick"))
        try:
            async for frame in self.socket:
                assert isinstance(frame, str), "binary frames are not part of the protocol"
                self.frames.append(frame)
                await self._take_in(frame)
        except ProtocolError as fault:
            self.fault = fault
            await self.socket.close(fault.code, fault.reason)
        except ConnectionClosed:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            self.closed_at = time.monotonic()

    async def _take_in(self, frame: str) -> None:
        now = time.monotonic()
        for message in self.wire.receive(frame, now=now):
            self.received.append(message)
            self.received_at.append(now)
            if isinstance(message, m.Hello):
                # A task: frames that come before the welcome are still read, and found to be out of order.
                self._tasks.append(asyncio.create_task(self._answer_hello(), name="scripted_platform.welcome"))
            elif isinstance(message, m.Register):
                self.wire.confirm(message, [])
            elif isinstance(message, m.Result | m.Failure) and self.give_receipts:
                self.wire.send(m.Receipt(ids=[message.id]))
        await self._flush()

    async def _answer_hello(self) -> None:
        if self.platform.refuse_with is not None:
            code, reason = self.platform.refuse_with
            await self.close(code, reason)
            return
        await asyncio.wait_for(self.platform.welcome_gate.wait(), DEADLINE_S)
        if self.wire.phase is not Phase.CLOSED:
            self.wire.accept(self.platform.welcome(), now=time.monotonic())
            await self._flush()

    async def _tick(self) -> None:
        while self.wire.phase is not Phase.CLOSED:
            await asyncio.sleep(max(min(self.wire.next_wakeup() - time.monotonic(), 0.05), 0.005))
            try:
                self.wire.tick(now=time.monotonic())
                await self._flush()
            except ProtocolError as fault:
                self.fault = fault
                await self.socket.close(fault.code, fault.reason)
            except ConnectionClosed:
                return


class ScriptedPlatform:
    """The server. Set the attributes before a connector dials; they hold for each session that follows."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        """`listener`: serve on this socket instead of a free port of loopback."""
        self._listener = listener
        self.sessions: list[ScriptedSession] = []
        self.dials: list[Dial] = []
        self.heartbeat_s = m.HEARTBEAT_S
        self.silence_s = m.SILENCE_S
        self.limits = m.Limits()
        self.version = m.VERSION
        self.features: list[str] = []
        self.refuse_with: tuple[int, str] | None = None
        """A close code and reason that answer hello instead of welcome."""
        self.refuse_upgrade: HTTPStatus | None = None
        """An HTTP status that answers the upgrade."""
        self.welcome_gate = asyncio.Event()
        """Clear it to hold back the welcome."""
        self.welcome_gate.set()
        self._ids = itertools.count(1)
        self._server: Server | None = None

    async def __aenter__(self) -> ScriptedPlatform:
        where = {"sock": self._listener} if self._listener else {"host": "127.0.0.1", "port": 0}
        self._server = await serve(
            self._serve,
            **where,
            compression=None,
            select_subprotocol=_require_subprotocol,
            process_request=self._process_request,
            ping_interval=None,
            max_size=m.MAX_FRAME_BYTES,
            close_timeout=1,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None, "the platform is not started"
        host, port = self._server.sockets[0].getsockname()
        return f"ws://{host}:{port}"

    async def session(self, number: int = 1, *, deadline_s: float = DEADLINE_S) -> ScriptedSession:
        """The session with this number, once it is there."""
        await eventually(lambda: len(self.sessions) >= number, what=f"session {number}", deadline_s=deadline_s)
        return self.sessions[number - 1]

    async def open_session(self, number: int = 1, *, deadline_s: float = DEADLINE_S) -> ScriptedSession:
        """The session with this number, once it has registered tools."""
        session = await self.session(number, deadline_s=deadline_s)
        await session.registered()
        return session

    def welcome(self) -> m.Welcome:
        """The welcome that the next connector gets."""
        return m.Welcome(
            version=self.version,
            session_id=f"ses_{len(self.sessions)}",
            organization_id="org_test",
            organization="Test",
            deployment_id="dep_test",
            deployment="Test deployment",
            connector_id="con_test",
            heartbeat_s=self.heartbeat_s,
            silence_s=self.silence_s,
            limits=self.limits,
            features=self.features,
        )

    def make_call(self, tool: str, arguments: Any, *, remaining_ms: int = 20_000, call_id: str = "") -> m.Call:
        """A call that is not sent yet."""
        return m.Call(
            id=call_id or f"call_{next(self._ids)}",
            tool=tool,
            arguments=Raw(msgspec.json.encode(arguments)),
            remaining_ms=remaining_ms,
            context=m.CallContext(user="usr_test", organization="org_test", deployment="dep_test"),
        )

    def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        self.dials.append(Dial(time.monotonic(), request.path, request.headers))
        if self.refuse_upgrade is not None:
            return socket.respond(self.refuse_upgrade, f"{self.refuse_upgrade.phrase}\n")
        if "Authorization" not in request.headers:
            return socket.respond(HTTPStatus.UNAUTHORIZED, "no credentials\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        session = ScriptedSession(self, socket)
        self.sessions.append(session)
        await session.serve()


def _require_subprotocol(socket: ServerConnection, offered: list[Subprotocol] | Any) -> Subprotocol:
    if m.SUBPROTOCOL not in offered:
        raise NegotiationError(f"subprotocol {m.SUBPROTOCOL} was not offered")
    return Subprotocol(m.SUBPROTOCOL)
