"""The health port listens at once; who answers on it is loaded for the first connection, beside the loop."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from edge_connector.core.errors import UserError
from edge_connector.core.status import RuntimeStatus
from edge_connector.health import server
from edge_connector.health.endpoints import MAX_CONNECTIONS, Endpoints
from edge_connector.health.server import HealthServer, load_endpoints
from tests.support.waiting import eventually
from tests.unit.desktop import samples

GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def known_status() -> RuntimeStatus:
    return msgspec.convert(samples.status(), RuntimeStatus)


class Gate:
    """Holds the import of the endpoints until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.asked = 0

    def open(self) -> None:
        self._open.set()

    def load(self) -> type[Endpoints]:
        self.asked += 1
        assert self._open.wait(20), "nobody opened the gate"
        return load_endpoints()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(server, "load_endpoints", gate.load)
    yield gate
    gate.open()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[HealthServer]:
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "allowed_hosts": (),
        "is_ready": lambda: True,
        "metrics": list,
    } | options
    health = HealthServer(status=known_status, **given)
    await health.start()
    try:
        yield health
    finally:
        await health.stop()


async def asked(port: int, path: bytes = b"/livez", *, host: str = "127.0.0.1") -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(GET % path)
        return await answer(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split()[1]), msgspec.json.decode(await reader.readexactly(length))


async def test_nothing_is_loaded_until_somebody_connects(gate: Gate) -> None:
    async with serving() as health:
        assert health.port > 0
        await asyncio.sleep(0)
        assert gate.asked == 0
        gate.open()
        status, document = await asked(health.port)
        assert (status, document["status"], gate.asked) == (200, "alive", 1)


async def test_the_first_requests_wait_for_a_slow_import_and_the_loop_goes_on(gate: Gate) -> None:
    async with serving() as health:
        requests = [asyncio.create_task(asked(health.port, path)) for path in (b"/livez", b"/healthz", b"/statusz") * 5]
        await eventually(lambda: gate.asked, what="the import to begin")
        turns = 0
        while turns < 100:
            await asyncio.sleep(0)
            turns += 1
        assert not any(request.done() for request in requests)
        gate.open()
        answers = await asyncio.gather(*requests)
        assert [status for status, _ in answers] == [200] * 15
        assert gate.asked == 1


async def test_the_first_connection_is_kept_alive(gate: Gate) -> None:
    async with serving() as health:
        reader, writer = await asyncio.open_connection("127.0.0.1", health.port)
        writer.write(GET % b"/livez")
        gate.open()
        assert (await answer(reader))[0] == 200
        writer.write(GET % b"/healthz" + GET % b"/statusz")
        assert [(await answer(reader))[0], (await answer(reader))[0]] == [200, 200]
        writer.close()
        await writer.wait_closed()


async def test_the_first_request_may_come_in_pieces(gate: Gate) -> None:
    gate.open()
    async with serving() as health:
        reader, writer = await asyncio.open_connection("127.0.0.1", health.port)
        for piece in (b"GET /li", b"vez HT", b"TP/1.1\r\nHost: local", b"host\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await answer(reader))[0] == 200
        writer.close()
        await writer.wait_closed()


async def test_stopping_while_it_is_loaded_closes_the_port(gate: Gate) -> None:
    async with serving() as health:
        port = health.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: gate.asked, what="the import to begin")
        await health.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        gate.open()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            writer.write(GET % b"/livez")
            await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def listens_and_stops() -> None:
    for ask_first in (False, True):
        async with serving() as health:
            port = health.port
            if ask_first:
                assert (await asked(port))[0] == 200
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_stopping_closes_the_port_with_and_without_a_request() -> None:
    await listens_and_stops()


def test_it_listens_and_stops_on_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(listens_and_stops())


async def test_a_caller_that_went_away_before_it_was_heard_harms_nobody(gate: Gate) -> None:
    async with serving() as health:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", health.port)
            writer.transport.abort()
        await eventually(lambda: gate.asked, what="the import to begin")
        gate.open()
        assert (await asked(health.port))[0] == 200


async def test_every_address_of_a_name_has_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """localhost is 127.0.0.1 and ::1; a probe may take either."""
    stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, *stream, ("127.0.0.1", 0)), (socket.AF_INET6, *stream, ("::1", 0, 0, 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with serving(host="both") as health:
        monkeypatch.undo()
        assert (await asked(health.port))[0] == 200
        assert (await asked(health.port, host="::1"))[0] == 200


async def test_a_taken_port_is_named_or_passed_by() -> None:
    async with serving() as first:
        with pytest.raises(UserError) as caught:
            async with serving(port=first.port):
                pass
        assert caught.value.code == "health_port_taken"
        async with serving(port=first.port, next_free=True) as second:
            assert second.port not in (0, first.port)
            assert (await asked(second.port))[0] == 200


async def test_a_foreign_address_cannot_be_used() -> None:
    with pytest.raises(UserError) as caught:
        async with serving(host="192.0.2.7"):
            pass
    assert caught.value.code == "health_host_unusable"
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EADDRNOTAVAIL


async def test_not_ready_is_503_from_the_first_request_on() -> None:
    async with serving(is_ready=lambda: False) as health:
        code, document = await asked(health.port, b"/healthz")
        assert (code, document["status"]) == (503, "not ready")


def test_a_connector_that_nobody_probes_holds_no_http_library() -> None:
    """It takes 14 MiB."""
    program = "import sys; import edge_connector.runtime.main; print('aiohttp' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["False"]


async def test_connections_that_say_nothing_make_room_for_those_that_ask() -> None:
    async with serving() as health:
        assert (await asked(health.port))[0] == 200
        silent = [await asyncio.open_connection("127.0.0.1", health.port) for _ in range(MAX_CONNECTIONS)]
        try:
            assert (await asked(health.port))[0] == 200
            assert await asyncio.wait_for(silent[0][0].read(), 20) == b""
        finally:
            for _, writer in silent:
                writer.close()


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [(b"GET /nothing", 404), (b"POST /livez", 405), (b"HEAD /livez", 200), (b"GET /livez?verbose", 200)],
)
async def test_only_known_paths_are_read(request_line: bytes, expected: int) -> None:
    async with serving() as health:
        reader, writer = await asyncio.open_connection("127.0.0.1", health.port)
        writer.write(request_line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
        assert int(head.split()[1]) == expected
        assert bool(body) == (not request_line.startswith(b"HEAD"))
        writer.close()
