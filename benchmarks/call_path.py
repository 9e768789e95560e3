"""The routed call, measured through the entry points of a user, beside an unrouted HTTP server in the same run.

`make bench` starts a real platform and a real connector as processes, calls `echo` over HTTP and over a caller's
WebSocket with 1, 16 and 128 calls under way, and prints one JSON document: calls per second, p50 and p99 in
milliseconds, processor seconds per 10,000 calls, and the ratio to a bare ASGI route on the same server library. Ratios
say something; single rates depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

LEVELS = (1, 16, 128)
BODY = {"tool": "echo", "arguments": {"message": "x" * 256}}

BARE = """
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = (await receive())["body"]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, server_header=False, date_header=False)
"""


class Process:
    """A child whose processor time, with its children's, is measured."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._process = psutil.Process(popen.pid)

    def cpu_s(self) -> float:
        """Processor seconds so far."""
        total = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[Process]:
    """Run `command` until the block ends."""
    with log.open("wb") as output:
        popen = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        yield Process(popen)
    finally:
        popen.terminate()
        try:
            popen.wait(10)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first truthy value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise SystemExit(f"not within {seconds} s: {what}")


class HttpConnection:
    """One keep-alive connection with one request at a time; it reads just enough of HTTP to find the body's end."""

    def __init__(self, port: int, request: bytes, expected: bytes) -> None:
        self._port = port
        self._request = request
        self._expected = expected

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def call(self) -> None:
        """One request and its answer."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        match = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert match is not None and b" 200 " in head[:16], head
        body = await self._reader.readexactly(int(match[1]))
        assert self._expected in body, body

    async def close(self) -> None:
        """Disconnect."""
        self._writer.close()
        await self._writer.wait_closed()


class CallerConnection:
    """One WebSocket session of role caller that carries all calls of a run."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._number = 0
        self._unsent: list[Any] = []

    async def open(self) -> None:
        """Connect and shake hands."""
        from msgspec import Raw
        from websockets.asyncio.client import connect

        from edge_connector.wire import messages as m
        from edge_connector.wire.session import CallerSession

        self._m = m
        self._socket = await connect(
            self._url, compression=None, ping_interval=None, subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {self._token}"},
        )  # fmt: skip
        self._session = CallerSession(m.Hello(versions=[1], role=m.Role.CALLER), now=time.monotonic())
        await self._flush()
        self._session.receive(await self._socket.recv(decode=False), now=time.monotonic())
        self._arguments = Raw(json.dumps(BODY["arguments"]).encode())
        self._reader = asyncio.create_task(self._read())

    async def _flush(self) -> None:
        for frame in self._session.frames_to_send():
            await self._socket.send(frame, text=True)

    async def _read(self) -> None:
        while True:
            frame = await self._socket.recv(decode=False)
            for message in self._session.receive(frame, now=time.monotonic()):
                if isinstance(message, self._m.Result):
                    self._waiting.pop(message.id).set_result(None)

    async def call(self) -> None:
        """One call and its result."""
        self._number += 1
        call_id = str(self._number)
        self._waiting[call_id] = future = asyncio.get_running_loop().create_future()
        first = not self._session.has_output
        self._session.send(self._m.Call(id=call_id, tool="echo", arguments=self._arguments))
        if first:
            await asyncio.sleep(0)
            await self._flush()
        await future

    async def close(self) -> None:
        """Hang up."""
        self._reader.cancel()
        await self._socket.close()


async def load(callers: list[Any], seconds: float, processes: dict[str, Process]) -> dict[str, Any]:
    """Keep every caller busy for `seconds` after a short warm-up."""
    times: list[float] = []

    async def work(call: Callable[[], Awaitable[None]], until: float, record: bool) -> None:
        while (began := time.perf_counter()) < until:
            await call()
            if record:
                times.append(time.perf_counter() - began)

    await asyncio.gather(*(work(caller.call, time.perf_counter() + 0.5, False) for caller in callers))
    before = {name: process.cpu_s() for name, process in processes.items()}
    began = time.perf_counter()
    await asyncio.gather(*(work(caller.call, began + seconds, True) for caller in callers))
    took = time.perf_counter() - began
    times.sort()
    count = len(times)
    result: dict[str, Any] = {
        "callsPerSecond": round(count / took),
        "p50Ms": round(times[count // 2] * 1000, 3),
        "p99Ms": round(times[int(count * 0.99)] * 1000, 3),
    }
    for name, process in processes.items():
        result[f"{name}CpuPer10k"] = round((process.cpu_s() - before[name]) / count * 10_000, 3)
    return result


def http_request(path: str, token: str) -> bytes:
    """The bytes of one POST."""
    body = json.dumps(BODY).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure_http(
    port: int, request: bytes, expected: bytes, level: int, seconds: float, **processes: Process
) -> dict[str, Any]:
    """One level over HTTP."""
    callers = [HttpConnection(port, request, expected) for _ in range(level)]
    for caller in callers:
        await caller.open()
    try:
        return await load(callers, seconds, processes)
    finally:
        for caller in callers:
            await caller.close()


async def measure_caller(url: str, token: str, level: int, seconds: float, **processes: Process) -> dict[str, Any]:
    """One level over a caller's WebSocket."""
    caller = CallerConnection(url, token)
    await caller.open()
    try:
        return await load([caller] * level, seconds, processes)
    finally:
        await caller.close()


async def set_up(api: str, log: Path) -> tuple[str, str, str]:
    """Use the one-time code; returns token, deployment id and secret."""
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_api.models import DeploymentRequest, SetupRequest
    from edge_connector.platform_api.operations import CREATE_DEPLOYMENT, SETUP

    match = re.search(r"code=(\S+)", log.read_text())
    assert match is not None
    async with PlatformClient(api) as client:
        request = SetupRequest(code=match[1], organization="Bench", name="Bench", email="bench@localhost")
        token = (await client.call(SETUP, request)).server_token

    async def provide() -> str:
        return token

    async with PlatformClient(api, provide) as client:
        made = await client.call(CREATE_DEPLOYMENT, DeploymentRequest(name="bench"))
    return token, made.id, made.secret


def is_ready(port: int) -> bool:
    """Whether /healthz answers 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)
    except OSError:
        return False


def main() -> None:
    """Run everything and print the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each figure")
    seconds = parser.parse_args().seconds
    from edge_connector.runtime.main import fastest_loop

    python, cli = sys.executable, ["-m", "edge_connector.cli.main"]
    api_port, rpc_port, health_port, bare_port = (free_port() for _ in range(4))
    api, rpc = f"http://127.0.0.1:{api_port}", f"ws://127.0.0.1:{rpc_port}"
    with tempfile.TemporaryDirectory() as name, asyncio.Runner(loop_factory=fastest_loop()) as runner:
        home = Path(name)
        serve = [
            python,
            *cli,
            "platform",
            "serve",
            "--data",
            name,
            "--api-port",
            str(api_port),
            "--rpc-port",
            str(rpc_port),
        ]
        with running(serve, home / "platform.log", PYTHONUNBUFFERED="1") as platform:
            wait_for(lambda: "code=" in (home / "platform.log").read_text(), "the platform")
            token, deployment, secret = runner.run(set_up(api, home / "platform.log"))
            environment = {
                "EC_HOME": str(home / "connector"), "TOOL_RPC_URL": rpc, "PLATFORM_API_URL": api,
                "DEPLOYMENT_ID": deployment,
                "DEPLOYMENT_SECRET": secret, "HEALTH_PORT": str(health_port), "EC_TOOL_CONCURRENCY": "128",
            }  # fmt: skip
            with (
                running([python, *cli, "run"], home / "connector.log", **environment) as connector,
                running([python, "-c", BARE, str(bare_port)], home / "bare.log") as bare,
            ):
                wait_for(lambda: is_ready(health_port), "the connector")
                wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", bare_port)) == 0, "the bare server")
                request = http_request("/api/v1/calls", token)
                result: dict[str, Any] = {"schemaVersion": 1, "seconds": seconds, "levels": {}}
                for level in LEVELS:
                    parts = {"platform": platform, "connector": connector}
                    routed = runner.run(
                        measure_http(api_port, request, b'"outcome":"succeeded"', level, seconds, **parts)
                    )
                    caller = runner.run(measure_caller(rpc, token, level, seconds, **parts))
                    alone = runner.run(measure_http(bare_port, request, b'"arguments"', level, seconds, bare=bare))
                    result["levels"][level] = {
                        "http": routed,
                        "callerWebSocket": caller,
                        "bareHttp": alone,
                        "httpToBare": round(routed["callsPerSecond"] / alone["callsPerSecond"], 3),
                        "callerToBare": round(caller["callsPerSecond"] / alone["callsPerSecond"], 3),
                    }
                print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
