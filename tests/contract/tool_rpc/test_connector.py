"""What every connector must do, by docs/tool-rpc.md, judged from the platform's end of a real socket."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import CloseCode
from tests.contract.tool_rpc.conftest import DEPLOYMENT, SECRET, Bench
from tests.contract.tool_rpc.connectors import PEER, Connector
from tests.support.scripted_platform import ScriptedPlatform, ScriptedSession
from tests.support.waiting import eventually

FIRST_DELAY_S = (5.0, 6.0)
"""Documented: 5 s, and up to 20 % more."""
SLACK_S = 2.0
"""For starting a socket on a busy machine."""
QUICK_WINDOW = m.Drain(reconnect_min_ms=100, reconnect_max_ms=300, reason="test")


def result_of(outcome: m.Result | m.Failure) -> Any:
    """The value of a result."""
    assert isinstance(outcome, m.Result), outcome
    return msgspec.json.decode(outcome.result)


def failure_of(outcome: m.Result | m.Failure) -> tuple[m.Outcome, str]:
    """How a failure ended, and its code."""
    assert isinstance(outcome, m.Failure), outcome
    return outcome.outcome, outcome.error.code


async def prove_alive(session: ScriptedSession) -> None:
    """The session still runs calls."""
    call = await session.call("echo", {"message": "still there"})
    assert result_of(await session.outcome(call)) == {"message": "still there"}
    assert session.fault is None


class TestHandshake:
    async def test_the_upgrade_carries_credentials_and_subprotocol(
        self, platform: ScriptedPlatform, bench: Bench
    ) -> None:
        async with bench.start(platform):
            await platform.session()
        dial = platform.dials[0]
        assert dial.headers["Authorization"] == f"Deployment {DEPLOYMENT}:{SECRET}"
        offered = [name.strip() for name in dial.headers["Sec-WebSocket-Protocol"].split(",")]
        assert m.SUBPROTOCOL in offered
        assert SECRET not in dial.path and DEPLOYMENT not in dial.path

    async def test_hello_is_first_and_alone_until_welcome(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.welcome_gate.clear()
        async with bench.start(platform):
            session = await platform.session()
            hello = (await eventually(lambda: session.of(m.Hello), what="hello"))[0]
            await asyncio.sleep(0.3)  # an observation: nothing may come in it
            assert len(session.frames) == 1
            assert json.loads(session.frames[0])["type"] == "hello"
            platform.welcome_gate.set()
            await session.registered()
        assert session.fault is None
        assert m.VERSION in hello.versions
        assert hello.role is m.Role.CONNECTOR
        assert hello.instance_id

    async def test_registers_all_tools_after_welcome(
        self, platform: ScriptedPlatform, bench: Bench, connector: Connector
    ) -> None:
        async with bench.start(platform):
            session = await platform.session()
            register = await session.registered()
            status = (await eventually(lambda: session.of(m.Status), what="status"))[0]
        assert register.revision == 1
        tools = {tool.name: tool for tool in register.tools}
        assert len(tools) == len(register.tools)
        assert {connector.echo_tool, connector.slow_tool, connector.fail_tool} <= set(tools)
        for tool in register.tools:
            assert msgspec.json.decode(tool.parameters)["type"] == "object"
        assert status.state

    async def test_a_version_that_was_not_offered_is_refused(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.version = 99
        async with bench.start(platform):
            session = await platform.session()
            assert await session.closed() == CloseCode.VERSION_UNSUPPORTED


class TestCalls:
    @pytest.mark.parametrize(
        "value", [None, "text with ümläuts, 漢字 and 🙂", {"a": [1, 2.5, {"b": None}]}, [], 2**53 - 1, "x" * 300_000]
    )
    async def test_echo_gives_back_the_value(self, platform: ScriptedPlatform, bench: Bench, value: Any) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call("echo", {"message": value})
            assert result_of(await session.outcome(call)) == {"message": value}

    async def test_a_hundred_calls_in_one_frame_are_each_answered_once(
        self, platform: ScriptedPlatform, bench: Bench
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            calls = [platform.make_call("echo", {"message": number}) for number in range(100)]
            await session.send(*calls)
            for number, call in enumerate(calls):
                assert result_of(await session.outcome(call.id)) == {"message": number}
            await prove_alive(session)
            assert [len(session.outcomes(call.id)) for call in calls] == [1] * 100

    async def test_unknown_tool(self, platform: ScriptedPlatform, bench: Bench) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call("no_such_tool", {})
            assert failure_of(await session.outcome(call)) == (m.Outcome.REFUSED, "unknown_tool")

    @pytest.mark.parametrize("arguments", [{}, [], "text", None])
    async def test_arguments_that_do_not_fit(
        self, platform: ScriptedPlatform, bench: Bench, connector: Connector, arguments: Any
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call(connector.echo_tool, arguments)
            assert failure_of(await session.outcome(call)) == (m.Outcome.REFUSED, "invalid_arguments")

    async def test_a_tool_that_raises(self, platform: ScriptedPlatform, bench: Bench, connector: Connector) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call(connector.fail_tool, connector.fail_arguments("the file is locked"))
            outcome = await session.outcome(call)
        assert failure_of(outcome) == (m.Outcome.FAILED, "tool_raised")
        assert isinstance(outcome, m.Failure) and "the file is locked" in outcome.error.message

    async def test_a_slow_call_is_announced_and_does_not_hold_up_others(
        self, platform: ScriptedPlatform, bench: Bench, connector: Connector
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            slow = await session.call(connector.slow_tool, connector.slow_arguments(1.0))
            await eventually(lambda: m.Accepted(id=slow) in session.received, what="accepted")
            await prove_alive(session)
            assert not session.outcomes(slow)
            assert isinstance(await session.outcome(slow), m.Result)
        assert [message for message in session.of(m.Accepted) if message.id == slow] == [m.Accepted(id=slow)]

    @pytest.mark.parametrize("at_once", [False, True], ids=["while it runs", "in the same frame"])
    async def test_cancel(self, platform: ScriptedPlatform, bench: Bench, connector: Connector, at_once: bool) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            slow = platform.make_call(connector.slow_tool, connector.slow_arguments(15.0))
            if at_once:
                await session.send(slow, m.Cancel(id=slow.id, reason="test"))
            else:
                await session.send(slow)
                await eventually(lambda: m.Accepted(id=slow.id) in session.received, what="accepted")
                await session.send(m.Cancel(id=slow.id, reason="test"))
            outcome = await session.outcome(slow.id, deadline_s=10)
            await session.send(m.Cancel(id=slow.id, reason="once more, when it is over"))
            await prove_alive(session)
            assert session.outcomes(slow.id) == [outcome]
        assert failure_of(outcome) == (m.Outcome.CANCELLED, "cancelled")

    async def test_remaining_time_is_honoured(
        self, platform: ScriptedPlatform, bench: Bench, connector: Connector
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            began = time.monotonic()
            call = await session.call(connector.slow_tool, connector.slow_arguments(15.0), remaining_ms=400)
            assert failure_of(await session.outcome(call, deadline_s=10)) == (m.Outcome.TIMED_OUT, "timed_out")
            assert 0.4 <= time.monotonic() - began < 0.4 + 3
            await prove_alive(session)

    async def test_the_same_id_again_gives_the_same_outcome(self, platform: ScriptedPlatform, bench: Bench) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call("echo", {"message": "first"})
            first = await session.outcome(call)
            await session.call("echo", {"message": "second"}, call_id=call)
            await eventually(lambda: len(session.outcomes(call)) == 2, what="the outcome again")
        assert result_of(session.outcomes(call)[1]) == result_of(first) == {"message": "first"}


class TestTolerance:
    @pytest.mark.parametrize(
        "frame",
        [
            '{"type":"weather.report","sky":"blue"}',
            '[{"type":"weather.report"},{"type":"receipt","ids":[],"colour":"red"}]',
            "[]",
            '{"type":"receipt","ids":["nobody","knows"]}',
            '{"type":"cancel","id":"nobody-knows","reason":""}',
            '{"type":"webhook.receipt","id":"nobody-knows","accepted":true}',
            '{"type":"bundle.announce","bundleId":"","version":0,"checksum":""}',
            '{"type":"heartbeat.ack","seq":4711}',
        ],
    )
    async def test_what_is_unknown_is_ignored(self, platform: ScriptedPlatform, bench: Bench, frame: str) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            await session.send_raw(frame)
            await prove_alive(session)

    async def test_unknown_parts_of_a_batch_do_not_hide_the_others(
        self, platform: ScriptedPlatform, bench: Bench
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            await session.send_raw(
                '[{"type":"new"},{"type":"call","id":"c1","tool":"echo","arguments":{"message":1},"mood":"good",'
                '"context":{"user":"u","team":"t"}},{"type":"newer","id":[1]}]'
            )
            assert result_of(await session.outcome("c1")) == {"message": 1}


class TestLiveness:
    async def test_heartbeats_go_both_ways(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.heartbeat_s, platform.silence_s = 0.3, 5.0
        async with bench.start(platform):
            session = await platform.open_session()
            statuses = len(session.of(m.Status))

            def sequence() -> list[int]:
                messages = [json.loads(frame) for frame in session.frames]
                flat = [one for each in messages for one in (each if isinstance(each, list) else [each])]
                return [message["seq"] for message in flat if message["type"] == "heartbeat"]

            await eventually(lambda: len(sequence()) >= 3, what="three heartbeats", deadline_s=10)
            assert sequence()[:3] == [1, 2, 3]
            assert time.monotonic() - session.opened_at >= 0.9, "heartbeats come once in a period"
            await eventually(lambda: session.wire.round_trip_s, what="an acknowledgement")
            await eventually(lambda: len(session.of(m.Status)) > statuses, what="a status with a heartbeat")
            await prove_alive(session)

    async def test_a_silent_platform_is_left_and_dialled_again(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.heartbeat_s, platform.silence_s = 0.3, 1.0
        async with bench.start(platform):
            session = await platform.open_session()
            await session.send(QUICK_WINDOW)
            session.mute = True
            assert await session.closed(deadline_s=10) == CloseCode.SILENT
            assert session.fault is None
            await prove_alive(await platform.open_session(2))


class TestEnding:
    async def test_goodbye_then_outcomes_then_close(
        self, platform: ScriptedPlatform, bench: Bench, connector: Connector
    ) -> None:
        async with bench.start(platform) as running:
            session = await platform.open_session()
            slow = await session.call(connector.slow_tool, connector.slow_arguments(0.5))
            await eventually(lambda: m.Accepted(id=slow) in session.received, what="accepted")
            assert await running.stop() == 0
            code = await session.closed()
        assert code == CloseCode.GOING_AWAY
        assert session.of(m.Goodbye) == [m.Goodbye(reason="stopping")]
        (outcome,) = session.outcomes(slow)
        if isinstance(outcome, m.Failure):
            assert failure_of(outcome) == (m.Outcome.INTERRUPTED, "connector_stopping")

    async def test_a_malformed_frame_ends_the_session_and_the_first_delay_is_the_documented_one(
        self, platform: ScriptedPlatform, bench: Bench
    ) -> None:
        platform.heartbeat_s = 0.2
        async with bench.start(platform):
            session = await platform.open_session()
            await eventually(lambda: session.wire.round_trip_s, what="an acknowledgement")
            await session.send_raw('{"type":"call","id":"c1"')
            assert await session.closed() == CloseCode.MALFORMED
            again = await platform.open_session(2)
            assert session.closed_at is not None
            assert FIRST_DELAY_S[0] - 0.1 <= again.opened_at - session.closed_at <= FIRST_DELAY_S[1] + SLACK_S
            await prove_alive(again)

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            ('{"type":"call","tool":"echo"}', CloseCode.MALFORMED),
            ('{"type":"call","id":5,"tool":"echo"}', CloseCode.MALFORMED),
            ('[{"type":"heartbeat","seq":1},{"seq":1}]', CloseCode.MALFORMED),
            ("[" * 50_000 + "]" * 50_000, CloseCode.MALFORMED),
            ('"text"', CloseCode.MALFORMED),
            ('{"type":"welcome","version":1,"sessionId":"s","organizationId":"o"}', CloseCode.OUT_OF_ORDER),
        ],
    )
    async def test_a_broken_protocol_is_named(
        self, platform: ScriptedPlatform, bench: Bench, frame: str, code: CloseCode
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            await session.send_raw(frame)
            assert await session.closed() == code


class TestDiallingAgain:
    async def test_the_drain_window_is_respected_and_everything_is_registered_again(
        self, platform: ScriptedPlatform, bench: Bench
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            await session.send(m.Drain(reconnect_min_ms=700, reconnect_max_ms=1200, reason="update"))
            await prove_alive(session)
            await session.close(CloseCode.DRAINING, "update")
            assert await session.closed() == CloseCode.DRAINING
            again = await platform.open_session(2)
            assert session.closed_at is not None
            assert 0.6 <= again.opened_at - session.closed_at <= 1.2 + SLACK_S
            await prove_alive(again)
        first, second = session.of(m.Hello)[0], again.of(m.Hello)[0]
        assert second.instance_id == first.instance_id
        assert again.of(m.Register)[0] == session.of(m.Register)[0], "same tools, revision 1 again"

    async def test_an_outcome_without_receipt_is_sent_again(self, platform: ScriptedPlatform, bench: Bench) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            kept = await session.call("echo", {"message": "kept"})
            await session.outcome(kept)
            session.give_receipts = False
            lost = await session.call("echo", {"message": "lost"})
            await session.outcome(lost)
            await session.send(QUICK_WINDOW)
            await session.close(CloseCode.DRAINING)
            again = await platform.open_session(2)
            assert result_of(await again.outcome(lost)) == {"message": "lost"}
            await prove_alive(again)
            assert not again.outcomes(kept), "a receipt was given for this one"

    async def test_a_running_call_outlives_the_session(
        self, platform: ScriptedPlatform, bench: Bench, connector: Connector
    ) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            slow = await session.call(connector.slow_tool, connector.slow_arguments(1.0))
            await eventually(lambda: m.Accepted(id=slow) in session.received, what="accepted")
            await session.send(QUICK_WINDOW)
            session.socket.transport.abort()
            again = await platform.open_session(2)
            assert isinstance(await again.outcome(slow), m.Result)

    async def test_refusals_that_forbid_dialling_are_kept_to(self, bench: Bench) -> None:
        refusals = [CloseCode.UNAUTHORIZED, CloseCode.REVOKED, CloseCode.ALREADY_CONNECTED]
        async with AsyncExitStack() as stack:
            platforms = [await stack.enter_async_context(ScriptedPlatform()) for _ in range(len(refusals) + 1)]
            for platform, code in zip(platforms, refusals, strict=False):
                platform.refuse_with = (code, "test")
            platforms[-1].refuse_upgrade = HTTPStatus.UNAUTHORIZED
            for platform in platforms:
                await stack.enter_async_context(bench.start(platform))
            for platform in platforms:
                await eventually(lambda p=platform: p.dials, what="the first dial")  # type: ignore[misc]
            # An observation: longer than the first delay, so that a plain back-off would be seen.
            await asyncio.sleep(FIRST_DELAY_S[1] + 0.5)
            assert [len(platform.dials) for platform in platforms] == [1] * len(platforms)

    async def test_a_starting_platform_is_dialled_again(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.refuse_upgrade = HTTPStatus.SERVICE_UNAVAILABLE
        async with bench.start(platform):
            await eventually(lambda: platform.dials, what="the first dial")
            platform.refuse_upgrade = None
            session = await platform.open_session()
            await prove_alive(session)
        first, second = platform.dials[:2]
        assert FIRST_DELAY_S[0] - 0.1 <= second.at - first.at <= FIRST_DELAY_S[1] + SLACK_S


def test_the_independent_peer_imports_nothing_of_the_product() -> None:
    names = set()
    for node in ast.walk(ast.parse(PEER.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"websockets"}


class TestLargeResults:
    """`echo` gives back what it gets, so a large argument makes a large result."""

    @pytest.mark.parametrize("value", ["x" * 300_000, "ü" * 100_000, "€\\" * 60_000, [{"n": 1.5}] * 20_000])
    async def test_in_parts_to_a_platform_that_takes_them(
        self, platform: ScriptedPlatform, bench: Bench, value: Any
    ) -> None:
        platform.features = ["parts"]
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call("echo", {"message": value})
            assert result_of(await session.outcome(call)) == {"message": value}
            await prove_alive(session)
        parts = [json.loads(frame) for frame in session.frames if frame.startswith('{"type":"result.part"')]
        assert len(parts) > 1
        assert {part["id"] for part in parts} == {call}
        assert all(len(part["data"].encode()) <= 64 * 1024 for part in parts)
        assert [part["id"] for part in parts if part.get("durationMs")] == [call], "with the first only"
        assert parts[0].get("durationMs")

    async def test_whole_to_a_platform_that_does_not(self, platform: ScriptedPlatform, bench: Bench) -> None:
        async with bench.start(platform):
            session = await platform.open_session()
            call = await session.call("echo", {"message": "x" * 300_000})
            await session.outcome(call)
        assert not any("result.part" in frame for frame in session.frames)

    async def test_several_take_turns_and_never_more_than_four(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.features = ["parts"]
        async with bench.start(platform):
            session = await platform.open_session()
            calls = [platform.make_call("echo", {"message": str(number) * 300_000}) for number in range(7)]
            await session.send(*calls)
            for number, call in enumerate(calls):
                assert result_of(await session.outcome(call.id)) == {"message": str(number) * 300_000}
            assert session.fault is None, "a fifth at once would be one"

    async def test_parts_start_anew_after_a_lost_connection(self, platform: ScriptedPlatform, bench: Bench) -> None:
        platform.features = ["parts"]
        async with bench.start(platform):
            first = await platform.open_session()
            first.give_receipts = False
            await first.send(QUICK_WINDOW)
            call = await first.call("echo", {"message": "x" * 2_000_000})
            await eventually(lambda: any("result.part" in frame for frame in first.frames), what="a part")
            await first.close(CloseCode.DRAINING)
            second = await platform.open_session(2)
            assert result_of(await second.outcome(call)) == {"message": "x" * 2_000_000}
            assert next(json.loads(frame)["offset"] for frame in second.frames if "result.part" in frame) == 0
            await prove_alive(second)
