"""One socket alone: what piles up towards a peer that does not read has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw

from edge_connector.core.tasks import TaskOwner
from edge_connector.platform_server.tool_rpc import connection
from edge_connector.platform_server.tool_rpc.connection import Connection, Socket
from edge_connector.wire import messages as m
from edge_connector.wire.codec import to_caller
from tests.support.waiting import eventually

HELLO = '{"type":"hello","versions":[1],"role":"caller"}'
HELLO_WITH_PARTS = '{"type":"hello","versions":[1],"role":"caller","features":["parts"]}'


class FakeSocket:
    """An ASGI WebSocket whose peer reads when the test says so."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads = asyncio.Event()
        self.events: list[dict[str, Any]] = []

    def give(self, text: str) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": text, "bytes": None})

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, event: dict[str, Any]) -> None:
        await self.reads.wait()
        self.events.append(event)

    @property
    def messages(self) -> list[m.Message]:
        frames = [event["text"] for event in self.events if event["type"] == "websocket.send"]
        return [message for frame in frames for message in to_caller.decode(frame)]

    @property
    def close_code(self) -> int:
        return next((event["code"] for event in self.events if event["type"] == "websocket.close"), 0)


class Quiet:
    """A peer that wants nothing."""

    def handle(self, message: m.Message) -> None:
        return

    def before_flush(self) -> None:
        return

    def closed(self, reason: str) -> None:
        return


class Opened:
    """A welcomed caller on a connection that runs."""

    def __init__(self, tasks: TaskOwner, hello: str = HELLO) -> None:
        self.socket = FakeSocket()
        socket = self.socket
        self.connection = Connection(
            Socket(socket.receive, socket.send, socket.reads.wait), address="test", tasks=tasks
        )
        self.running = tasks.spawn(self.connection.run(self._admit), name="connection")
        self.socket.give(hello)

    async def _admit(self, connection: Connection, hello: m.Hello) -> Quiet:
        welcome = m.Welcome(version=1, session_id="s", organization_id="o")
        connection.session.accept(welcome, now=asyncio.get_running_loop().time())
        connection.wake()
        return Quiet()

    async def until_ended(self) -> None:
        async with asyncio.timeout(20):
            await asyncio.wait([self.running])


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    tasks = TaskOwner("test")
    made = Opened(tasks)
    await eventually(lambda: made.connection.peer is not None, what="the hello was taken")
    yield made
    await tasks.close()


def result(size: int) -> m.Result:
    return m.Result(id="a", result=Raw(b"1" * size))


async def test_what_is_queued_is_counted_until_it_is_sent(opened: Opened) -> None:
    opened.connection.send(result(10_000))
    error = m.CallError(code="c", message="x" * 500, hint="y" * 500, detail=Raw(b"1" * 500))
    opened.connection.send(m.Failure(id="b", outcome=m.Outcome.FAILED, error=error))
    opened.connection.send(m.Call(id="c", tool="t", arguments=Raw(b"{" + b" " * 1000 + b"}")))
    assert 12_500 < opened.connection.queued_bytes < 14_000
    opened.socket.reads.set()
    await eventually(lambda: opened.connection.queued_bytes == 0, what="everything was sent")


async def test_a_peer_that_does_not_read_is_closed_with_too_many(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_OUTBOX_BYTES", 10_000)
    for _ in range(100):
        opened.connection.send(result(1_000))
    assert opened.connection.is_closing
    assert opened.connection.queued_bytes < 12_000
    opened.socket.reads.set()
    await opened.until_ended()
    assert opened.socket.close_code == 4429
    assert len([message for message in opened.socket.messages if isinstance(message, m.Result)]) < 12


async def test_heartbeats_that_are_not_read_have_an_end_too(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_OUTBOX_MESSAGES", 100)
    for seq in range(200):
        opened.socket.give(f'{{"type":"heartbeat","seq":{seq}}}')
    await eventually(lambda: opened.connection.is_closing, what="the flood was cut", deadline_s=5.0)
    opened.socket.reads.set()
    await opened.until_ended()
    assert opened.socket.close_code == 4429


async def test_progress_is_dropped_behind_a_small_backlog_and_outcomes_are_not(opened: Opened) -> None:
    progress = m.Progress(id="a", message="x" * 100)
    for _ in range(100_000):
        opened.connection.send(progress)
    opened.connection.send(result(10))
    assert opened.connection.queued_bytes < connection.MAX_PROGRESS_BYTES + 1_000
    opened.socket.reads.set()
    await eventually(lambda: opened.connection.queued_bytes == 0, what="everything was sent")
    assert isinstance(opened.socket.messages[-1], m.Result)
    opened.connection.send(progress)
    await eventually(lambda: isinstance(opened.socket.messages[-1], m.Progress), what="progress flows again")


@pytest.fixture
async def opened_for_parts() -> AsyncIterator[Opened]:
    tasks = TaskOwner("test")
    made = Opened(tasks, HELLO_WITH_PARTS)
    made.socket.reads.set()
    await eventually(lambda: made.socket.messages, what="the welcome")
    made.socket.reads.clear()
    yield made
    await tasks.close()


async def test_a_small_message_overtakes_the_parts_that_wait(opened_for_parts: Opened) -> None:
    connection, socket = opened_for_parts.connection, opened_for_parts.socket
    connection.send(result(200_000))
    assert connection.session.parts.bytes == 200_000 and connection.queued_bytes == 0
    await asyncio.sleep(0)
    connection.send(m.Accepted(id="b"))
    socket.reads.set()
    await eventually(lambda: not connection.session.parts.bytes, what="all parts were sent")
    kinds = [type(message) for message in socket.messages]
    assert m.Accepted in kinds[:3] and kinds.count(m.ResultPart) > 3


async def test_parts_that_wait_count_and_are_sent_before_the_close(
    opened_for_parts: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, socket = opened_for_parts.connection, opened_for_parts.socket
    monkeypatch.setattr("edge_connector.platform_server.tool_rpc.connection.MAX_OUTBOX_BYTES", 150_000)
    closing = []
    for call_id in "ab":
        connection.send(m.Result(id=call_id, result=Raw(b"1" * 100_000)))
        closing.append(connection.is_closing)
    assert closing == [False, True]
    socket.reads.set()
    await opened_for_parts.until_ended()
    assert socket.close_code == 4429
    parts = [message for message in socket.messages if isinstance(message, m.ResultPart)]
    assert sum(len(part.data) for part in parts) == 200_000
