from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import ProtocolError
from edge_connector.wire.session import CallerSession, ConnectorSession, Phase, PlatformSession, Session
from tests.support.wire_fields import directions_of
from tests.unit.wire import receivable as at
from tests.unit.wire.receivable import DIRECTIONS_TO, RECEIVABLE, WELCOME
from tests.unit.wire.samples import SAMPLES, encoded

TERMS = m.Welcome(version=1, session_id="s", organization_id="o", heartbeat_s=10.0, silence_s=25.0)
OPEN_ENDS: list[Callable[[m.Welcome], Session]] = [
    at.platform_open,
    at.platform_for_caller,
    at.connector_open,
    at.caller_open,
]
EVERY_OPEN_END = pytest.mark.parametrize("open_end", OPEN_ENDS)


def sent(session: Session) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for frame in session.frames_to_send():
        content = msgspec.json.decode(frame)
        messages += content if isinstance(content, list) else [content]
    return messages


def phase_of(session: Session) -> Phase:
    """Read through a function, so that the type checker does not take an earlier phase for the present one."""
    return session.phase


def fault_of(session: Session, frame: bytes | str, *, now: float = 0.0) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        session.receive(frame, now=now)
    assert phase_of(session) is Phase.CLOSED
    return caught.value


def timeout_of(session: Session, *, now: float) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        session.tick(now=now)
    assert caught.value.code is CloseCode.SILENT
    assert phase_of(session) is Phase.CLOSED
    return caught.value


class TestWhatMayBeReceived:
    @pytest.mark.parametrize("tag", SAMPLES)
    @pytest.mark.parametrize("where", RECEIVABLE, ids=lambda where: " ".join(where))
    def test_by_receiver_and_phase(self, where: tuple[str, str], tag: str) -> None:
        make, allowed = RECEIVABLE[where]
        session, sample = make(), SAMPLES[tag]
        if tag in allowed:
            delivered = session.receive(encoded(sample), now=0.0)
            assert [encoded(each) for each in delivered] == (
                [] if tag in at.LIVENESS | {"result.part"} else [encoded(sample)]
            )
        elif DIRECTIONS_TO[where[0]] & set(directions_of(type(sample))):
            fault = fault_of(session, encoded(sample))
            assert fault.code is CloseCode.OUT_OF_ORDER
            assert tag in fault.reason
        else:
            assert session.receive(encoded(sample), now=0.0) == []
            assert phase_of(session) is not Phase.CLOSED

    @pytest.mark.parametrize("where", RECEIVABLE, ids=lambda where: " ".join(where))
    def test_unknown_is_ignored_and_malformed_is_not(self, where: tuple[str, str]) -> None:
        session = RECEIVABLE[where][0]()
        assert session.receive('{"type":"new"}', now=0.0) == []
        assert fault_of(session, "{").code is CloseCode.MALFORMED

    def test_hello_and_more_in_one_frame_is_out_of_order(self) -> None:
        frame = b"[" + encoded(at.HELLO) + b"," + encoded(m.Register(revision=1, tools=[])) + b"]"
        assert fault_of(PlatformSession(now=0.0), frame).code is CloseCode.OUT_OF_ORDER

    def test_register_and_outcomes_in_one_frame_are_fine(self) -> None:
        frame = b"[" + encoded(m.Register(revision=1, tools=[])) + b"," + encoded(SAMPLES["result"]) + b"]"
        assert len(at.platform_welcomed().receive(frame, now=0.0)) == 2


class TestHandshake:
    def test_connector(self) -> None:
        connector, platform = ConnectorSession(at.HELLO, now=0.0), PlatformSession(now=0.0)
        (hello,) = [each for frame in connector.frames_to_send() for each in platform.receive(frame, now=0.1)]
        assert isinstance(hello, m.Hello) and platform.hello == hello
        assert platform.role is m.Role.CONNECTOR
        platform.accept(TERMS, now=0.2)
        assert phase_of(platform) is Phase.WELCOMED
        (welcome,) = [each for frame in platform.frames_to_send() for each in connector.receive(frame, now=0.3)]
        assert connector.welcome == welcome == TERMS
        assert phase_of(connector) is Phase.WELCOMED
        tools = [m.ToolSpec(name="a"), m.ToolSpec(name="b")]
        assert connector.register(tools, runtime=m.RuntimeInfo(pid=1), bundle=None, now=0.4) == 1
        (register,) = [each for frame in connector.frames_to_send() for each in platform.receive(frame, now=0.5)]
        assert isinstance(register, m.Register) and phase_of(platform) is Phase.OPEN
        platform.confirm(register, [m.RejectedTool(name="b", reason="no")])
        (registered,) = [each for frame in platform.frames_to_send() for each in connector.receive(frame, now=0.6)]
        assert registered == m.Registered(revision=1, accepted=1, rejected=[m.RejectedTool(name="b", reason="no")])
        assert phase_of(connector) is Phase.OPEN
        assert connector.register([], runtime=m.RuntimeInfo(), bundle=None, now=9.0) == 2

    def test_caller(self) -> None:
        caller, platform = CallerSession(at.CALLER_HELLO, now=0.0), PlatformSession(now=0.0)
        for frame in caller.frames_to_send():
            platform.receive(frame, now=0.1)
        platform.accept(TERMS, now=0.2)
        assert phase_of(platform) is Phase.OPEN
        for frame in platform.frames_to_send():
            assert caller.receive(frame, now=0.3) == [TERMS]
        assert phase_of(caller) is Phase.OPEN and caller.welcome == TERMS

    @pytest.mark.parametrize("versions", [[], [2], [0, 7]])
    def test_the_platform_refuses_other_versions(self, versions: list[int]) -> None:
        fault = fault_of(PlatformSession(now=0.0), encoded(m.Hello(versions=versions)))
        assert fault.code is CloseCode.VERSION_UNSUPPORTED
        assert "1" in fault.reason

    def test_the_platform_takes_its_version_from_several(self) -> None:
        session = PlatformSession(now=0.0)
        assert session.receive(encoded(m.Hello(versions=[3, 1, 2])), now=0.0)

    @pytest.mark.parametrize("end", [at.connector_before_welcome, at.caller_before_welcome])
    def test_the_dialling_side_refuses_other_versions(self, end: Callable[[], Session]) -> None:
        welcome = msgspec.structs.replace(WELCOME, version=2)
        assert fault_of(end(), encoded(welcome)).code is CloseCode.VERSION_UNSUPPORTED

    @pytest.mark.parametrize("revision", [-1, 0, 2])
    def test_registered_for_a_revision_that_was_never_sent(self, revision: int) -> None:
        session = at.connector_welcomed()
        frame = encoded(m.Registered(revision=revision, accepted=0))
        assert fault_of(session, frame).code is CloseCode.OUT_OF_ORDER

    def test_time_outs(self) -> None:
        for session in (
            at.platform_before_hello(100.0),
            at.platform_hello_received(now=100.0),
            at.connector_before_welcome(100.0),
            at.caller_before_welcome(100.0),
        ):
            end = 100.0 + m.HELLO_TIMEOUT_S
            assert session.next_wakeup() == end
            assert session.tick(now=end - 0.01) is False
            assert "hello" in timeout_of(session, now=end).reason
        for session in (at.platform_welcomed(now=100.0), at.connector_welcomed(now=100.0)):
            end = 100.0 + m.REGISTER_TIMEOUT_S
            assert session.next_wakeup() == end
            session.tick(now=end - 0.01)
            assert "welcomed" in timeout_of(session, now=end).reason

    def test_the_wait_for_registered_begins_with_register(self) -> None:
        session = at.connector_before_welcome()
        session.receive(encoded(WELCOME), now=0.0)
        session.register([], runtime=m.RuntimeInfo(), bundle=None, now=20.0)
        session.tick(now=20.0 + m.REGISTER_TIMEOUT_S - 0.01)
        timeout_of(session, now=20.0 + m.REGISTER_TIMEOUT_S)

    def test_an_open_session_has_no_deadline(self) -> None:
        session = at.connector_open()
        for second in range(0, 3000, 30):
            session.receive("[]", now=float(second))
            session.tick(now=float(second))
        assert phase_of(session) is Phase.OPEN


class TestLiveness:
    @EVERY_OPEN_END
    def test_heartbeats_are_due_once_in_a_period(self, open_end: Callable[[m.Welcome], Session]) -> None:
        session = open_end(TERMS)
        assert session.next_wakeup() == 10.0
        assert session.tick(now=9.99) is False
        assert session.tick(now=10.0) is True
        assert session.tick(now=10.0) is False
        assert session.next_wakeup() == 20.0
        session.receive("[]", now=15.0)
        assert session.tick(now=20.5) is True
        assert [message for message in sent(session) if message["type"] == "heartbeat"] == [
            {"type": "heartbeat", "seq": 1},
            {"type": "heartbeat", "seq": 2},
        ]
        assert session.next_wakeup() == 30.5

    @EVERY_OPEN_END
    def test_a_heartbeat_is_answered_at_once_and_not_delivered(self, open_end: Callable[[m.Welcome], Session]) -> None:
        session = open_end(TERMS)
        assert session.queued == 0
        assert session.receive('[{"type":"heartbeat","seq":7},{"type":"heartbeat","seq":8}]', now=1.0) == []
        assert session.queued == 2
        assert sent(session) == [{"type": "heartbeat.ack", "seq": 7}, {"type": "heartbeat.ack", "seq": 8}]

    @EVERY_OPEN_END
    def test_round_trip(self, open_end: Callable[[m.Welcome], Session]) -> None:
        session = open_end(TERMS)
        session.receive('{"type":"heartbeat.ack","seq":0}', now=1.0)
        assert session.round_trip_s is None, "nothing was sent yet"
        session.tick(now=10.0)
        session.receive('{"type":"heartbeat.ack","seq":2}', now=10.1)
        assert session.round_trip_s is None, "not the one that was sent"
        session.receive('{"type":"heartbeat.ack","seq":1}', now=10.25)
        assert session.round_trip_s == pytest.approx(0.25)
        session.receive('{"type":"heartbeat.ack","seq":1}', now=15.0)
        assert session.round_trip_s == pytest.approx(0.25), "a second acknowledgement measures nothing"

    @EVERY_OPEN_END
    def test_silence(self, open_end: Callable[[m.Welcome], Session]) -> None:
        session = open_end(TERMS)
        session.receive("[]", now=3.0)
        session.tick(now=27.9)
        assert session.next_wakeup() == 28.0
        assert "25 s" in timeout_of(session, now=28.0).reason

    @EVERY_OPEN_END
    def test_any_frame_counts_as_life(self, open_end: Callable[[m.Welcome], Session]) -> None:
        session = open_end(TERMS)
        session.receive('{"type":"new"}', now=20.0)
        session.tick(now=44.9)
        timeout_of(session, now=45.0)

    def test_defaults_are_the_documented_ones(self) -> None:
        session = at.connector_open()
        assert (session.heartbeat_s, session.silence_s) == (30.0, 75.0)

    def test_no_heartbeat_before_welcome(self) -> None:
        session = at.connector_before_welcome()
        assert session.tick(now=9.0) is False
        assert not session.has_output


class TestSize:
    @pytest.mark.parametrize("text", [b"x", "x", "ü", "🙂"])
    def test_a_frame_over_the_limit(self, text: bytes | str) -> None:
        limit = 1000
        welcome = msgspec.structs.replace(WELCOME, limits=m.Limits(max_frame_bytes=limit))
        head, tail = '{"type":"new","field":"', '"}'
        wide = text if isinstance(text, str) else text.decode()
        room = limit - len(head) - len(tail)
        count = room // len(wide.encode())

        def frame(count: int, pad: int) -> bytes | str:
            made = head + wide * count + "x" * pad + tail
            return made.encode() if isinstance(text, bytes) else made

        pad = room - count * len(wide.encode())
        session = at.platform_open(welcome)
        assert session.receive(frame(count, pad), now=0.0) == []
        assert fault_of(session, frame(count, pad + 1)).code is CloseCode.TOO_LARGE

    def test_the_default_limit(self) -> None:
        fault = fault_of(at.connector_open(), b" " * (m.MAX_FRAME_BYTES + 1))
        assert fault.code is CloseCode.TOO_LARGE
        assert str(m.MAX_FRAME_BYTES) in fault.reason


class TestClosed:
    @EVERY_OPEN_END
    def test_nothing_happens_any_more(self, open_end: Callable[[m.Welcome], Session]) -> None:
        session = open_end(TERMS)
        session.send(m.Heartbeat(seq=1))
        session.close()
        session.send(m.Heartbeat(seq=2))
        assert phase_of(session) is Phase.CLOSED
        assert session.frames_to_send() == []
        assert session.receive('{"type":"heartbeat","seq":1}', now=1.0) == []
        assert session.receive("not JSON", now=1.0) == []
        assert session.tick(now=1000.0) is False
        assert session.next_wakeup() == math.inf
        assert not session.has_output

    def test_a_broken_session_stays_closed(self) -> None:
        session = at.connector_before_welcome()
        fault_of(session, "{")
        assert session.receive(encoded(WELCOME), now=0.0) == []
        assert phase_of(session) is Phase.CLOSED and session.welcome is None


def test_messages_leave_in_the_order_in_which_they_were_queued() -> None:
    session = at.connector_open()
    for number in range(5):
        session.send(m.Accepted(id=str(number)))
    assert [message["id"] for message in sent(session)] == ["0", "1", "2", "3", "4"]
