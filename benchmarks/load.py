"""The load generator: one process for one contestant, told over stdin how many callers to keep busy and for how long.

    python load.py '{"kind": "http", "port": 8080, "request": "...", "expected": "..."}'
    {"callers": 16, "seconds": 0.5}          -> {"calls": 8123, "seconds": 0.5, "cpu": 0.31, "micros": [...]}

It runs in the peers' environment, so it knows nothing of this project. HTTP contestants share one client, written on a
bare protocol: no coroutine, no future and no task for a call, so that the client is never what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CONNECT_S = 10.0


class Run:
    """One measured stretch: how long every call took, and when the callers have to stop."""

    def __init__(self, callers: int, seconds: float) -> None:
        self.until = time.perf_counter() + seconds
        self.times: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self._left = callers

    def caller_done(self) -> None:
        """One caller has stopped."""
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def fail(self, why: str) -> None:
        """The contestant answered something else than a result: nothing that is measured counts."""
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


class Client(Protocol):
    """Keeps callers busy."""

    async def open(self, callers: int) -> None:
        """Be connected for so many callers."""
        ...

    def start(self, run: Run, callers: int) -> None:
        """Let `callers` callers call until the run's end."""
        ...


# ---- HTTP


class HttpCaller(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self, request: bytes, expected: bytes) -> None:
        self._request = request
        self._expected = expected
        self._transport: Any = None
        self._buffer = b""
        self._run: Run | None = None
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def start(self, run: Run) -> None:
        """Call until the run's end."""
        self._run = run
        self._call()

    def _call(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        run = self._run
        if run is None:
            return
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n") + 4
        length = LENGTH.search(data, 0, end) if end > 3 else None
        if length is None or len(data) - end < int(length[1]):
            self._buffer = data
            return
        self._buffer = b""
        now = time.perf_counter()
        if not data.startswith(b"HTTP/1.1 200") or data.find(self._expected, end) < 0:
            run.fail(data[:2000].decode(errors="replace"))
            return
        run.times.append(now - self._began)
        if now < run.until:
            self._call()
        else:
            self._run = None
            run.caller_done()

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._run is not None:
            self._run.fail(f"the connection was lost: {exc}")


class HttpClient:
    """As many connections as there are callers."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._callers: list[HttpCaller] = []

    async def open(self, callers: int) -> None:
        """Connect those that are not; servers close connections that rest."""
        config, loop = self._config, asyncio.get_running_loop()
        while len(self._callers) < callers:
            self._callers.append(HttpCaller(config["request"].encode(), config["expected"].encode()))
        for caller in self._callers[:callers]:
            if not caller.is_open:
                await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", config["port"])  # type: ignore[misc]

    def start(self, run: Run, callers: int) -> None:
        for caller in self._callers[:callers]:
            caller.start(run)


# ---- a caller's WebSocket


class WebSocketCaller(asyncio.Protocol):
    """One Tool RPC session of role caller that carries all calls; those of one turn of the loop leave together."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._transport: Any = None
        self._buffer = b""
        self._upgraded = False
        self._run: Run | None = None
        self._began: dict[str, float] = {}
        self._out: list[bytes] = []
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self.welcomed = self._loop.create_future()
        self._tail = b'","tool":"%s","arguments":%s}' % (config["tool"].encode(), config["arguments"].encode())
        self._prefix = b'{"type":"call","remainingMs":60000,"id":"'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            (
                f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self._config['port']}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: {self._config['subprotocol']}\r\n"
                f"Authorization: Bearer {self._config['token']}\r\n\r\n"
            ).encode()
        )

    def start(self, run: Run, callers: int) -> None:
        self._run = run
        for _ in range(callers):
            self._call()

    def _call(self) -> None:
        self._number += 1
        call_id = str(self._number)
        self._began[call_id] = time.perf_counter()
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(self._prefix + call_id.encode() + self._tail)

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._send(out[0] if len(out) == 1 else b"[" + b",".join(out) + b"]")

    def _send(self, payload: bytes) -> None:
        size = len(payload)
        # RFC 6455, section 5.2; a mask of zeros leaves the payload as it is.
        if size < 126:
            head = bytes((0x81, 0x80 | size))
        elif size < 65536:
            head = b"\x81\xfe" + size.to_bytes(2, "big")
        else:
            head = b"\x81\xff" + size.to_bytes(8, "big")
        self._transport.write(head + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.welcomed.set_exception(RuntimeError(head.decode()))
                return
            self._upgraded = True
            self._send(b'{"type":"hello","versions":[1],"role":"caller"}')
        position = 0
        while len(data) - position >= 2:
            size, start = data[position + 1] & 0x7F, position + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if len(data) < start + size:
                break
            if data[position] == 0x81:
                self._take(data[start : start + size])
            position = start + size
        self._buffer = data[position:]

    def _take(self, payload: bytes) -> None:
        decoded = json.loads(payload)
        for message in decoded if isinstance(decoded, list) else (decoded,):
            kind = message["type"]
            if kind == "result":
                self._result(message)
            elif kind == "welcome":
                self.welcomed.set_result(None)
            elif kind == "heartbeat":
                self._send(b'{"type":"heartbeat.ack","seq":%d}' % message["seq"])
            elif kind == "failure" and self._run is not None:
                self._run.fail(str(message))

    def _result(self, message: dict[str, Any]) -> None:
        run = self._run
        assert run is not None, "results follow calls"
        now = time.perf_counter()
        run.times.append(now - self._began.pop(message["id"]))
        if now < run.until:
            self._call()
        else:
            run.caller_done()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._run is not None:
            self._run.fail(f"the session was lost: {exc}")


class WebSocketClient:
    """One session for all callers."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._caller: WebSocketCaller | None = None

    async def open(self, callers: int) -> None:
        """Connect and shake hands."""
        if self._caller is not None:
            return
        loop = asyncio.get_running_loop()
        _, self._caller = await loop.create_connection(
            lambda: WebSocketCaller(self._config), "127.0.0.1", self._config["port"]
        )
        await self._caller.welcomed

    def start(self, run: Run, callers: int) -> None:
        assert self._caller is not None, "opened before"
        self._caller.start(run, callers)


# ---- peers' own client libraries


class LibraryClient:
    """Callers as coroutines, the way the library's documentation shows it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self) -> None:
        """One call; raises when its result is wrong."""
        raise NotImplementedError

    def start(self, run: Run, callers: int) -> None:
        for _ in range(callers):
            task = asyncio.get_running_loop().create_task(self._work(run))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, run: Run) -> None:
        try:
            while (began := time.perf_counter()) < run.until:
                await self.call()
                run.times.append(time.perf_counter() - began)
            run.caller_done()
        except Exception as error:
            run.fail(repr(error))


class NatsClient(LibraryClient):
    """Request/reply with nats-py."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self._config = config
        self._payload = config["arguments"].encode()
        self._connection: Any = None

    async def open(self, callers: int) -> None:
        """Connect."""
        if self._connection is not None:
            return
        import nats

        self._connection = await nats.connect(f"nats://127.0.0.1:{self._config['port']}")

    async def call(self) -> None:
        reply = await self._connection.request(self._config["subject"], self._payload, timeout=CONNECT_S)
        if json.loads(reply.data)["message"] != self._config["message"]:
            raise RuntimeError(reply.data)


class WampClient(LibraryClient):
    """A WAMP call with autobahn."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self._config = config
        self._session: Any = None

    async def open(self, callers: int) -> None:
        """Join the realm."""
        if self._session is not None:
            return
        from benchmarks.peers.wamp_worker import join

        self._session = await join(self._config["port"])

    async def call(self) -> None:
        reply = await self._session.call(self._config["procedure"], self._config["message"])
        if reply["message"] != self._config["message"]:
            raise RuntimeError(reply)


CLIENTS: dict[str, Callable[[dict[str, Any]], Client]] = {
    "http": HttpClient,
    "caller": WebSocketClient,
    "nats": NatsClient,
    "wamp": WampClient,
}


async def serve(config: dict[str, Any]) -> None:
    """Connect, then one run for each line on stdin."""
    loop = asyncio.get_running_loop()
    client = CLIENTS[config["kind"]](config)
    await client.open(1)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    while line := await reader.readline():
        order = json.loads(line)
        callers = order["callers"]
        await client.open(callers)
        run = Run(callers, order["seconds"])
        began, cpu = time.perf_counter(), time.process_time()
        client.start(run, callers)
        try:
            await run.done
        except RuntimeError as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return
        took = time.perf_counter() - began
        answer = {
            "calls": len(run.times),
            "seconds": took,
            "cpu": time.process_time() - cpu,
            "micros": [round(seconds * 1e6) for seconds in run.times],
        }
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Read the configuration from the command line."""
    config = json.loads(sys.argv[1])
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(config))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config))


if __name__ == "__main__":
    main()
