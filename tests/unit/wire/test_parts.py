from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from edge_connector.wire.codec import ProtocolError
from edge_connector.wire.parts import (
    MAX_AT_ONCE,
    PART_ABOVE,
    PART_BYTES,
    PART_S,
    QUICK_PARTS,
    IncomingParts,
    OutgoingParts,
)
from edge_connector.wire.session import ConnectorSession, Phase, PlatformSession, Session
from tests.unit.wire import receivable as at
from tests.unit.wire.samples import encoded

PARTS_WELCOME = m.Welcome(version=1, session_id="s", organization_id="o", features=[m.FEATURE_PARTS])
LARGE = PART_ABOVE + 1
FIRST = OutgoingParts().part_bytes


def json_of(size: int, character: str = "x") -> bytes:
    """A JSON string of about `size` bytes."""
    return msgspec.json.encode(character * ((size - 2) // len(character.encode())))


def result(call_id: str, data: bytes, duration_ms: float = 2.5) -> m.Result:
    return m.Result(id=call_id, result=Raw(data), duration_ms=duration_ms)


def all_of(outgoing: OutgoingParts) -> list[m.ResultPart]:
    found = []
    while (part := outgoing.next()) is not None:
        assert isinstance(part, m.ResultPart)
        found.append(part)
    return found


def part(offset: int, data: str, total: int = 12, call_id: str = "a") -> m.ResultPart:
    return m.ResultPart(id=call_id, offset=offset, total=total, data=data)


def pair() -> tuple[ConnectorSession, PlatformSession]:
    return at.connector_open(PARTS_WELCOME), at.platform_open(PARTS_WELCOME)


def pass_parts(sender: Session, receiver: Session, most: int = 1_000_000) -> list[m.Message]:
    arrived: list[m.Message] = []
    while most and (frame := sender.next_part()) is not None:
        arrived += receiver.receive(frame, now=0.0)
        most -= 1
    return arrived


class TestBothEnds:
    @given(
        st.lists(
            st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=4), max_leaves=5)
            | st.sampled_from(["é", "€", "🙂", '"', "\\"]).map(lambda character: character * 30_000),
            min_size=1,
            max_size=7,
        ),
        st.randoms(use_true_random=False),
    )
    def test_what_comes_out_is_what_went_in(self, values: list[Any], random: Any) -> None:
        outgoing, incoming = OutgoingParts(), IncomingParts(m.MAX_RESULT_BYTES)
        expected = {f"c{number}": msgspec.json.encode(value) for number, value in enumerate(values)}
        waiting, arrived = list(expected.items()), dict[str, bytes]()
        while waiting or outgoing.bytes:
            if waiting and (not outgoing.bytes or random.random() < 0.3):
                call_id, data = waiting.pop()
                outgoing.add(result(call_id, data))
                continue
            piece = outgoing.next()
            assert isinstance(piece, m.ResultPart)
            assert len(piece.data.encode()) <= PART_BYTES[1]
            outgoing.left_within(random.random() / 10)
            # As it travels: escaped, decoded, unescaped.
            outcome = incoming.take(msgspec.json.decode(encoded(piece), type=m.ResultPart))
            if outcome is not None:
                assert isinstance(outcome, m.Result) and outcome.duration_ms == 2.5
                arrived[outcome.id] = bytes(outcome.result)
        assert arrived == expected
        assert (outgoing.bytes, incoming.open, outgoing.next()) == (0, 0, None)

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 14), st.integers(1, 14), st.text(max_size=14))))
    def test_no_sequence_of_parts_is_kept_beyond_the_bounds(self, sequence: list[tuple[str, int, int, str]]) -> None:
        incoming = IncomingParts(12)
        for call_id, offset, total, data in sequence:
            try:
                outcome = incoming.take(part(offset, data, total, call_id))
            except ProtocolError:
                return
            if isinstance(outcome, m.Result):
                msgspec.json.decode(outcome.result)
                assert len(bytes(outcome.result)) == total <= 12
        assert incoming.open <= 2


class TestOutgoing:
    def test_takes_turns_between_few_and_lets_the_rest_wait(self) -> None:
        outgoing = OutgoingParts()
        calls = [f"c{number}" for number in range(MAX_AT_ONCE + 2)]
        for call_id in calls:
            outgoing.add(result(call_id, json_of(2 * FIRST)))
        order = [each.id for each in all_of(outgoing)]
        assert order == [*calls[:MAX_AT_ONCE] * 2, *calls[MAX_AT_ONCE:] * 2]

    def test_the_duration_goes_with_the_first_only(self) -> None:
        outgoing = OutgoingParts()
        outgoing.add(result("a", json_of(2 * FIRST)))
        assert [each.duration_ms for each in all_of(outgoing)] == [2.5, 0.0]

    def test_counts_what_is_left(self) -> None:
        outgoing = OutgoingParts()
        for call_id in "abcdef":
            outgoing.add(result(call_id, json_of(LARGE)))
        assert outgoing.bytes == 6 * LARGE
        outgoing.next()
        assert outgoing.bytes == 6 * LARGE - FIRST
        for call_id in "afx":
            outgoing.drop(call_id)
        assert outgoing.bytes == 4 * LARGE
        assert {each.id for each in all_of(outgoing)} == set("bcde")
        outgoing.add(result("a", json_of(LARGE)))
        outgoing.clear()
        assert (outgoing.bytes, outgoing.next()) == (0, None)

    def test_the_same_again_changes_nothing_and_another_one_starts_anew(self) -> None:
        outgoing, first = OutgoingParts(), result("a", json_of(LARGE))
        outgoing.add(first)
        outgoing.next()
        outgoing.add(first)
        assert (piece := outgoing.next()) is not None and isinstance(piece, m.ResultPart) and piece.offset == FIRST
        outgoing.add(result("a", json_of(LARGE, "y")))
        pieces = all_of(outgoing)
        assert pieces[0].offset == 0
        assert "".join(each.data for each in pieces) == json_of(LARGE, "y").decode()

    def test_parts_follow_the_speed_of_the_link(self) -> None:
        outgoing = OutgoingParts()
        outgoing.add(result("a", json_of(100 * PART_BYTES[1])))
        rise = QUICK_PARTS * 4

        def size_after(seconds: float) -> int:
            outgoing.left_within(seconds)
            piece = outgoing.next()
            assert isinstance(piece, m.ResultPart)
            return len(piece.data)

        assert [size_after(PART_S) for _ in range(3)] == [FIRST] * 3
        assert [size_after(0.0) for _ in range(QUICK_PARTS - 1)] == [FIRST] * (QUICK_PARTS - 1)
        assert size_after(0.0) == 2 * FIRST
        assert [size_after(PART_S * 2 if turn % QUICK_PARTS == 5 else 0.0) for turn in range(rise)][-1] <= 2 * FIRST
        assert [size_after(0.0) for _ in range(rise)][-1] == PART_BYTES[1]
        assert [size_after(PART_S * 2) for _ in range(10)][-1] == PART_BYTES[0]

    @pytest.mark.parametrize("broken", [b'"' + b"\xff" * LARGE + b'"', b'"' + b"\x80" * LARGE + b'"'])
    def test_what_is_no_utf_8_fails_its_call_only(self, broken: bytes) -> None:
        outgoing = OutgoingParts()
        outgoing.add(result("a", broken))
        outgoing.add(result("b", json_of(LARGE)))
        failure = outgoing.next()
        assert isinstance(failure, m.Failure) and (failure.id, failure.error.code) == ("a", "result_not_json")
        assert {each.id for each in all_of(outgoing)} == {"b"}


class TestIncoming:
    def test_restarts_at_offset_zero(self) -> None:
        incoming = IncomingParts(100)
        incoming.take(part(0, "[1,"))
        assert incoming.take(part(0, "[222")) is None
        outcome = incoming.take(part(4, ",333333]"))
        assert isinstance(outcome, m.Result) and bytes(outcome.result) == b"[222,333333]"
        assert incoming.open == 0

    def test_parts_without_a_beginning_are_left_out(self) -> None:
        incoming = IncomingParts(100)
        assert incoming.take(part(3, "22,333333]")) is None
        incoming.take(part(0, "[1,"))
        incoming.drop("a")
        assert incoming.take(part(3, "22,33333]")) is None
        assert incoming.open == 0

    @pytest.mark.parametrize(
        ("second", "code"),
        [
            (part(2, "x"), CloseCode.OUT_OF_ORDER),
            (part(4, "x"), CloseCode.OUT_OF_ORDER),
            (part(3, "x", total=13), CloseCode.OUT_OF_ORDER),
            (part(3, ""), CloseCode.MALFORMED),
            (part(3, "1234567890"), CloseCode.MALFORMED),
            (part(3, "12345678}"), CloseCode.MALFORMED),
            (part(3, "\ud800"), CloseCode.MALFORMED),
        ],
        ids=["again", "gap", "other total", "empty", "too many bytes", "no JSON", "lone surrogate"],
    )
    def test_what_does_not_continue_ends_the_session(self, second: m.ResultPart, code: CloseCode) -> None:
        incoming = IncomingParts(100)
        incoming.take(part(0, "[1,"))
        with pytest.raises(ProtocolError) as caught:
            incoming.take(second)
        assert caught.value.code is code

    def test_too_deep_is_no_json(self) -> None:
        incoming = IncomingParts(1 << 20)
        with pytest.raises(ProtocolError) as caught:
            incoming.take(part(0, "[" * 200_000, total=200_000))
        assert caught.value.code is CloseCode.MALFORMED

    def test_a_total_above_the_limit_is_a_failure_at_once(self) -> None:
        incoming = IncomingParts(100)
        failure = incoming.take(part(0, "[1,", total=101))
        assert isinstance(failure, m.Failure) and failure.error.code == "result_too_large"
        assert "101" in failure.error.message and "100" in failure.error.message
        assert incoming.take(part(3, "x", total=101)) is None
        assert incoming.open == 0

    def test_more_at_once_than_agreed(self) -> None:
        incoming = IncomingParts(100)
        for number in range(MAX_AT_ONCE):
            incoming.take(part(0, "[1,", call_id=str(number)))
        incoming.take(part(0, "[1,", call_id="0"))
        with pytest.raises(ProtocolError) as caught:
            incoming.take(part(0, "[1,", call_id="more"))
        assert caught.value.code is CloseCode.TOO_MANY


class TestSessions:
    def test_a_large_result_leaves_in_parts_behind_everything_else(self) -> None:
        connector, platform = pair()
        large = result("large", json_of(LARGE))
        connector.send(large)
        connector.send(m.Accepted(id="small"))
        assert connector.has_parts
        (frame,) = connector.frames_to_send()
        assert platform.receive(frame, now=0.0) == [m.Accepted(id="small")]
        pass_parts(connector, platform, 2)
        connector.tick(now=30.0)
        (frame,) = connector.frames_to_send()
        assert platform.receive(frame, now=30.0) == [] and platform.has_output, "a heartbeat overtakes"
        (arrived,) = pass_parts(connector, platform)
        assert encoded(arrived) == encoded(large)
        assert connector.next_part() is None

    def test_up_to_the_limit_it_travels_whole(self) -> None:
        connector, platform = pair()
        connector.send(result("a", json_of(PART_ABOVE)))
        assert not connector.has_parts
        (frame,) = connector.frames_to_send()
        assert len(platform.receive(frame, now=0.0)) == 1

    @pytest.mark.parametrize(
        "session",
        [at.connector_open, at.platform_for_caller],
        ids=["towards a platform without parts", "towards a caller without parts"],
    )
    def test_an_older_peer_gets_it_whole(self, session: Any) -> None:
        end = session()
        end.send(result("a", json_of(LARGE)))
        assert not end.has_parts
        assert len(end.frames_to_send()) == 1

    def test_a_caller_that_takes_parts_gets_parts(self) -> None:
        hello = m.Hello(versions=[1], role=m.Role.CALLER, features=[m.FEATURE_PARTS])
        platform = at.platform_hello_received(hello)
        platform.accept(at.WELCOME, now=0.0)
        platform.frames_to_send()
        large = result("a", json_of(LARGE))
        platform.send(large)
        (arrived,) = pass_parts(platform, at.caller_open())
        assert encoded(arrived) == encoded(large)

    def test_a_receipt_stops_the_rest(self) -> None:
        connector, _ = pair()
        for call_id in ("a", "b"):
            connector.send(result(call_id, json_of(LARGE)))
        connector.receive(encoded(m.Receipt(ids=["a", "unknown"])), now=0.0)
        assert connector.parts.bytes == LARGE

    @pytest.mark.parametrize(
        "outcome",
        [
            result("a", b"1"),
            m.Failure(id="a", outcome=m.Outcome.CANCELLED, error=m.CallError(code="c", message="m")),
            m.ResultReference(id="a", sha256="0"),
        ],
        ids=["result", "failure", "reference"],
    )
    def test_another_outcome_replaces_the_parts_at_both_ends(self, outcome: m.Message) -> None:
        connector, platform = pair()
        connector.send(result("a", json_of(LARGE)))
        pass_parts(connector, platform, 2)
        stray = connector.next_part()
        connector.send(outcome)
        assert not connector.has_parts
        (frame,) = connector.frames_to_send()
        (arrived,) = platform.receive(frame, now=0.0)
        assert encoded(arrived) == encoded(outcome)
        assert stray is not None and platform.receive(stray, now=0.0) == []
        assert platform._incoming.open == 0

    @pytest.mark.parametrize("in_parts", [True, False])
    def test_the_platform_enforces_its_limit_without_closing(self, in_parts: bool) -> None:
        limits = m.Limits(max_result_bytes=LARGE)
        platform = at.platform_open(msgspec.structs.replace(at.WELCOME, limits=limits))
        connector = at.connector_open(PARTS_WELCOME if in_parts else at.WELCOME)
        connector.send(result("fits", json_of(LARGE)))
        connector.send(result("large", json_of(LARGE + 1)))
        arrived = [each for frame in connector.frames_to_send() for each in platform.receive(frame, now=0.0)]
        arrived += pass_parts(connector, platform)
        by_id = {each.id: each for each in arrived}  # type: ignore[attr-defined]
        assert isinstance(by_id["fits"], m.Result) and platform.phase is Phase.OPEN
        failure = by_id["large"]
        assert isinstance(failure, m.Failure) and failure.error.code == "result_too_large"

    def test_closing_forgets_everything(self) -> None:
        connector, platform = pair()
        connector.send(result("a", json_of(LARGE)))
        pass_parts(connector, platform, 1)
        connector.close()
        platform.close()
        assert (connector.next_part(), connector.has_parts, platform._incoming.open) == (None, False, 0)
