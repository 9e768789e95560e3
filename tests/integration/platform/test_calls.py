"""Calls through a real platform to a real WebSocket peer: outcomes, waiting, polling, cancelling, repeating."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from edge_connector.core.errors import NotConnected, UserError
from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.wire import messages as m
from tests.support.peers import ConnectorPeer, connector, pair, tool
from tests.support.real_platform import RunningPlatform, result_of, running_platform
from tests.support.waiting import eventually


def silent(call: m.Call) -> m.Message | None:
    return None


def failing(call: m.Call) -> m.Message:
    error = m.CallError(code="no_such_file", message="There is no file.", detail=Raw(b'{"path":"/x"}'))
    return m.Failure(id=call.id, outcome=m.Outcome.FAILED, error=error)


async def until_called(peer: ConnectorPeer, count: int = 1) -> m.Call:
    await eventually(lambda: len(peer.calls) >= count, what=f"{count} calls at the connector")
    return peer.calls[count - 1]


async def until_ended(platform: RunningPlatform, call_id: str) -> api.Call:
    async def probe() -> api.Call | None:
        call = await platform.client.call(ops.GET_CALL, path={"id": call_id})
        return call if call.outcome else None

    found: api.Call | None = await eventually(probe, what="the call ended")
    assert found is not None
    return found


async def test_a_call_reaches_the_connector_and_its_result_comes_back_untouched(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as peer:
            assert await platform.tool_names() == ["echo"]
            reply = await platform.call("echo", {"text": "hi", "big": 2**70, "ü": [None, 1.50]})
            assert result_of(reply) == {"text": "hi", "big": 2**70, "ü": [None, 1.5]}
            assert (reply.deployment, reply.attempts, reply.state) == (edge.id, 1, "finished")
            context = peer.calls[0].context
            assert (context.organization, context.deployment) == (platform.organization_id, edge.id)
            assert peer.calls[0].remaining_ms == 60_000
            await eventually(lambda: peer.of(m.Receipt), what="a receipt")
            assert peer.of(m.Receipt)[0].ids == [reply.id]
            kept = await platform.client.call(ops.GET_CALL, path={"id": reply.id})
            assert kept.outcome == "succeeded"
            # A caller that waited has the result; only calls that may be asked for again keep it.
            assert kept.result is msgspec.UNSET


async def test_a_failed_tool_is_an_outcome_with_status_200(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=failing):
            reply = await platform.call("echo")
            assert reply.outcome == "failed"
            assert isinstance(reply.error, api.CallFailure)
            assert reply.error.code == "no_such_file"
            assert reply.error.detail == Raw(b'{"path":"/x"}')
            kept = await platform.client.call(ops.LIST_CALLS, query=api.CallQuery(outcome="failed"))
            assert [call.id for call in kept.calls] == [reply.id]


async def test_a_call_without_waiting_is_polled_and_keeps_its_result(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            started = await platform.call("echo", wait=False)
            assert (started.outcome, started.state) == (None, "received")
            call = await until_called(peer)
            await peer.send(m.Accepted(id=call.id))
            await peer.send(m.Progress(id=call.id, fraction=0.5, message="half"))

            async def progress() -> bool:
                shown = await platform.client.call(ops.GET_CALL, path={"id": call.id})
                return (shown.state, shown.progress, shown.progress_message) == ("accepted", 0.5, "half")

            await eventually(progress, what="progress is shown")
            await peer.send(m.Result(id=call.id, result=Raw(b'"done"')))
            assert result_of(await until_ended(platform, call.id)) == "done"
        await platform.restart()
        kept = await platform.client.call(ops.GET_CALL, path={"id": started.id})
        assert result_of(kept) == "done"


async def test_cancel_asks_the_connector_and_its_outcome_counts(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            started = await platform.call("echo", wait=False)
            await until_called(peer)
            asked = await platform.client.call(ops.CANCEL_CALL, path={"id": started.id})
            assert asked.outcome is None
            await eventually(lambda: peer.of(m.Cancel), what="a cancel message")
            error = m.CallError(code="cancelled", message="Stopped.")
            await peer.send(m.Failure(id=started.id, outcome=m.Outcome.CANCELLED, error=error))
            assert (await until_ended(platform, started.id)).outcome == "cancelled"
            again = await platform.client.call(ops.CANCEL_CALL, path={"id": started.id})
            assert again.outcome == "cancelled"


async def test_a_deadline_ends_a_call_whose_connector_says_nothing(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            reply = await platform.call("echo", timeout_ms=50)
            assert reply.outcome == "timed_out"
            assert isinstance(reply.error, api.CallFailure)
            assert "0.05 s" in reply.error.message
            await eventually(lambda: peer.of(m.Cancel), what="a cancel message")
            await peer.send(m.Result(id=reply.id, result=Raw(b"1")))
            await eventually(lambda: peer.of(m.Receipt), what="a receipt for the late result")
            kept = await platform.client.call(ops.GET_CALL, path={"id": reply.id})
            assert (kept.outcome, kept.late_outcome) == ("timed_out", "succeeded")


async def test_a_connector_that_reports_the_same_deadline_a_moment_later_is_no_late_outcome(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            reply = await platform.call("echo", timeout_ms=50)
            error = m.CallError(code="timed_out", message="The tool was stopped.")
            await peer.send(m.Failure(id=reply.id, outcome=m.Outcome.TIMED_OUT, error=error))
            await eventually(lambda: peer.of(m.Receipt), what="a receipt for the report")
            kept = await platform.client.call(ops.GET_CALL, path={"id": reply.id})
            assert (kept.outcome, kept.late_outcome) == ("timed_out", None)


async def test_the_tools_own_deadline_holds_when_none_is_asked_for(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        tools = [tool("quick", timeout_ms=1234)]
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), tools=tools) as peer:
            await platform.call("quick")
            assert peer.calls[0].remaining_ms == 1234


async def test_an_idempotency_key_gives_the_same_call(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            first = asyncio.create_task(platform.call("echo", {"n": 1}, key="k1"))
            second = asyncio.create_task(platform.call("echo", {"n": 1}, key="k1"))
            call = await until_called(peer)
            polled = await platform.call("echo", {"n": 1}, key="k1", wait=False)
            assert polled.id == call.id
            await peer.send(m.Result(id=call.id, result=Raw(b"7")))
            replies = [await first, await second]
            assert [result_of(reply) for reply in replies] == [7, 7]
            assert {reply.id for reply in replies} == {call.id}
            later = await platform.call("echo", {"n": 1}, key="k1")
            assert (later.id, result_of(later)) == (call.id, 7)
            with pytest.raises(UserError) as refused:
                await platform.call("echo", {"n": 2}, key="k1")
            assert refused.value.code == "idempotency_key_reused"
            assert len(peer.calls) == 1
        await platform.restart()
        after = await platform.call("echo", {"n": 1}, key="k1")
        assert (after.id, result_of(after)) == (call.id, 7)


async def test_who_is_told_an_outcome_by_key_finds_it_kept_already(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        (file,) = [
            path for path in platform.config.data.iterdir() if path.is_file() and path.read_bytes()[:6] == b"SQLite"
        ]
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            for number in range(20):
                reply = await platform.call("echo", {"n": number}, key=f"kept-{number}")
                # As a second process sees it: what the store had not committed a crash would take back.
                with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
                    kept = store.execute("SELECT outcome FROM calls WHERE id = ?", (reply.id,)).fetchone()
                assert kept == ("succeeded",)


async def test_a_refused_call_does_not_use_its_key_up(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        with pytest.raises(NotConnected):
            await platform.call("echo", key="k2")
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            assert (await platform.call("echo", key="k2")).outcome == "succeeded"


async def test_calls_for_an_absent_connector_fail_at_once_and_say_why(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        with pytest.raises(NotConnected) as nobody:
            await platform.call("echo")
        assert nobody.value.code == "connector_unavailable"
        assert nobody.value.message.startswith("connector unavailable")
        edge = await platform.deploy("edge")
        with pytest.raises(NotConnected, match=r"^connector unavailable: deployment 'edge' has never connected"):
            await platform.call("echo")
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            assert (await platform.call("echo", deployment="edge")).outcome == "succeeded"
        await until_offline(platform, edge.id)
        with pytest.raises(NotConnected, match=r"^connector unavailable: deployment 'edge' is offline since "):
            await platform.call("echo")
        for reason, later in (
            ("paused", "paused"),
            ("stopping", "stopped"),
            ("restarting", "restarting"),
            ("asleep", "asleep"),
        ):
            async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as peer:
                await peer.send(m.Goodbye(reason=reason))
                await eventually(
                    lambda: refusal(platform, f"'edge' is {reason} since 2"),  # noqa: B023
                    what=f"no calls after the goodbye of one that is {reason}",
                )
            await until_offline(platform, edge.id)
            with pytest.raises(NotConnected, match=rf"^connector unavailable: deployment 'edge' is {later} since 2"):
                await platform.call("echo")
        await platform.restart()
        with pytest.raises(NotConnected, match=r"^connector unavailable: deployment 'edge' is asleep since "):
            await platform.call("echo")


async def refusal(platform: RunningPlatform, words: str) -> bool:
    try:
        await platform.call("echo")
    except NotConnected as error:
        return words in error.message
    return False


async def until_offline(platform: RunningPlatform, deployment_id: str) -> None:
    async def probe() -> bool:
        return (await platform.deployment(deployment_id)).active_connectors == 0

    await eventually(probe, what="the deployment is offline")


async def test_unknown_tools_name_the_nearest(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        tools = [tool("disk_usage"), tool("echo")]
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), tools=tools):
            for deployment in ("", edge.id):
                with pytest.raises(UserError) as unknown:
                    await platform.call("disk_usge", deployment=deployment)
                assert unknown.value.code == "unknown_tool"
                assert "disk_usage" in unknown.value.hint
            with pytest.raises(UserError) as missing:
                await platform.call("echo", deployment="elsewhere")
            assert missing.value.code == "unknown_deployment"


async def test_an_ambiguous_tool_goes_to_the_least_busy_then_to_the_first_id(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        one, two = await platform.deploy("one"), await platform.deploy("two")
        async with (
            connector(platform.rpc_url, pair(one.id, one.secret), answer=silent) as first,
            connector(platform.rpc_url, pair(two.id, two.secret), answer=silent) as second,
        ):
            started = [await platform.call("echo", wait=False) for _ in range(4)]
            assert [call.deployment for call in started] == [*sorted([one.id, two.id])] * 2
            await eventually(lambda: len(first.calls) == len(second.calls) == 2, what="two calls each")
            listed = await platform.client.call(ops.LIST_TOOLS)
            assert sorted(listed.tools[0].deployments) == sorted([one.id, two.id])


async def test_a_call_whose_link_drops_is_ended_by_a_later_session_of_the_same_deployment(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            started = await platform.call("echo", wait=False, timeout_ms=30_000)
            await until_called(peer)
        await until_offline(platform, edge.id)
        open_still = await platform.client.call(ops.GET_CALL, path={"id": started.id})
        assert open_still.outcome is None
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as again:
            await again.send(m.Result(id=started.id, result=Raw(b"42")))
            assert result_of(await until_ended(platform, started.id)) == 42
            assert again.calls == []


async def test_a_call_whose_link_stays_away_ends_with_outcome_unknown_and_a_late_result_changes_nothing(
    tmp_path: Path,
) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            waiting = asyncio.create_task(platform.call("echo", timeout_ms=600))
            call = await until_called(peer)
        reply = await waiting
        assert reply.outcome == "interrupted"
        assert isinstance(reply.error, api.CallFailure)
        assert reply.error.code == "outcome_unknown"
        assert reply.error.message.startswith("interrupted, outcome unknown")
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as again:
            await again.send(m.Result(id=call.id, result=Raw(b"1")))
            await eventually(lambda: again.of(m.Receipt), what="a receipt for the late result")
            kept = await platform.client.call(ops.GET_CALL, path={"id": call.id})
            assert (kept.outcome, kept.late_outcome) == ("interrupted", "succeeded")


async def test_a_cancel_while_the_link_is_away_reaches_the_next_session(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            started = await platform.call("echo", wait=False)
            await until_called(peer)
        await until_offline(platform, edge.id)
        await platform.client.call(ops.CANCEL_CALL, path={"id": started.id})
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as again:
            await eventually(lambda: again.of(m.Cancel), what="a cancel message")
            assert again.of(m.Cancel)[0].id == started.id


async def test_one_deployment_cannot_answer_for_another(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        one, two = await platform.deploy("one"), await platform.deploy("two")
        async with (
            connector(platform.rpc_url, pair(one.id, one.secret), answer=silent) as honest,
            connector(platform.rpc_url, pair(two.id, two.secret), tools=[tool("other")]) as forger,
        ):
            started = await platform.call("echo", wait=False)
            await until_called(honest)
            await forger.send(m.Result(id=started.id, result=Raw(b'"forged"')))
            await eventually(lambda: forger.of(m.Receipt), what="the forged result was read")
            await honest.send(m.Result(id=started.id, result=Raw(b'"honest"')))
            assert result_of(await until_ended(platform, started.id)) == "honest"


async def test_calls_open_when_the_platform_stops_or_dies_end_with_outcome_unknown(tmp_path: Path) -> None:
    async with running_platform(tmp_path, drain_s=0.1) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            started = await platform.call("echo", wait=False)
            await until_called(peer)
            await platform.restart()
            assert (await peer.closed())[0] == 4503
            drain = peer.of(m.Drain)[0]
            assert 500 <= drain.reconnect_min_ms <= drain.reconnect_max_ms <= 5000
        ended = await platform.client.call(ops.GET_CALL, path={"id": started.id})
        assert ended.outcome == "interrupted"
        assert isinstance(ended.error, api.CallFailure)
        assert ended.error.code == "outcome_unknown"


async def test_a_stop_waits_for_open_calls_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with running_platform(tmp_path, drain_s=20) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), answer=silent) as peer:
            waiting = asyncio.create_task(platform.call("echo"))
            call = await until_called(peer)
            stopping = asyncio.create_task(platform.server.stop())
            await eventually(lambda: peer.of(m.Drain), what="the drain announcement")
            with pytest.raises(NotConnected) as refused:
                await platform.call("echo")
            assert refused.value.code == "draining"
            await peer.send(m.Result(id=call.id, result=Raw(b"1")))
            assert result_of(await waiting) == 1
            await stopping
            assert (await peer.closed())[0] == 4503


async def test_history_is_paged_newest_first(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            ids = [(await platform.call("echo", {"n": n})).id for n in range(5)]
        first = await platform.client.call(ops.LIST_CALLS, query=api.CallQuery(limit=3))
        rest = await platform.client.call(ops.LIST_CALLS, query=api.CallQuery(limit=3, before=first.calls[-1].id))
        assert [call.id for call in [*first.calls, *rest.calls]] == ids[::-1]
        none = await platform.client.call(ops.LIST_CALLS, query=api.CallQuery(tool="other"))
        assert none.calls == []
