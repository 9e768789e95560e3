"""Bytes on the command socket and on the ports of the platform."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import msgspec
from msgspec import Raw

from edge_connector.control.server import ControlServer, _parse
from edge_connector.core.clock import SystemClock
from edge_connector.net.hosts import is_own, is_same_origin
from edge_connector.runtime.activity import ActivityLog
from edge_connector.runtime.commands import Commands
from edge_connector.runtime.pause import Pause
from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind
from tests.fuzz.platform import WirelessPlatform
from tests.fuzz.target import Target, loop, work_folder


class _Writer:
    """Collects what the command socket would send."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.lines.append(data)

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Desk:
    """Answers each call with its arguments."""

    open = 0

    async def run_locally(self, request: CallRequest) -> CallOutcome:
        return CallOutcome(request.id, OutcomeKind.SUCCEEDED, request.tool, result=Raw(bytes(request.arguments)))


class _Runtime:
    """The parts of a connector that the commands touch, except its status."""

    def __init__(self, directory: Path) -> None:
        clock = SystemClock()
        self.directory = directory
        self.pause = Pause(directory / "pause.json", clock, on_pause=lambda: None, on_resume=lambda: None)
        self.activity = ActivityLog(clock, lambda name: False)
        self.executor = SimpleNamespace(tools=[], reload=self._nothing)
        self.desk = _Desk()

    async def _nothing(self) -> None:
        pass

    def redial(self, reason: str) -> None:
        pass

    def stop(self) -> None:
        pass


def control_line(data: bytes) -> None:
    """Lines on the command socket: each one that is a request gets exactly one answer, a JSON object."""
    folder = work_folder() / "home"
    folder.mkdir(exist_ok=True)

    async def serve() -> None:
        runtime = _Runtime(folder)
        server = ControlServer(folder / "x.sock", Commands(runtime), hello={})  # type: ignore[arg-type]
        writer = _Writer()
        try:
            for line in data.splitlines(keepends=True):
                request = _parse(line)
                if request is None:
                    return
                if request["method"] in ("status", "watch"):
                    continue
                before = len(writer.lines)
                await server._answer(request, writer)  # type: ignore[arg-type]
                assert len(writer.lines) == before + 1, "one answer to a request"
                answer = json.loads(writer.lines[-1])
                assert b"internal_error" not in writer.lines[-1]
                assert "id" in answer and ("result" in answer) != ("error" in answer)
        finally:
            await runtime.pause.stop()

    loop().run_until_complete(serve())
    shutil.rmtree(folder)


@cache
def _platform() -> WirelessPlatform:
    return loop().run_until_complete(WirelessPlatform.open(work_folder() / "platform"))


def http_request(data: bytes) -> None:
    """Requests to every operation of the platform: an answer below 500 (or 503: no connector), one JSON document."""
    platform = _platform()
    status, body = loop().run_until_complete(platform.request(data))
    assert status < 500 or status == 503, (status, body)
    if body[:1] == b"{":
        document = msgspec.json.decode(body)
        if status >= 400:
            if isinstance(document["error"], str):  # the form of OAuth
                assert set(document) == {"error", "error_description"}
            else:
                assert set(document["error"]) == {"code", "message", "hint"}
            assert platform.token.encode() not in body


def host_headers(data: bytes) -> None:
    """Host and Origin values: decided, and a name is never taken for an address or for localhost."""
    host, _, origin = data.decode("latin-1").partition("\n")
    if is_own(host):
        assert not host.lower().rstrip(".").endswith(".example")
    is_same_origin(origin, host, ("platform.example",))


def close() -> None:
    """Stop what the targets keep from one input to the next; they make it anew."""
    if _platform.cache_info().currsize:
        loop().run_until_complete(_platform().close())
    if loop.cache_info().currsize:
        loop().close()
    shutil.rmtree(work_folder())
    for made in (_platform, loop, work_folder):
        made.cache_clear()


TARGETS: dict[str, Target] = {
    "control_line": Target(
        control_line,
        tuple(
            b'{"id": 1, "method": "%s", "params": %s}\n' % (method, params)
            for method, params in (
                (b"tools", b"{}"), (b"pause", b'{"forS": 5}'), (b"resume", b"{}"),
                (b"calls.recent", b'{"limit": 3, "tool": "x"}'), (b"activity", b"{}"), (b"config.show", b"{}"),
                (b"config.set", b'{"key": "healthPort", "value": "0"}'), (b"config.unset", b'{"key": "healthPort"}'),
                (b"none", b"[]"), (b"\\ud800", b'{"key": "\\ud800"}'), (b"tools", b"null"), (b"redial", b"{}"),
                (b"call", b'{"tool": "echo", "arguments": {"a": 1}, "timeoutS": 3}'),
                (b"call", b'{"tool": "\\ud800", "arguments": "\\ud800"}'), (b"stop", b'{"force": true}'),
            )
        ),
    ),
    "http_request": Target(
        http_request,
        (
            b"POST /api/v1/calls\n\n" + b'{"tool":"x","arguments":{},"wait":false,"timeoutMs":5}',
            b"POST /api/v1/calls\nidempotency-key: k\n" + b'{"tool":"x","deployment":"d","agent":"a","user":"u"}',
            b"GET /api/v1/calls?limit=3&before=x&tool=%00&outcome=failed\n\n",
            b"POST /api/v1/deployments\n\n" + b'{"name":"\\u0000","type":"SERVER","description":"x"}',
            b"GET /api/v1/deployments/%2e%2e%2f\n\n",
            b"DELETE /api/v1/server-tokens/x\n\n",
            b"POST /api/v1/server-tokens\n\n" + b'{"name":"x"}',
            b"POST /api/v1/session-tokens\n\n{}",
            b"GET /api/v1/tools?deployment=\xff\n\n",
            b"POST /oauth/device_authorization\n\nclient_id=edge-connector&host=%00%ff&client_name=x&instance_id=y",
            b"POST /oauth/token\n\ngrant_type=refresh_token&refresh_token=ecr_x",
            (
                b"POST /oauth/token\n\ngrant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x"
                b"&client_id=edge-connector"
            ),
            b"POST /oauth/revoke\n\ntoken=a.b.c&token=d",
            b"POST /api/v1/invites\n\n" + b'{"role":"admin","email":"\\u0000@x"}',
            b"PUT /api/v1/members/x/role\n\n" + b'{"role":"member"}',
            b"GET /api/v1/audit?limit=1&before=9999999999999999999999&action=%00.&actor=x\n\n",
            b"POST /api/v1/deployments/x/secret\n\n" + b'{"keepOldForS":0}',
            b"POST /api/v1/deployments/desktop\n\n" + b'{"instanceId":"\\u0000","host":"x"}',
            b"POST /setup\n\ncode=a&organization=b&name=%ff&email=x",
            b"GET /setup?code=%00\n\n",
            b"POST /api/v1/setup\nauthorization: Basic x\n" + b'{"code":"x","organization":"o","email":"e@x"}',
        ),
    ),
    "host_headers": Target(
        host_headers, (b"localhost:3000\nhttp://localhost:3000", b"[::1]:1\nnull", b"evil.example\nhttps://platform.example")
    ),
}  # fmt: skip
