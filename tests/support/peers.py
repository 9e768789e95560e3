"""Protocol peers for tests of the platform: a connector and a caller on `websockets` and wire sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Raw
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from edge_connector.wire import messages as m
from edge_connector.wire.session import CallerSession, ConnectorSession
from tests.support.waiting import eventually

Answer = Callable[[m.Call], m.Message | None]

HELLO = msgspec.json.encode(m.Hello(versions=[1], instance_id="i")).decode()
"""The first frame of a connector."""


def echo(call: m.Call) -> m.Message:
    """The arguments as the result."""
    return m.Result(id=call.id, result=call.arguments)


def tool(name: str = "echo", **fields: Any) -> m.ToolSpec:
    return m.ToolSpec(name=name, **fields)


class ConnectorPeer:
    """A connector that answers each call with `answer`; None leaves the call open."""

    def __init__(self, socket: ClientConnection, session: ConnectorSession, answer: Answer) -> None:
        self.socket = socket
        self.session = session
        self.answer = answer
        self.calls: list[m.Call] = []
        self.received: list[m.Message] = []

    async def flush(self) -> None:
        for frame in self.session.frames_to_send():
            await self.socket.send(frame, text=True)
        while (part := self.session.next_part()) is not None:
            await self.socket.send(part, text=True)

    async def send(self, message: m.Message) -> None:
        self.session.send(message)
        await self.flush()

    async def step(self) -> list[m.Message]:
        """Take in one frame and answer its calls."""
        frame = await self.socket.recv(decode=False)
        messages = self.session.receive(frame, now=asyncio.get_running_loop().time())
        for message in messages:
            if isinstance(message, m.Call):
                self.calls.append(message)
                if (reply := self.answer(message)) is not None:
                    self.session.send(reply)
        self.received += messages
        await self.flush()
        return messages

    async def serve(self) -> None:
        """Until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.step()

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame, once it has come."""
        async with asyncio.timeout(20):
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    def of(self, kind: type[m.Message]) -> list[Any]:
        return [message for message in self.received if isinstance(message, kind)]


async def dial(url: str, authorization: str | None, *, subprotocol: str | None = m.SUBPROTOCOL) -> ClientConnection:
    """An open socket, nothing sent."""
    return await connect(
        url,
        subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
        additional_headers={"Authorization": authorization} if authorization else None,
        compression=None,
        ping_interval=None,
        proxy=None,
        max_size=m.MAX_FRAME_BYTES,
    )


async def close_of(url: str, authorization: str, *frames: str | bytes) -> tuple[int, str]:
    """Send these frames as text and return the close code and reason."""
    socket = await dial(url, authorization)
    try:
        for frame in frames:
            await socket.send(frame, text=True)
        async with asyncio.timeout(20):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return socket.close_code or 0, socket.close_reason or ""
    finally:
        await socket.close()


@asynccontextmanager
async def connector(
    url: str,
    authorization: str,
    *,
    tools: list[m.ToolSpec] | None = None,
    answer: Answer = echo,
    instance_id: str = "instance-1",
    host: str = "box",
    take_over: bool = False,
    register: bool = True,
    serve: bool = True,
) -> AsyncIterator[ConnectorPeer]:
    """A connected (and registered) connector that serves in the background."""
    socket = await dial(url, authorization)
    server: asyncio.Task[None] | None = None
    try:
        hello = m.Hello(
            versions=[m.VERSION],
            instance_id=instance_id,
            agent=m.Agent(name="peer", version="1", host=host),
            take_over=take_over,
        )
        peer = ConnectorPeer(socket, ConnectorSession(hello, now=asyncio.get_running_loop().time()), answer)
        await peer.flush()
        if register:
            async with asyncio.timeout(20):
                while not peer.of(m.Welcome):
                    await peer.step()
                peer.session.register(
                    tools if tools is not None else [tool()],
                    runtime=m.RuntimeInfo(version="1", host=host),
                    bundle=None,
                    now=asyncio.get_running_loop().time(),
                )
                await peer.flush()
                while not peer.of(m.Registered):
                    await peer.step()
        if serve:
            server = asyncio.create_task(peer.serve(), name="peer")
        yield peer
    finally:
        if server is not None:
            server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server
        await socket.close()


class CallerPeer:
    """A caller over a WebSocket session."""

    def __init__(self, socket: ClientConnection, session: CallerSession) -> None:
        self.socket = socket
        self.session = session
        self.received: list[m.Message] = []
        self.largest_frame = 0

    async def send(self, message: m.Message) -> None:
        self.session.send(message)
        for frame in self.session.frames_to_send():
            await self.socket.send(frame, text=True)

    async def until(self, kind: type[m.Message], call_id: str = "") -> Any:
        """The first message of `kind`, for this call when one is named."""
        async with asyncio.timeout(20):
            while True:
                for message in self.received:
                    if isinstance(message, kind) and (not call_id or getattr(message, "id", "") == call_id):
                        return message
                frame = await self.socket.recv(decode=False)
                self.largest_frame = max(self.largest_frame, len(frame))
                self.received += self.session.receive(frame, now=asyncio.get_running_loop().time())

    async def call(self, call_id: str, tool: str, arguments: Any, **fields: Any) -> None:
        await self.send(m.Call(id=call_id, tool=tool, arguments=Raw(msgspec.json.encode(arguments)), **fields))


@asynccontextmanager
async def caller(
    url: str, authorization: str, *, features: tuple[str, ...] = (m.FEATURE_PARTS,)
) -> AsyncIterator[CallerPeer]:
    """A welcomed caller."""
    socket = await dial(url, authorization)
    try:
        agent = m.Agent(name="peer", version="1")
        hello = m.Hello(versions=[m.VERSION], role=m.Role.CALLER, agent=agent, features=list(features))
        peer = CallerPeer(socket, CallerSession(hello, now=asyncio.get_running_loop().time()))
        for frame in peer.session.frames_to_send():
            await socket.send(frame, text=True)
        await peer.until(m.Welcome)
        yield peer
    finally:
        await socket.close()


def pair(deployment_id: str, secret: str) -> str:
    """The `Authorization` value of a deployment."""
    return f"Deployment {deployment_id}:{secret}"


__all__ = ["CallerPeer", "ConnectorPeer", "caller", "connector", "dial", "echo", "eventually", "pair", "tool"]
