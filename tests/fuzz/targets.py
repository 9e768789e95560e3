"""What is fed with arbitrary bytes, what it may answer, and seeds to begin with.

A target takes bytes and returns; any exception is a finding. `test_targets.py` runs each one with its seeds and some
mutated inputs, `run.py` hands them to atheris, which follows the coverage.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import Raw

from edge_connector.auth.claims import check_token
from edge_connector.auth.credentials import find_deployment, find_token
from edge_connector.config.loading import load, validate
from edge_connector.config.settings import SETTINGS
from edge_connector.control.lock import LOCK_FILE, RuntimeLock, read_lock
from edge_connector.control.server import ControlServer, _parse
from edge_connector.core.clock import SystemClock
from edge_connector.core.depth import deeper_than
from edge_connector.core.errors import EdgeError
from edge_connector.net.hosts import is_own, is_same_origin
from edge_connector.runtime.activity import ActivityLog
from edge_connector.runtime.commands import Commands
from edge_connector.runtime.pause import Pause
from edge_connector.tools import frames
from edge_connector.tools.api import ToolContext, ToolDeclaration
from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind
from edge_connector.tools.schemas import ArgumentsInvalid, BoundTool, DeclarationError, bind_function, bind_handler
from edge_connector.wire import codec
from edge_connector.wire import messages as m
from edge_connector.wire.codec import FrameDecoder, ProtocolError, encode_frames
from edge_connector.wire.session import CallerSession, ConnectorSession, PlatformSession, Session
from tests.fuzz.platform import WirelessPlatform
from tests.unit.wire.samples import SAMPLES, encoded

NOW = 1_800_000_000.0
SECRET_MARK = "do-not-quote-me"


@dataclass(frozen=True)
class Target:
    """One thing to feed."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="ec-fuzz-"))


def _text(data: bytes) -> str:
    """Text as the operating system hands over arbitrary bytes (PEP 383), without NUL, which no variable can hold."""
    return data.replace(b"\0", b"").decode(errors="surrogateescape")


def _expect_sentence(error: EdgeError) -> None:
    """A refusal has a code, names its problem in one line, and quotes no secret."""
    assert error.code.replace("_", "").isalnum(), error.code
    assert error.message and "\n" not in error.message, repr(error.message)
    assert SECRET_MARK not in error.message + error.hint


# ---- wire

DECODERS: tuple[FrameDecoder[m.Message], ...] = (
    codec.from_connector,
    codec.from_caller,
    codec.to_connector,
    codec.to_caller,
)


def wire_codec(data: bytes) -> None:
    """Frames of all four directions, as bytes and as text: messages that can be sent on, or a ProtocolError."""
    for decoder in DECODERS:
        for frame in (data, data.decode(errors="surrogateescape")):
            try:
                messages = decoder.decode(frame)
            except ProtocolError as error:
                assert len(error.reason.encode()) <= 123
                continue
            back = [message for frame in encode_frames(messages) for message in decoder.decode(frame)]
            assert [type(message) for message in back] == [type(message) for message in messages]


def _platform_end(role: m.Role) -> Session:
    session = PlatformSession(now=0.0)
    session.receive(encoded(m.Hello(versions=[m.VERSION], role=role)), now=0.0)
    session.accept(SAMPLES["welcome"], now=0.0)  # type: ignore[arg-type]
    return session


def _sessions() -> list[Session]:
    hello = m.Hello(versions=[m.VERSION], role=m.Role.CONNECTOR)
    connector = ConnectorSession(hello, now=0.0)
    connector.receive(encoded(SAMPLES["welcome"]), now=0.0)
    ends = [ConnectorSession(hello, now=0.0), connector, CallerSession(hello, now=0.0), PlatformSession(now=0.0)]
    return [*ends, _platform_end(m.Role.CONNECTOR), _platform_end(m.Role.CALLER)]


def wire_session(data: bytes) -> None:
    """Lines of frames into sessions of every kind and phase: messages or a ProtocolError, which closes; no growth."""
    for session in _sessions():
        waiting = session.queued
        for number, frame in enumerate(data.split(b"\n")):
            try:
                taken = session.receive(frame, now=float(number))
            except ProtocolError:
                assert session.phase == "closed" and session.receive(frame, now=float(number)) == []
                break
            assert len(taken) <= len(frame)
        assert session.queued - waiting <= len(data)
        session.frames_to_send()


def worker_frames(data: bytes) -> None:
    """The stream between runtime and worker: frames, FrameError or msgspec's refusal; at most what came is kept."""
    splitter = frames.FrameSplitter()
    found: list[bytes] = []
    try:
        for start in range(0, len(data), 7):
            found += splitter.feed(data[start : start + 7])
    except frames.FrameError:
        pass
    assert sum(map(len, found)) + len(splitter._rest) <= len(data)
    for payload in found:
        for decode in (frames.decode_from_worker, frames.decode_to_worker):
            try:
                decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass


def json_depth(data: bytes) -> None:
    """The depth told from the bytes is that of the document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if data[:3] == b"\xef\xbb\xbf" or b"\0" in data:  # json.loads guesses encodings, the protocol has one
        return
    for limit in (0, 1, 2, 5):
        assert deeper_than(data, limit) is (_depth(document) > limit)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


# ---- files


def config_document(data: bytes) -> None:
    """Any config.json: settings, or an error that names the field."""
    folder = _folder()
    (folder / "config.json").write_bytes(data)
    try:
        load(folder, {})
    except EdgeError as error:
        _expect_sentence(error)
    for problem in validate(folder, {}):
        _expect_sentence(problem)
    (folder / "config.json").unlink()


def config_variables(data: bytes) -> None:
    """Any text in any variable: settings, or an error that names the variable or its setting."""
    setting = SETTINGS[data[0] % len(SETTINGS)] if data else SETTINGS[0]
    try:
        load(_folder(), {setting.variables[0]: _text(data[1:])})
    except EdgeError as error:
        _expect_sentence(error)
        assert any(word in error.message for word in (setting.key, *setting.variables)), error.message


def saved_files(data: bytes) -> None:
    """Any content of the token and the credentials file: credentials, or an error that quotes nothing of them."""
    folder = _folder()
    for name, find in (
        ("auth-token.json", lambda config: find_token(config, now=NOW)),
        ("deployment-credentials.json", find_deployment),
    ):
        (folder / name).write_bytes(data)
        try:
            found = find(load(folder, {}))
        except EdgeError as error:
            _expect_sentence(error)
        else:
            # It travels in a header.
            assert found is not None, "the file is there"
            assert found.authorization_header.isascii() and found.authorization_header.isprintable(), found
        (folder / name).unlink()


def token_claims(data: bytes) -> None:
    """Any text as a token: what it says, or why it is refused."""
    try:
        check_token(_text(data), now=NOW)
    except EdgeError as error:
        _expect_sentence(error)


def lock_content(data: bytes) -> None:
    """A lock file left with any content does not keep a connector from starting, nor clients from looking."""
    path = _folder() / LOCK_FILE
    path.write_bytes(data)
    found = read_lock(path)
    assert found is None or isinstance(found, dict)
    first, second = RuntimeLock(path), RuntimeLock(path)
    first.acquire(lambda: {"pid": os.getpid()})
    try:
        path.write_bytes(data)
        try:
            second.acquire(lambda: {"pid": os.getpid()})
        except EdgeError as error:
            assert error.code == "runtime_already_running"
        else:
            raise AssertionError("locked twice")
    finally:
        first.release()


# ---- tools


def _example(
    name: str, number: int, share: float = 0.5, tags: list[str] | None = None, more: dict[str, Any] | None = None
) -> None:
    """A tool with parameters of every kind."""


@cache
def _tools() -> tuple[BoundTool, ...]:
    schema = {
        "parameters": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9}, "n": {"multipleOf": 0.1}},
            "additionalProperties": {"anyOf": [{"type": "null"}, {"type": "array", "uniqueItems": True}]},
        }
    }
    function = bind_function(_example, ToolDeclaration(), source="local", origin="here")
    return function, bind_handler(lambda parameters, context: None, "given", schema, origin="here")


def _context() -> ToolContext:
    return object.__new__(ToolContext)


def tool_arguments(data: bytes) -> None:
    """Arguments of a call, as the wire lets them through: keywords or ArgumentsInvalid."""
    try:
        raw = msgspec.json.decode(data, type=Raw)
        bytes(raw).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    for tool in _tools():
        try:
            keywords = tool.arguments(raw, _context())
        except ArgumentsInvalid as error:
            assert str(error)
        else:
            assert set(keywords) <= {"name", "number", "share", "tags", "more", "parameters", "context"}


def tool_schema(data: bytes) -> None:
    """A schema file beside a handler: a tool, or a DeclarationError; the tool then judges arguments."""
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if b"$ref" in data or b"$dynamicRef" in data or b"$schema" in data:  # no look-ups elsewhere from here
        return
    try:
        tool = bind_handler(lambda parameters, context: None, "given", document, origin="here")
    except DeclarationError as error:
        assert error.message
        return
    for arguments in (b"{}", b'{"a":1,"b":[null,"x"]}'):
        try:
            tool.arguments(Raw(arguments), _context())
        except ArgumentsInvalid:
            pass
        tool.encode({"a": [1]}, 1000) if tool.check_result is None else None


# ---- programs of this machine and of elsewhere


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


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
    folder = _folder() / "home"
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

    _loop().run_until_complete(serve())
    shutil.rmtree(folder)


@cache
def _platform() -> WirelessPlatform:
    return _loop().run_until_complete(WirelessPlatform.open(_folder() / "platform"))


def http_request(data: bytes) -> None:
    """Requests to every operation of the platform: an answer below 500 (or 503: no connector), one JSON document."""
    platform = _platform()
    status, body = _loop().run_until_complete(platform.request(data))
    assert status < 500 or status == 503, (status, body)
    if body[:1] == b"{":
        document = msgspec.json.decode(body)
        if status >= 400:
            if isinstance(document["error"], str):  # the form of OAuth
                assert set(document) == {"error", "error_description"}
            else:
                assert set(document["error"]) == {"code", "message", "hint"}
            assert platform.token.encode() not in body


def close() -> None:
    """Stop what the targets keep from one input to the next; they make it anew."""
    if _platform.cache_info().currsize:
        _loop().run_until_complete(_platform().close())
    if _loop.cache_info().currsize:
        _loop().close()
    shutil.rmtree(_folder())
    for made in (_platform, _loop, _folder):
        made.cache_clear()


def host_headers(data: bytes) -> None:
    """Host and Origin values: decided, and a name is never taken for an address or for localhost."""
    host, _, origin = data.decode("latin-1").partition("\n")
    if is_own(host):
        assert not host.lower().rstrip(".").endswith(".example")
    is_same_origin(origin, host, ("platform.example",))


_JSON = (
    b"{}",
    b"[]",
    b"null",
    b"[[[[[[[[1]]]]]]]]",
    b'{"a":{"b":[1,2,{"c":"\\ud83d\\ude00"}]}}',
    b'"\\ud800"',
    b"1e400",
)
_FRAMES = tuple(encoded(message) for message in SAMPLES.values())
_PAIR = b'{"deploymentId": "dep_1", "deploymentSecret": "do-not-quote-me"}'
_JWT = b"eyJhbGciOiJFZERTQSJ9.eyJvcmdJZCI6Im8iLCJleHAiOjE5MDAwMDAwMDB9.c2ln"

TARGETS: dict[str, Target] = {
    "wire_codec": Target(wire_codec, (*_FRAMES, b"[" + b",".join(_FRAMES[:4]) + b"]", b'{"type":"new"}', *_JSON)),
    "wire_session": Target(wire_session, (*_FRAMES, b"\n".join(_FRAMES), b"\n".join(reversed(_FRAMES)), b"")),
    "worker_frames": Target(
        worker_frames,
        (
            bytes(frames.encode(frames.Done(1, Raw(b'{"a":1}')))) * 3,
            bytes(frames.encode(frames.Progress(1, 0.5, "x"))),
            b"\xff\xff\xff\xff{}",
            b"\0\0\0\2{}",
            b"\0\0\0\0",
        ),
    ),
    "json_depth": Target(json_depth, (*_JSON, rb'{"\\":"[[[\"{","x":[{"y":[]}]}')),
    "config_document": Target(
        config_document,
        (
            b'{"toolRpcUrl": "ws://127.0.0.1:3001", "healthPort": 0, "healthAllowedHosts": ["a.example"]}',
            b'{"deploymentId": "d", "deploymentSecret": "do-not-quote-me", "connectorType": "SERVER"}',
            b'{"toolConcurrency": 1e999, "logLevel": "loud", "unknown": 1, "unknown": 2}',
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\0}\0",
            *_JSON,
        ),
    ),
    "config_variables": Target(
        config_variables,
        tuple(bytes([n]) + word for n in range(0, len(SETTINGS), 3) for word in (b"1", b"ws://h:1/p", b"\xff", b"a,b")),
    ),
    "saved_files": Target(
        saved_files,
        (_PAIR, b'{"token": "' + _JWT + b'"}', b'{"token": 5}', b'{"token": "do-not-quote-me.x.y"}', *_JSON),
    ),
    "token_claims": Target(token_claims, (_JWT, b"..", b"a.b.c", b"eyJ9.eyJ9.eyJ9", b"e30.e30.e30", b"\xff")),
    "lock_content": Target(lock_content, (b'{"pid": 1, "control": "/x"}', b'{"pid": true}', b'{"pid": 1e99}', *_JSON)),
    "tool_arguments": Target(
        tool_arguments,
        (b'{"name":"x","number":1,"share":0.5,"tags":["a"],"more":{"k":null}}', b'{"name":"x","number":1e400}', *_JSON),
    ),
    "tool_schema": Target(
        tool_schema,
        (
            b'{"parameters":{"type":"object","properties":{"a":{"type":"integer","minimum":0}}},"result":{"type":"array"}}',
            b'{"title":"t","risk":"read","repeat":"once","timeoutS":1.5}',
            b'{"parameters":{"patternProperties":{"^(a+)+$":{}},"format":"x"},"timeoutS":-1}',
            b'{"parameters":true,"result":false}',
            *_JSON,
        ),
    ),
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
