"""The supervised link against a real WebSocket server: what it says, what it does after each kind of end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
import trustme
from websockets.asyncio.server import serve

from edge_connector.core.backoff import Backoff
from edge_connector.core.clock import SystemClock
from edge_connector.core.errors import NeedsLogin
from edge_connector.core.status import LinkPhase
from edge_connector.link.supervisor import (
    REFUSED_RETRY_S,
    SLOW_RETRY_S,
    Link,
    LinkFacts,
    decide_delay_s,
)
from edge_connector.link.transport import DialTarget, LinkDown, down_from_code
from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode, Retry
from tests.support.scripted_platform import ScriptedPlatform
from tests.support.waiting import eventually


class Handler:
    """A runtime that only listens."""

    def __init__(self) -> None:
        self.link: Link
        self.facts: list[LinkFacts] = []
        self.messages: list[m.Message] = []
        self.tools = [m.ToolSpec(name="echo")]

    def registration(self) -> tuple[list[m.ToolSpec], m.RuntimeInfo, m.BundleInfo | None]:
        return self.tools, m.RuntimeInfo(version="1"), None

    def status(self) -> m.Status:
        return m.Status(state="connecting")

    def on_welcome(self, welcome: m.Welcome) -> None:
        pass

    def on_registered(self, registered: m.Registered) -> None:
        self.link.registered()

    def on_message(self, message: m.Message) -> None:
        self.messages.append(message)

    @property
    def phases(self) -> list[LinkPhase]:
        return [facts.phase for facts in self.facts]

    async def down(self) -> LinkDown:
        """Why the link is down, once it waits for the next attempt."""
        await eventually(lambda: self.facts and self.facts[-1].down is not None, what="the link to be down")
        down = self.facts[-1].down
        assert down is not None
        return down


@asynccontextmanager
async def linked(
    url: str, *, tls: ssl.SSLContext | None = None, credentials: Callable[[], str] = lambda: "Deployment dep_x:sec_y"
) -> AsyncIterator[Handler]:
    handler = Handler()

    async def target() -> DialTarget:
        headers = {"Authorization": credentials()}
        return DialTarget(url, m.SUBPROTOCOL, headers, tls, m.MAX_FRAME_BYTES, "edge-connector/test")

    handler.link = Link(
        handler,
        target=target,
        hello=lambda: m.Hello(versions=[1], instance_id="i"),
        on_facts=handler.facts.append,
        clock=SystemClock(),
    )
    await handler.link.start()
    try:
        yield handler
    finally:
        await handler.link.stop()


async def test_handshake_goes_through_the_documented_steps() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        assert platform.dials[0].headers["Authorization"] == "Deployment dep_x:sec_y"
        assert platform.dials[0].headers["Sec-WebSocket-Protocol"] == "nara.tool-rpc.v1"
        assert "Sec-WebSocket-Extensions" not in platform.dials[0].headers
        assert [type(message) for message in session.received[:3]] == [m.Hello, m.Register, m.Status]
        assert handler.phases[-3:] == [LinkPhase.DIALLING, LinkPhase.HANDSHAKE, LinkPhase.OPEN]


async def test_messages_of_one_turn_leave_in_one_frame() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        for number in range(50):
            assert handler.link.send(m.Accepted(id=str(number)))
        await eventually(lambda: len(session.of(m.Accepted)) == 50, what="all messages")
        assert [frame.count('"accepted"') for frame in session.frames if '"accepted"' in frame] == [50]
        assert [message.id for message in session.of(m.Accepted)] == [str(number) for number in range(50)]


async def test_redial_registers_again_with_the_tools_of_that_moment() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        first = await platform.open_session()
        handler.tools = [m.ToolSpec(name="echo"), m.ToolSpec(name="other")]
        await first.close()
        down = await handler.down()
        assert (down.problem, down.retry) == ("disconnected", Retry.BACKOFF)
        assert not handler.link.send(m.Accepted(id="1"))
        handler.link.redial("test")
        second = await platform.open_session(2)
        assert [tool.name for tool in second.of(m.Register)[0].tools] == ["echo", "other"]


async def test_tools_that_change_are_registered_with_the_next_revision() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        handler.link.register_again()
        await eventually(lambda: len(session.of(m.Register)) == 2, what="the second registration")
        assert [register.revision for register in session.of(m.Register)] == [1, 2]


async def test_redial_cuts_a_link_that_is_open() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        first = await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        handler.link.redial("no proof")
        await platform.open_session(2)
        await eventually(lambda: first.closed_at is not None, what="the first session to end")


async def test_drain_window_replaces_the_delay() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        first = await platform.open_session()
        await first.send(m.Drain(reconnect_min_ms=50, reconnect_max_ms=150, reason="update"))
        await first.close(CloseCode.DRAINING)
        second = await platform.open_session(2, deadline_s=4.0)
        assert first.closed_at is not None
        assert second.opened_at - first.closed_at >= 0.04
        assert handler.link.facts.reconnects == 1


async def test_silent_platform_is_given_up() -> None:
    async with ScriptedPlatform() as platform:
        platform.heartbeat_s, platform.silence_s = 0.1, 0.4
        async with linked(platform.url) as handler:
            session = await platform.open_session()
            session.mute = True
            down = await handler.down()
            assert down.problem == "platform_silent"
            assert len(session.of(m.Status)) >= 2, "each heartbeat brings a status"


async def test_heartbeats_measure_the_round_trip() -> None:
    async with ScriptedPlatform() as platform:
        platform.heartbeat_s = 0.05
        async with linked(platform.url) as handler:
            await platform.open_session()
            await eventually(lambda: handler.link.round_trip_s is not None, what="a round trip")
            assert 0 < (handler.link.round_trip_s or 0) < 5


async def test_malformed_frame_is_answered_with_its_code() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await session.send_raw("{")
        assert await session.closed() == CloseCode.MALFORMED
        assert (await handler.down()).problem == "protocol_broken"


@pytest.mark.parametrize(
    ("code", "problem", "phase"),
    [
        (CloseCode.UNAUTHORIZED, "credentials_refused", LinkPhase.REFUSED),
        (CloseCode.DEPLOYMENT_GONE, "deployment_gone", LinkPhase.REFUSED),
        (CloseCode.VERSION_UNSUPPORTED, "version_unsupported", LinkPhase.REFUSED),
        (CloseCode.ALREADY_CONNECTED, "deployment_already_connected", LinkPhase.WAITING),
        (CloseCode.INTERNAL, "disconnected", LinkPhase.WAITING),
    ],
)
async def test_refusals_after_hello(code: CloseCode, problem: str, phase: LinkPhase) -> None:
    async with ScriptedPlatform() as platform:
        platform.refuse_with = (code, "because")
        async with linked(platform.url) as handler:
            down = await handler.down()
            assert (down.problem, down.detail) == (problem, "because")
            assert handler.link.facts.phase is phase


@pytest.mark.parametrize(
    ("status", "problem", "retry"),
    [
        (HTTPStatus.UNAUTHORIZED, "credentials_refused", Retry.NEVER),
        (HTTPStatus.NOT_FOUND, "not_a_platform", Retry.BACKOFF),
        (HTTPStatus.OK, "not_a_platform", Retry.BACKOFF),
        (HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, "proxy_refused", Retry.BACKOFF),
        (HTTPStatus.BAD_GATEWAY, "platform_unreachable", Retry.BACKOFF),
    ],
)
async def test_answers_instead_of_an_upgrade(status: HTTPStatus, problem: str, retry: Retry) -> None:
    async with ScriptedPlatform() as platform:
        platform.refuse_upgrade = status
        async with linked(platform.url) as handler:
            down = await handler.down()
            assert (down.problem, down.retry) == (problem, retry)


async def test_peer_that_speaks_another_subprotocol() -> None:
    async def ignore(connection: object) -> None:
        pass

    async with serve(ignore, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with linked(f"ws://127.0.0.1:{port}") as handler:
            assert (await handler.down()).problem == "not_a_platform"


async def test_server_that_speaks_no_http() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    async with server, linked(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}") as handler:
        assert (await handler.down()).problem == "not_a_platform"


async def test_refused_port_is_named_as_the_documents_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with linked(f"ws://127.0.0.1:{unused.getsockname()[1]}") as handler:
            down = await handler.down()
            assert down.problem == "platform_unreachable"
            assert "ECONNREFUSED" in down.detail
            assert handler.link.facts.next_attempt_at is not None


async def test_unknown_host_is_named() -> None:
    async with linked("ws://no-such-host.invalid:3001") as handler:
        down = await handler.down()
        assert down.problem == "host_not_found"
        assert "ENOTFOUND" in down.detail


async def test_certificate_of_an_unknown_authority_is_named_and_a_trusted_one_works() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def greet(connection: object) -> None:
        await asyncio.sleep(0)

    async with serve(greet, "127.0.0.1", 0, ssl=server_side, subprotocols=[m.SUBPROTOCOL]) as server:  # type: ignore[list-item]
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with linked(url, tls=ssl.create_default_context()) as handler:
            down = await handler.down()
            assert down.problem == "tls_failed"
            assert "certificate" in down.detail
        async with linked(url, tls=trusting) as handler:
            assert (await handler.down()).problem == "disconnected"


async def test_missing_credentials_are_a_refusal_that_names_the_cure() -> None:
    def none() -> str:
        raise NeedsLogin("no_token", "No authentication token found.", hint="Save one.")

    async with linked("ws://127.0.0.1:1", credentials=none) as handler:
        down = await handler.down()
        assert (down.problem, down.detail) == ("needs_login", "No authentication token found.")
        assert handler.link.facts.phase is LinkPhase.REFUSED


@pytest.mark.parametrize(
    ("down", "drain", "attempt", "expected"),
    [
        (down_from_code(1006, ""), None, 1, (5.0, 6.0)),
        (down_from_code(1006, ""), None, 2, (10.0, 12.0)),
        (down_from_code(1006, ""), None, 3, (20.0, 24.0)),
        (down_from_code(1006, ""), None, 4, (40.0, 48.0)),
        (down_from_code(1006, ""), None, 5, (60.0, 48.0)),
        (down_from_code(CloseCode.ALREADY_CONNECTED, ""), None, 1, (SLOW_RETRY_S, SLOW_RETRY_S)),
        (down_from_code(CloseCode.UNAUTHORIZED, ""), None, 1, (REFUSED_RETRY_S, REFUSED_RETRY_S)),
        (down_from_code(CloseCode.DRAINING, ""), m.Drain(reconnect_min_ms=500, reconnect_max_ms=1500), 1, (0.5, 1.5)),
        (down_from_code(1006, ""), m.Drain(reconnect_min_ms=500, reconnect_max_ms=0), 3, (0.5, 0.5)),
    ],
)
def test_delays(down: LinkDown, drain: m.Drain | None, attempt: int, expected: tuple[float, float]) -> None:
    lowest = decide_delay_s(down, drain, Backoff(attempt), lambda: 0.0)
    highest = decide_delay_s(down, drain, Backoff(attempt), lambda: 1.0)
    assert (lowest, highest) == pytest.approx(expected)


async def test_a_bug_in_a_handler_does_not_end_the_link_for_good(caplog: pytest.LogCaptureFixture) -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")

        def broken(message: m.Message) -> None:
            raise RuntimeError("a bug")

        handler.on_message = broken  # type: ignore[method-assign]
        await session.send(m.Receipt(ids=["1"]))
        down = await handler.down()
        assert (down.problem, down.retry) == ("internal_error", Retry.BACKOFF)
        assert "a bug" in down.detail
        assert "Traceback" in caplog.text
        await eventually(lambda: session.closed_at is not None, what="the socket to be closed")
        handler.link.redial("test")
        await platform.open_session(2)


async def test_held_link_is_closed_in_order_and_dials_no_more_until_released(caplog: pytest.LogCaptureFixture) -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        await handler.link.hold("paused")
        assert await session.closed() == CloseCode.GOING_AWAY
        await eventually(lambda: handler.link.facts.phase is LinkPhase.IDLE, what="idle")
        assert handler.link.facts.reconnects == 0
        assert "Disconnected" not in caplog.text
        handler.link.release("paused")
        await platform.open_session(2)


async def test_held_while_it_waits_for_the_next_attempt() -> None:
    async with ScriptedPlatform() as platform:
        platform.refuse_upgrade = HTTPStatus.BAD_GATEWAY
        async with linked(platform.url) as handler:
            await handler.down()
            await handler.link.hold("paused")
            await eventually(lambda: handler.link.facts.phase is LinkPhase.IDLE, what="idle")
            platform.refuse_upgrade = None
            handler.link.release("paused")
            await platform.open_session()


async def test_statuses_of_one_turn_are_one_message() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await eventually(lambda: session.of(m.Status), what="the first status")
        before = len(session.of(m.Status))
        for _ in range(5):
            handler.link.send_status()
        handler.link.send(m.Accepted(id="after"))
        await eventually(lambda: session.of(m.Accepted), what="what was sent after")
        assert len(session.of(m.Status)) == before + 1


async def test_two_reasons_to_hold_need_two_releases() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        await handler.link.hold("paused")
        await handler.link.hold("asleep")
        await eventually(lambda: handler.link.facts.phase is LinkPhase.IDLE, what="idle")
        handler.link.release("asleep")
        handler.link.release("never held")
        for _ in range(20):
            await asyncio.sleep(0)
        assert (handler.link.facts.phase, len(platform.dials)) == (LinkPhase.IDLE, 1)
        handler.link.release("paused")
        await platform.open_session(2)


async def test_a_release_of_what_was_not_held_leaves_an_open_link_alone() -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        session = await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        handler.link.release("asleep")
        for _ in range(20):
            await asyncio.sleep(0)
        assert handler.link.is_open and session.closed_at is None


async def test_the_path_of_the_link_is_known_and_a_redial_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with ScriptedPlatform() as platform, linked(platform.url) as handler:
        await platform.open_session()
        await eventually(lambda: handler.link.is_open, what="open")
        path = handler.link.last_path
        assert path is not None
        assert (path.local, f"ws://{path.remote}:{path.port}") == ("127.0.0.1", platform.url)
        handler.link.redial("the network changed: a test")
        await platform.open_session(2)
        assert "cause=disconnected detail=the network changed: a test" in caplog.text
