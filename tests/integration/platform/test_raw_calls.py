"""Calls as bytes on a socket: what is answered without ASGI, what is uvicorn's, and that nobody sees a difference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_connector.platform_server import listening
from edge_connector.platform_server.http import call_protocol
from edge_connector.platform_server.http.call_endpoint import CallEndpoint
from edge_connector.platform_server.http.patience import Patience
from edge_connector.wire import messages as m
from tests.support.peers import Answer, ConnectorPeer, connector, echo, pair
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.waiting import eventually

PLAIN, ASGI = "plain", "asgi"


class Raw:
    """One connection to the API port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authorization: str) -> None:
        self.reader = reader
        self.writer = writer
        self._authorization = authorization

    def request(self, *headers: str, arguments: Any = None, host: str = "127.0.0.1", **fields: Any) -> bytes:
        """The bytes of one call; a header `-Name` leaves a usual one out."""
        body = json.dumps({"tool": "echo", "arguments": {"n": 1} if arguments is None else arguments, **fields})
        usual = {
            "Host": host,
            "Authorization": self._authorization,
            "Content-Length": str(len(body)),
        }
        for header in headers:
            usual.pop(header.removeprefix("-") if header.startswith("-") else "", None)
        lines = [f"{name}: {value}" for name, value in usual.items()]
        lines += [header for header in headers if not header.startswith("-")]
        return "\r\n".join(["POST /api/v1/calls HTTP/1.1", *lines, "", body]).encode()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and document of the next answer."""
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        is_json = headers.get("content-type") == "application/json"
        return int(head[0].split()[1]), headers, json.loads(body) if is_json else body

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], Any]:
        await self.send(data)
        return await self.reply()

    async def until_closed(self) -> bytes:
        """What still comes before the end of the connection."""
        async with asyncio.timeout(20):
            return await self.reader.read()


class Bench:
    """A platform with one connector, and by which way each call was answered."""

    def __init__(self, platform: RunningPlatform, peer: ConnectorPeer, ways: list[str]) -> None:
        self.platform = platform
        self.peer = peer
        self.ways = ways

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Raw]:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.platform.api_url.rpartition(":")[2]))
        try:
            yield Raw(reader, writer, f"Bearer {self.platform.server_token}")
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def until_open(self, count: int) -> None:
        await eventually(lambda: len(self.peer.calls) >= count, what=f"{count} calls at the connector")

    async def finish(self, number: int) -> None:
        """Give the outcome of the call with this number."""
        await self.peer.send(echo(self.peer.calls[number]))


Make = Callable[..., Any]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    ways: list[str] = []
    slow, plain = CallEndpoint.__call__, CallEndpoint.start_plain

    async def by_asgi(self: CallEndpoint, scope: Any, receive: Any, send: Any) -> None:
        ways.append(ASGI)
        await slow(self, scope, receive, send)

    def plainly(self: CallEndpoint, *args: Any) -> bool:
        if started := plain(self, *args):
            ways.append(PLAIN)
        return started

    monkeypatch.setattr(CallEndpoint, "__call__", by_asgi)
    monkeypatch.setattr(CallEndpoint, "start_plain", plainly)

    @asynccontextmanager
    async def make(answer: Answer = echo) -> AsyncIterator[Bench]:
        async with running_platform(tmp_path) as platform:
            edge = await platform.deploy()
            async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=answer) as peer:
                yield Bench(platform, peer, ways)

    return make


def silent(call: m.Call) -> m.Message | None:
    return None


async def test_plain_calls_share_a_connection_with_everything_else(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        for number in range(3):
            status, headers, document = await raw.ask(raw.request(arguments={"n": number}))
            assert (status, headers["content-type"]) == (200, "application/json")
            assert (document["outcome"], document["result"]) == ("succeeded", {"n": number})
        assert (await raw.ask(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))[2] == {"status": "ok"}
        assert (await raw.ask(raw.request()))[0] == 200
        assert (await raw.ask(raw.request(wait=False)))[0] == 202
        assert (await raw.ask(raw.request()))[0] == 200
        assert made.ways == [PLAIN] * 4 + [ASGI] + [PLAIN]


async def test_a_refused_call_is_answered_by_the_usual_way_and_the_connection_goes_on(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        for request, status, code in (
            (raw.request(deployment="nowhere"), 404, "unknown_deployment"),
            (raw.request(arguments=[1]), 400, "invalid_request"),
            (raw.request("-Authorization"), 401, "credentials_missing"),
            (raw.request("-Authorization", "Authorization: Bearer ect_guess"), 401, "credentials_refused"),
            (raw.request(host="evil.example"), 421, "wrong_host"),
            (raw.request("Host: evil.example"), 421, "wrong_host"),
            (raw.request("Origin: http://evil.example"), 403, "wrong_origin"),
        ):
            given, _, document = await raw.ask(request)
            assert (given, document["error"]["code"]) == (status, code)
        assert PLAIN not in made.ways
        assert (await raw.ask(raw.request()))[0] == 200
        assert made.ways[-1] == PLAIN


async def test_a_request_in_small_pieces_is_one_call(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        data = raw.request(arguments={"text": "x" * 5000})
        body = data.index(b"\r\n\r\n") + 4
        for cuts, way in (([body], PLAIN), ([body + 1, body + 2, len(data) - 1], PLAIN), ([1, 30, body - 2], ASGI)):
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                await raw.send(data[start:end])
                await asyncio.sleep(0.02)
            assert (await raw.reply())[2]["outcome"] == "succeeded"
            assert made.ways[-1] == way


async def test_chunked_bodies_and_expectations_are_uvicorns(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        whole = raw.request()
        body = whole.partition(b"\r\n\r\n")[2]
        head = raw.request("-Content-Length", "Transfer-Encoding: chunked").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
        assert (await raw.ask(head + chunks + b"0\r\n\r\n"))[2]["outcome"] == "succeeded"
        expecting = raw.request("Expect: 100-continue")
        cut = expecting.index(b"\r\n\r\n") + 4
        assert (await raw.ask(expecting[:cut]))[0] == 100
        assert (await raw.ask(expecting[cut:]))[2]["outcome"] == "succeeded"
        assert (await raw.ask(raw.request("Idempotency-Key: k")))[2]["outcome"] == "succeeded"
        assert made.ways == [ASGI] * 3


async def test_a_request_that_two_readers_could_read_differently_is_never_a_plain_call(bench: Make) -> None:
    async with bench() as made:
        for headers in (
            ("Content-Length: 1",),
            ("Transfer-Encoding: chunked",),
            ("-Content-Length", "Content-Length: +5"),
            (" folded",),
            ("Bad Name: 1",),
        ):
            async with made.raw() as raw:
                await raw.send(raw.request(*headers))
                raw.writer.write_eof()
                answer = await raw.until_closed()
                assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0], answer
        assert made.ways == []
        assert made.peer.calls == []


async def test_a_connection_that_asks_to_be_closed_is_closed(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        status, headers, _ = await raw.ask(raw.request("Connection: close"))
        assert (status, headers["connection"]) == (200, "close")
        assert await raw.until_closed() == b""


async def test_requests_behind_an_open_call_wait_their_turn_and_are_answered_in_order(bench: Make) -> None:
    async with bench(silent) as made, made.raw() as raw:
        live = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        requests = [raw.request(arguments={"n": number}) for number in range(3)]
        await raw.send(requests[0] + requests[1] + live + requests[2][:40])
        await raw.send(requests[2][40:])
        for number in range(2):
            await made.until_open(number + 1)
            assert len(made.peer.calls) == number + 1
            await made.finish(number)
            assert (await raw.reply())[2]["result"] == {"n": number}
        assert (await raw.reply())[2] == {"status": "ok"}
        await made.until_open(3)
        await made.finish(2)
        assert (await raw.reply())[2]["result"] == {"n": 2}


async def test_many_pipelined_calls_are_all_answered(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        count = 700
        raw.writer.write(b"".join(raw.request(arguments={"n": number}) for number in range(count)))
        results = [(await raw.reply())[2]["result"]["n"] for _ in range(count)]
        assert results == list(range(count))
        assert len(made.peer.calls) == count


async def test_large_bodies_are_uvicorns_and_too_large_ones_are_refused(bench: Make) -> None:
    async with bench() as made, made.raw() as raw:
        large = raw.request(arguments={"text": "x" * call_protocol.MAX_PLAIN_BYTES})
        assert (await raw.ask(large))[2]["outcome"] == "succeeded"
        assert made.ways == [ASGI]
        assert (await raw.ask(raw.request()))[0] == 200
        head = raw.request("-Content-Length", "Content-Length: 9000000").partition(b"{")[0]
        status, headers, document = await raw.ask(head + b"{")
        assert (status, document["error"]["code"], headers["connection"]) == (413, "body_too_large", "close")


async def test_a_caller_that_goes_away_leaves_its_call_running(bench: Make) -> None:
    async with bench(silent) as made:
        async with made.raw() as raw:
            await raw.send(raw.request())
            await made.until_open(1)
        async with made.raw() as raw:
            await raw.send(raw.request())
            raw.writer.write_eof()
            await made.until_open(2)
            assert await raw.until_closed() == b""
        await made.finish(0)
        await made.finish(1)
        await eventually(lambda: made.peer.of(m.Receipt), what="the outcomes are kept")
        async with made.raw() as raw:
            await raw.send(raw.request())
            await made.until_open(3)
            await made.finish(2)
            assert (await raw.reply())[0] == 200


async def test_a_stopping_platform_answers_open_calls_and_closes_idle_connections(bench: Make) -> None:
    async with bench(silent) as made, made.raw() as idle, made.raw() as raw:
        assert (await idle.ask(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))[0] == 200
        await raw.send(raw.request())
        await made.until_open(1)
        stopping = asyncio.create_task(made.platform.server.stop())
        await eventually(lambda: made.peer.of(m.Drain), what="the platform drains")
        await made.finish(0)
        status, _, document = await raw.reply()
        assert (status, document["outcome"]) == (200, "succeeded")
        assert await idle.until_closed() == b""
        assert await raw.until_closed() == b""
        await stopping


async def test_an_idle_connection_is_closed_and_an_open_call_keeps_its_own(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "KEEP_ALIVE_S", 0.3)
    async with bench(silent) as made, made.raw() as raw:
        await raw.send(raw.request())
        await made.until_open(1)
        await made.finish(0)
        assert (await raw.reply())[0] == 200
        await raw.send(raw.request())
        await made.until_open(2)
        await asyncio.sleep(0.5)  # longer than an idle connection lives
        await made.finish(1)
        assert (await raw.reply())[0] == 200
        assert await raw.until_closed() == b""


async def test_a_body_that_never_ends_does_not_hold_its_connection_for_ever(
    bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "KEEP_ALIVE_S", 0.3)
    async with bench() as made, made.raw() as raw:
        assert (await raw.ask(raw.request()))[0] == 200
        await raw.send(raw.request()[:-3])
        assert await raw.until_closed() == b""
        assert len(made.peer.calls) == 1


async def test_an_answer_waits_for_a_caller_that_reads_slowly(bench: Make) -> None:
    def bulky(call: m.Call) -> m.Message:
        return m.Result(id=call.id, result=msgspec.Raw(b'"' + b"x" * 2_000_000 + b'"'))

    async with bench(bulky) as made, made.raw() as raw:
        count = 8
        raw.writer.write(raw.request() * count)
        await made.until_open(2)
        sizes = [len((await raw.reply())[2]["result"]) for _ in range(count)]
        assert sizes == [2_000_000] * count


@pytest.mark.parametrize("plain", [True, False])
async def test_a_connection_with_quick_requests_now_and_then_is_never_taken_for_idle(bench: Make, plain: bool) -> None:
    async with bench() as made, made.raw() as raw:
        api = made.platform.server._servers[-1]._server.server_state.connections
        patience = Patience(75, first_request_s=20)
        request = raw.request() if plain else b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert (await raw.ask(request))[0] == 200
        port = raw.writer.get_extra_info("sockname")[1]
        (served,) = (each for each in api if each.client[1] == port)
        for now in range(0, 400, 15):
            assert patience.look({served}, now) == 0
            assert (await raw.ask(request))[0] == 200
        assert patience.look({served}, 1000) == 0
        assert patience.look({served}, 1090) == 0
        assert patience.look({served}, 1096) == 1
        assert await raw.until_closed() == b""
