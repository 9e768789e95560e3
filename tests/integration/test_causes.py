"""Every cause for which a link is down: its problem, sentence and next step, and how long it waits to dial again.

Each cause is provoked, and provoked again by dialling before the delay is over: no cause makes a tight loop.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme

from edge_connector.config.loading import load
from edge_connector.core.backoff import Backoff
from edge_connector.core.problem_words import problem_words
from edge_connector.core.status import State
from edge_connector.link import supervisor, transport
from edge_connector.link.transport import LinkDown
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.people import RotateRequest
from edge_connector.platform_server.signing import SigningKey
from edge_connector.runtime.app import ConnectorRuntime
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from tests.support.peers import connector as another_connector
from tests.support.peers import pair
from tests.support.real_connector import WORKING, environment
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.scripted_platform import ScriptedPlatform
from tests.support.waiting import eventually

BACKOFF = (5.0, 10.0, 20.0)
"""The documented delays, jitter left out."""
SLOW = (60.0, 60.0, 60.0)
PERSON = (300.0, 300.0, 300.0)
"""Refused for good: a person has to act, and it looks again now and then."""


@dataclass(frozen=True)
class Scene:
    """What a connector meets.

    Attributes:
        then: what happens once it works; None: it never gets so far.
        same_again: whether dialling again meets the same; else only the first time counts.
    """

    variables: dict[str, str]
    then: Callable[[], Awaitable[None]] | None = None
    same_again: bool = True


Play = Callable[[Path, pytest.MonkeyPatch], AbstractAsyncContextManager[Scene]]


def variables_for(url: str, **more: str) -> dict[str, str]:
    return environment(url, "dep_test", "sec_test", **more)


# ---- the network


@asynccontextmanager
async def port_that_is_closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield Scene(variables_for(f"ws://127.0.0.1:{unused.getsockname()[1]}"))


@asynccontextmanager
async def name_that_nobody_has(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(variables_for("ws://no-such-host.invalid:3001"))


@asynccontextmanager
async def no_way(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    # connect(2): a TCP connection to the broadcast address is ENETUNREACH.
    yield Scene(variables_for("ws://255.255.255.255:3001"))


@asynccontextmanager
async def port_that_never_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(transport, "DIAL_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Scene(variables_for(f"ws://127.0.0.1:{listener.getsockname()[1]}"))


@asynccontextmanager
async def certificate_of_a_stranger(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server_side)
    async with _answering(b"", tls=server_side) as port:
        yield Scene(variables_for(f"wss://127.0.0.1:{port}"))


@asynccontextmanager
async def proxy_that_refuses(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with _answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        yield Scene(variables_for("ws://platform.invalid:3001"))


@asynccontextmanager
async def _answering(reply: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers the first line of whatever comes with `reply`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


# ---- what answers there


def answers_with(status: HTTPStatus) -> Play:
    @asynccontextmanager
    async def play(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
        async with ScriptedPlatform() as platform:
            platform.refuse_upgrade = status
            yield Scene(variables_for(f"{platform.url}/some/path"))

    return play


def closes_with(code: CloseCode, reason: str) -> Play:
    @asynccontextmanager
    async def play(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
        async with ScriptedPlatform() as platform:
            platform.refuse_with = (code, reason)
            yield Scene(variables_for(platform.url))

    return play


@asynccontextmanager
async def another_version(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with ScriptedPlatform() as platform:
        platform.version = 2
        yield Scene(variables_for(platform.url))


@asynccontextmanager
async def silence(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with ScriptedPlatform() as platform:
        platform.heartbeat_s, platform.silence_s = 0.1, 0.4

        async def mute() -> None:
            platform.sessions[-1].mute = True

        yield Scene(variables_for(platform.url), then=mute, same_again=False)


@asynccontextmanager
async def nonsense(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with ScriptedPlatform() as platform:

        async def talk() -> None:
            await platform.sessions[-1].send_raw("{")

        yield Scene(variables_for(platform.url), then=talk, same_again=False)


@asynccontextmanager
async def cut(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with ScriptedPlatform() as platform:

        async def abort() -> None:
            platform.sessions[-1].socket.transport.abort()

        yield Scene(variables_for(platform.url), then=abort, same_again=False)


# ---- who we are, to the real platform


@asynccontextmanager
async def wrong_secret(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        edge = await platform.deploy()
        yield Scene(environment(platform.rpc_url, edge.id, "sec_wrong"))


@asynccontextmanager
async def secret_that_is_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        edge = await platform.deploy()

        async def rotate() -> None:
            await platform.client.call(ops.ROTATE_SECRET, RotateRequest(keep_old_for_s=0), path={"id": edge.id})

        yield Scene(environment(platform.rpc_url, edge.id, edge.secret), then=rotate, same_again=False)


@asynccontextmanager
async def deployment_that_is_deleted(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        edge = await platform.deploy()

        async def delete() -> None:
            await platform.client.call(ops.DELETE_DEPLOYMENT, path={"id": edge.id})

        yield Scene(environment(platform.rpc_url, edge.id, edge.secret), then=delete, same_again=False)


@asynccontextmanager
async def somebody_else_is_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        edge = await platform.deploy()
        async with another_connector(platform.rpc_url, pair(edge.id, edge.secret)):
            yield Scene(environment(platform.rpc_url, edge.id, edge.secret))


@asynccontextmanager
async def organization_that_is_deactivated(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        edge = await platform.deploy()
        _deactivate(platform)
        yield Scene(environment(platform.rpc_url, edge.id, edge.secret))


def _deactivate(platform: RunningPlatform) -> None:
    parts = platform.server._parts
    assert parts is not None
    identity = parts.identity
    row = identity.organizations[platform.organization_id]
    row.active = False
    identity.forget()


@asynccontextmanager
async def organization_of_somebody_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        _save_signed(platform, home, orgId="org_other", exp=int(time.time()) + 3600)
        yield Scene(_without_pair(platform.rpc_url))


@asynccontextmanager
async def token_that_expires_on_the_way(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with running_platform(home.parent) as platform:
        _save_signed(platform, home, orgId=platform.organization_id, exp=int(time.time()) + 55)

        async def end_the_session() -> None:
            """What the platform does by its clock, which is a little ahead."""
            (state,) = platform.server._started().fleet.live()
            assert state.link is not None
            state.link.request_close(CloseCode.REVOKED, "the session token has expired")

        yield Scene(_without_pair(platform.rpc_url), then=end_the_session, same_again=False)


def _save_signed(platform: RunningPlatform, home: Path, **claims: Any) -> None:
    key = SigningKey.load_or_create(platform.config.data / "signing-key.pem")
    _save_token(home, key.sign({"sub": platform.user_id, **claims}))


# ---- who we are, seen here


def token_with(**claims: Any) -> Play:
    @asynccontextmanager
    async def play(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
        counted = {name: value() if callable(value) else value for name, value in claims.items()}
        _save_token(home, jwt.encode(counted, "x" * 32))
        yield Scene(_without_pair("ws://127.0.0.1:9"))

    return play


@asynccontextmanager
async def token_that_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    _save_token(home, "nonsense")
    yield Scene(_without_pair("ws://127.0.0.1:9"))


@asynccontextmanager
async def no_credentials(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    yield Scene(_without_pair("ws://127.0.0.1:9"))


def _save_token(home: Path, token: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "auth-token.json"
    path.write_text(json.dumps({"token": token}))
    path.chmod(0o600)


def _without_pair(url: str) -> dict[str, str]:
    return {"TOOL_RPC_URL": url, "HEALTH_PORT": "0"}


def _in(seconds: float) -> Callable[[], int]:
    return lambda: int(time.time() + seconds)


CAUSES: list[tuple[Play, str, str, tuple[float, ...]]] = [
    (port_that_is_closed, "platform_unreachable", "ECONNREFUSED", BACKOFF),
    (name_that_nobody_has, "host_not_found", "no-such-host.invalid", BACKOFF),
    (no_way, "no_route", "ENETUNREACH", BACKOFF),
    (port_that_never_answers, "no_answer", "ETIMEDOUT", BACKOFF),
    (certificate_of_a_stranger, "tls_failed", "certificate", BACKOFF),
    (proxy_that_refuses, "proxy_refused", "403", BACKOFF),
    (answers_with(HTTPStatus.NOT_FOUND), "not_a_platform", "HTTP 404", BACKOFF),
    (answers_with(HTTPStatus.OK), "not_a_platform", "HTTP 200", BACKOFF),
    (answers_with(HTTPStatus.SERVICE_UNAVAILABLE), "platform_unreachable", "HTTP 503", BACKOFF),
    (answers_with(HTTPStatus.BAD_GATEWAY), "platform_unreachable", "HTTP 502 from a proxy", BACKOFF),
    (answers_with(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED), "proxy_refused", "HTTP 407", BACKOFF),
    (answers_with(HTTPStatus.UNAUTHORIZED), "credentials_refused", "Token validation failed", PERSON),
    (closes_with(CloseCode.TAKEN_OVER, "by box"), "taken_over", "took this deployment over", SLOW),
    (closes_with(CloseCode.REPLACED, "by itself"), "replaced", "this installation's identity", SLOW),
    (closes_with(CloseCode.TOO_MANY, "slow down"), "disconnected", "slow down", BACKOFF),
    (closes_with(CloseCode.INTERNAL, "a bug"), "disconnected", "a bug", BACKOFF),
    (another_version, "version_unsupported", "another protocol version", PERSON),
    (silence, "platform_silent", "stopped answering", BACKOFF),
    (nonsense, "protocol_broken", "do not understand each other", BACKOFF),
    (cut, "disconnected", "Disconnected from platform server", BACKOFF),
    (wrong_secret, "credentials_refused", "Token validation failed", PERSON),
    (secret_that_is_changed, "credentials_revoked", "secret was changed", PERSON),
    (deployment_that_is_deleted, "deployment_gone", "was deleted", PERSON),
    (somebody_else_is_there, "deployment_already_connected", "Deployment already connected (host ", SLOW),
    (organization_that_is_deactivated, "forbidden", "the organization is deactivated", PERSON),
    (organization_of_somebody_else, "forbidden", "another organization", PERSON),
    (token_that_expires_on_the_way, "token_expired", "Token has expired", PERSON),
    (token_with(orgId="org_1", exp=_in(-3600)), "token_expired", "Token has expired", PERSON),
    (token_with(sub="usr_1"), "token_without_organization", "no organization in token", PERSON),
    (token_with(orgId="org_1", iat=_in(3600)), "clock_skew", "this machine's clock", PERSON),
    (token_that_is_none, "token_invalid", "Token validation failed", PERSON),
    (no_credentials, "needs_login", "No authentication token found", PERSON),
]


@pytest.mark.parametrize(
    ("play", "code", "words", "delays"), CAUSES, ids=[f"{number}-{cause[1]}" for number, cause in enumerate(CAUSES, 1)]
)
async def test_each_cause_has_its_sentence_its_cure_and_its_delay(
    play: Play,
    code: str,
    words: str,
    delays: tuple[float, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decided: list[float] = []

    def decide(down: LinkDown, drain: m.Drain | None, backoff: Backoff, draw: Callable[[], float]) -> float:
        decided.append(real_decide(down, drain, backoff, draw))
        return decided[-1]

    real_decide = supervisor.decide_delay_s
    monkeypatch.setattr(supervisor, "decide_delay_s", decide)
    home = tmp_path / "home"
    async with play(home, monkeypatch) as scene, _connector(home, scene.variables) as runtime:
        if scene.then is not None:
            await eventually(lambda: runtime.board.state in WORKING, what="working before it goes wrong")
            await scene.then()
        for times in range(1, (3 if scene.same_again else 1) + 1):
            await eventually(lambda: len(decided) >= times, what=f"failure {times}")  # noqa: B023
            assert tuple(decided) == delays[:times]
            problem = next(found for found in runtime.board.problems if found.code == code)
            assert words in problem.sentence
            assert problem.fix
            german = problem_words(code, problem.sentence, problem.fix, "de")
            assert german[1] != problem.fix
            assert runtime.board.state is (State.NEEDS_YOU if delays is PERSON else State.CONNECTING)
            runtime.redial("a test does not wait")


@asynccontextmanager
async def _connector(home: Path, variables: dict[str, str]) -> AsyncIterator[ConnectorRuntime]:
    home.mkdir(parents=True, exist_ok=True)
    runtime = ConnectorRuntime(load(home, variables), stay_without_credentials=True, draw=lambda: 0.0)
    running = asyncio.create_task(runtime.run(), name="connector under test")
    try:
        await eventually(lambda: running.done() or runtime.started.is_set(), what="the connector to start")
        yield runtime
    finally:
        runtime.stop(hard=True)
        await running
