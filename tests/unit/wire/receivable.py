"""The three ends of the protocol in each phase, as the document names them, and what each may receive."""

from __future__ import annotations

from collections.abc import Callable

from edge_connector.wire import messages as m
from edge_connector.wire.session import CallerSession, ConnectorSession, PlatformSession, Session
from tests.unit.wire.samples import encoded

WELCOME = m.Welcome(version=1, session_id="s", organization_id="o")
HELLO = m.Hello(versions=[1], instance_id="i")
CALLER_HELLO = m.Hello(versions=[1], role=m.Role.CALLER)


def platform_before_hello(now: float = 0.0) -> PlatformSession:
    return PlatformSession(now=now)


def platform_hello_received(hello: m.Hello = HELLO, now: float = 0.0) -> PlatformSession:
    session = platform_before_hello(now)
    session.receive(encoded(hello), now=now)
    return session


def platform_welcomed(welcome: m.Welcome = WELCOME, now: float = 0.0) -> PlatformSession:
    session = platform_hello_received(now=now)
    session.accept(welcome, now=now)
    session.frames_to_send()
    return session


def platform_open(welcome: m.Welcome = WELCOME, now: float = 0.0) -> PlatformSession:
    session = platform_welcomed(welcome, now)
    (register,) = session.receive(encoded(m.Register(revision=1, tools=[])), now=now)
    assert isinstance(register, m.Register)
    session.confirm(register, [])
    session.frames_to_send()
    return session


def platform_for_caller(welcome: m.Welcome = WELCOME, now: float = 0.0) -> PlatformSession:
    session = platform_hello_received(CALLER_HELLO, now=now)
    session.accept(welcome, now=now)
    session.frames_to_send()
    return session


def connector_before_welcome(now: float = 0.0) -> ConnectorSession:
    session = ConnectorSession(HELLO, now=now)
    session.frames_to_send()
    return session


def connector_welcomed(welcome: m.Welcome = WELCOME, now: float = 0.0) -> ConnectorSession:
    session = connector_before_welcome(now)
    session.receive(encoded(welcome), now=now)
    session.register([], runtime=m.RuntimeInfo(), bundle=None, now=now)
    session.frames_to_send()
    return session


def connector_open(welcome: m.Welcome = WELCOME, now: float = 0.0) -> ConnectorSession:
    session = connector_welcomed(welcome, now)
    session.receive(encoded(m.Registered(revision=1, accepted=0)), now=now)
    return session


def caller_before_welcome(now: float = 0.0) -> CallerSession:
    session = CallerSession(CALLER_HELLO, now=now)
    session.frames_to_send()
    return session


def caller_open(welcome: m.Welcome = WELCOME, now: float = 0.0) -> CallerSession:
    session = caller_before_welcome(now)
    session.receive(encoded(welcome), now=now)
    return session


RESULTS = {"result", "result.part", "result.reference"}
LIVENESS = {"heartbeat", "heartbeat.ack"}
FROM_CONNECTOR_WELCOMED = LIVENESS | {"register", "status", "goodbye"}
TO_CONNECTOR_WELCOMED = LIVENESS | {"registered", "drain", "bundle.announce"}

RECEIVABLE: dict[tuple[str, str], tuple[Callable[[], Session], set[str]]] = {
    ("platform", "before hello"): (platform_before_hello, {"hello"}),
    ("platform", "hello received"): (platform_hello_received, set()),
    ("platform, from a connector", "welcomed"): (platform_welcomed, FROM_CONNECTOR_WELCOMED),
    ("platform, from a connector", "open"): (
        platform_open,
        FROM_CONNECTOR_WELCOMED | {"probe", "accepted", "progress", "failure", "webhook"} | RESULTS,
    ),
    ("platform, from a caller", "open"): (platform_for_caller, LIVENESS | {"call", "cancel", "receipt"}),
    ("connector", "before welcome"): (connector_before_welcome, {"welcome"}),
    ("connector", "welcomed"): (connector_welcomed, TO_CONNECTOR_WELCOMED),
    ("connector", "open"): (connector_open, TO_CONNECTOR_WELCOMED | {"call", "cancel", "receipt", "webhook.receipt"}),
    ("caller", "before welcome"): (caller_before_welcome, {"welcome"}),
    ("caller", "open"): (caller_open, LIVENESS | {"drain", "accepted", "progress", "result", "result.part", "failure"}),
}
"""Receiver and phase: how to get there, and the messages that may come then."""

DIRECTIONS_TO = {
    "platform": {"connector → platform"},
    "platform, from a connector": {"connector → platform"},
    "platform, from a caller": {"caller → platform"},
    "connector": {"platform → connector"},
    "caller": {"platform → caller"},
}
"""What a receiver decodes at all; the rest is unknown to it."""
