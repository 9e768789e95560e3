"""Tool RPC sessions on a real platform: who gets in, duplicates, bad frames, status, probe, callers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest
from msgspec import Raw
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.people import RotateRequest
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.tool_rpc import connection
from edge_connector.wire import messages as m
from tests.support.peers import HELLO, caller, close_of, connector, dial, pair, tool
from tests.support.real_platform import running_platform
from tests.support.waiting import eventually


async def test_an_upgrade_without_credentials_or_subprotocol_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        with pytest.raises(InvalidStatus) as missing:
            await dial(platform.rpc_url, None)
        assert missing.value.response.status_code == 401
        assert b"credentials_missing" in (missing.value.response.body or b"")
        with pytest.raises(InvalidStatus) as basic:
            await dial(platform.rpc_url, "Basic YTpi")
        assert basic.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as other:
            await dial(platform.rpc_url, "Deployment a:b", subprotocol=None)
        assert other.value.response.status_code == 400
        assert m.SUBPROTOCOL.encode() in (other.value.response.body or b"")
        address = platform.rpc_url.replace("ws", "http", 1)
        async with aiohttp.ClientSession() as http, http.get(address) as reply:
            assert reply.status == 426
            assert (await reply.json())["error"]["code"] == "websocket_only"
        with pytest.raises(InvalidStatus) as wrong_port:
            await dial(platform.api_url.replace("http", "ws", 1), "Deployment a:b")
        assert platform.rpc_url.encode() in (wrong_port.value.response.body or b"")


async def test_refused_credentials_and_roles_get_their_close_codes(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        url = platform.rpc_url
        as_caller = msgspec.json.encode(m.Hello(versions=[1], role=m.Role.CALLER)).decode()
        assert (await close_of(url, pair(edge.id, "sec_wrong"), HELLO))[0] == 4401
        assert (await close_of(url, "Bearer ect_wrong", HELLO))[0] == 4401
        assert (await close_of(url, f"Bearer {platform.session_token}x", HELLO))[0] == 4401
        assert (await close_of(url, f"Bearer {platform.server_token}", HELLO))[0] == 4403
        assert (await close_of(url, pair(edge.id, edge.secret), as_caller))[0] == 4403
        nameless = msgspec.json.encode(m.Hello(versions=[1])).decode()
        assert (await close_of(url, f"Bearer {platform.session_token}", nameless))[0] == 4403


async def test_malformed_and_misplaced_frames_get_their_close_codes(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        url, auth = platform.rpc_url, pair(edge.id, edge.secret)
        assert (await close_of(url, auth, "{"))[0] == 4400
        assert (await close_of(url, auth, "[" * 100_000))[0] == 4400
        assert (await close_of(url, auth, '{"type":"hello","versions":"x"}'))[0] == 4400
        assert (await close_of(url, auth, '{"type":"hello","versions":[99]}'))[0] == 4406
        assert (await close_of(url, auth, '{"type":"result","id":"1","result":1}'))[0] == 4422
        assert (await close_of(url, auth, HELLO, '{"type":"result","id":"1","result":1}'))[0] == 4422
        assert (await platform.deployment(edge.id)).active_connectors == 0


async def test_oversize_frames_end_with_a_named_code_and_without_filling_memory(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        url, auth = platform.rpc_url, pair(edge.id, edge.secret)
        code, reason = await close_of(url, auth, "x" * (m.MAX_FRAME_BYTES + 1))
        assert (code, str(m.MAX_FRAME_BYTES) in reason) == (4413, True)
        # Far over the limit the frame is refused by its header: 1009 of RFC 6455, or a cut when it is still being sent.
        assert (await close_of(url, auth, b"x" * 100_000_000))[0] in (1006, 1009)
        async with connector(url, auth):
            assert (await platform.call("echo", {"a": 1})).outcome == "succeeded"


async def test_the_same_installation_replaces_its_own_session(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        auth = pair(edge.id, edge.secret)
        async with connector(platform.rpc_url, auth) as old, connector(platform.rpc_url, auth) as new:
            assert (await old.closed())[0] == 4001
            await platform.call("echo")
            assert (len(old.calls), len(new.calls)) == (0, 1)
            assert (await platform.deployment(edge.id)).active_connectors == 1


async def test_another_installation_is_refused_unless_it_takes_over(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        auth = pair(edge.id, edge.secret)
        async with connector(platform.rpc_url, auth, host="box-a") as first:
            async with connector(platform.rpc_url, auth, instance_id="other", register=False, serve=False) as refused:
                with pytest.raises(ConnectionClosed):
                    await refused.socket.recv()
                code, reason = await refused.closed()
                assert code == 4409
                assert reason.startswith("Deployment already connected (host box-a, since 20")
            assert (await platform.call("echo")).outcome == "succeeded"
            async with connector(platform.rpc_url, auth, instance_id="other", host="box-b", take_over=True) as second:
                assert (await first.closed())[0] == 4002
                await platform.call("echo")
                assert len(second.calls) == 1


async def test_a_person_signs_a_connector_in_and_gets_a_desktop_deployment_named_after_the_host(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        auth = f"Bearer {platform.session_token}"
        for _ in range(2):
            async with connector(platform.rpc_url, auth, instance_id="laptop-1", host="laptop") as peer:
                welcome = peer.of(m.Welcome)[0]
                assert welcome.deployment == "laptop"
        async with connector(platform.rpc_url, auth, instance_id="laptop-2", host="laptop"):
            listed = (await platform.client.call(ops.LIST_DEPLOYMENTS)).deployments
            assert [(d.name, d.type, d.runtime_kind) for d in listed] == [
                ("laptop", "DESKTOP", "edge-device"),
                ("laptop 2", "DESKTOP", "edge-device"),
            ]


async def test_deleting_and_rotating_close_the_session(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as peer:
            fresh = await platform.client.call(ops.ROTATE_SECRET, RotateRequest(keep_old_for_s=0), path={"id": edge.id})
            assert (await peer.closed())[0] == 4410
        assert (await close_of(platform.rpc_url, pair(edge.id, edge.secret), HELLO))[0] == 4401
        async with connector(platform.rpc_url, pair(edge.id, fresh.secret)) as peer:
            await platform.client.call(ops.DELETE_DEPLOYMENT, path={"id": edge.id})
            assert (await peer.closed())[0] == 4404
        assert (await platform.client.call(ops.LIST_DEPLOYMENTS)).deployments == []
        assert await platform.tool_names() == []


async def test_status_is_shown_by_the_api(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), host="box") as peer:
            await peer.send(
                m.Status(
                    state="working_with_problems",
                    problems=[m.ProblemInfo(code="disk_low", sentence="Little space is left.")],
                    bundle=m.BundleInfo(bundle_id="b1", name="tools", version=3),
                    proof_age_ms=1200,
                    load=m.Load(running=1, slots=4),
                )
            )

            async def shown() -> bool:
                return (await platform.deployment(edge.id)).connectors[0].state == "working_with_problems"

            await eventually(shown, what="the status is shown")
            deployment = await platform.deployment(edge.id)
            assert (deployment.status, deployment.active_connectors) == ("Active", 1)
            one = deployment.connectors[0]
            assert (one.online, one.host, one.tool_count, one.problems[0].code) == (True, "box", 1, "disk_low")
            assert (one.load.slots, one.bundle and one.bundle.version) == (4, 3)
            assert one.proof_age_ms >= 1200
            assert one.last_seen_at


async def test_a_probe_is_answered_with_an_ordinary_echo_call_that_leaves_no_trace(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as peer:
            await peer.send(m.Probe(probe="nonce-1"))
            await eventually(lambda: peer.of(m.Receipt), what="a receipt for the probe's call")
            assert (peer.calls[0].tool, peer.calls[0].probe) == ("echo", "nonce-1")
            assert bytes(peer.calls[0].arguments) == b'{"message":"nonce-1"}'
            assert peer.of(m.Welcome)[0].features == ["probe", "parts", "references"]
            assert (await platform.client.call(ops.LIST_CALLS)).calls == []


async def test_heartbeats_are_answered_and_webhooks_refused_for_now(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as peer:
            # The peer's own session consumes the acknowledgement and measures the round trip with it.
            assert peer.session.tick(now=peer.session.next_wakeup() + 0.001)
            await peer.flush()
            await eventually(lambda: peer.session.round_trip_s is not None, what="a heartbeat was answered")
            await peer.send(
                m.Webhook(id="w1", source="s", received_at=1.0, method="POST", target="/x", headers=[], body=b"1")
            )
            await eventually(lambda: peer.of(m.WebhookReceipt), what="a webhook receipt")
            receipt = peer.of(m.WebhookReceipt)[0]
            assert (receipt.id, receipt.accepted, receipt.reason) == ("w1", False, "no such webhook source")


async def test_registering_again_replaces_the_tools_and_bad_ones_are_named(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        tools = [tool("a"), tool("a"), tool("b", risk="newer"), tool("c", parameters=Raw(b"[]")), tool("")]
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), tools=tools) as peer:
            answer = peer.of(m.Registered)[0]
            assert answer.accepted == 2
            assert [refused.name for refused in answer.rejected] == ["a", "c", ""]
            assert await platform.tool_names() == ["a", "b"]
            peer.session.register([tool("z")], runtime=m.RuntimeInfo(), bundle=None, now=0.0)
            await peer.flush()
            await eventually(lambda: len(peer.of(m.Registered)) == 2, what="registered again")
            assert await platform.tool_names() == ["z"]


async def test_a_caller_session_calls_reports_progress_and_cancels(tmp_path: Path) -> None:
    def answer(call: m.Call) -> m.Message | None:
        return None if call.tool == "slow" else m.Result(id=call.id, result=call.arguments)

    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        tools = [tool("echo"), tool("slow")]
        async with (
            connector(platform.rpc_url, pair(edge.id, edge.secret), tools=tools, answer=answer) as peer,
            caller(platform.rpc_url, f"Bearer {platform.server_token}") as program,
        ):
            await program.call("mine-1", "echo", {"x": 1})
            result = await program.until(m.Result, "mine-1")
            assert bytes(result.result) == b'{"x":1}'
            await program.call("mine-2", "slow", {})
            await eventually(lambda: len(peer.calls) == 2, what="the slow call")
            await program.call("mine-2", "slow", {})
            await program.until(m.Accepted, "mine-2")
            assert len(peer.calls) == 2
            program.received.clear()
            inner = peer.calls[1].id
            await peer.send(m.Accepted(id=inner))
            await peer.send(m.Progress(id=inner, fraction=0.25))
            assert (await program.until(m.Progress, "mine-2")).fraction == 0.25
            await program.send(m.Cancel(id="mine-2"))
            await eventually(lambda: peer.of(m.Cancel), what="a cancel message")
            error = m.CallError(code="cancelled", message="Stopped.")
            await peer.send(m.Failure(id=inner, outcome=m.Outcome.CANCELLED, error=error))
            assert (await program.until(m.Failure, "mine-2")).outcome is m.Outcome.CANCELLED
            await program.call("mine-3", "nothing", {})
            assert (await program.until(m.Failure, "mine-3")).error.code == "unknown_tool"
            history = (await platform.client.call(ops.LIST_CALLS)).calls
            assert sorted(call.outcome or "" for call in history) == ["cancelled", "succeeded"]


async def test_the_same_id_of_a_caller_is_the_same_call_across_sessions(tmp_path: Path) -> None:
    def answer(call: m.Call) -> m.Message | None:
        return None if call.tool == "slow" else m.Result(id=call.id, result=call.arguments)

    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        tools = [tool("echo"), tool("slow")]
        token = f"Bearer {platform.server_token}"
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), tools=tools, answer=answer) as peer:
            async with caller(platform.rpc_url, token) as program:
                await program.call("a", "echo", {"x": 1})
                await program.until(m.Result, "a")
                await program.call("b", "slow", {})
                await eventually(lambda: len(peer.calls) == 2, what="the slow call")
            async with caller(platform.rpc_url, token) as program:
                await program.call("a", "echo", {"x": 2})
                assert bytes((await program.until(m.Result, "a")).result) == b'{"x":1}'
                await program.call("b", "slow", {})
                await program.until(m.Accepted, "b")
                await peer.send(m.Result(id=peer.calls[1].id, result=Raw(b"7")))
                assert bytes((await program.until(m.Result, "b")).result) == b"7"
            assert len(peer.calls) == 2
            other = (await platform.client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name="other"))).token
            async with caller(platform.rpc_url, f"Bearer {other}") as program:
                await program.call("a", "echo", {"x": 3})
                assert bytes((await program.until(m.Result, "a")).result) == b'{"x":3}'


async def test_sessions_end_with_the_token_that_opened_them(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        key = SigningKey.load_or_create(platform.config.data / "signing-key.pem")
        expires = int(time.time()) + 2
        claims = {"sub": platform.user_id, "orgId": platform.organization_id, "exp": expires}
        short = f"Bearer {key.sign(claims)}"
        edge = await platform.deploy()
        async with (
            connector(platform.rpc_url, pair(edge.id, edge.secret)) as lasting,
            connector(platform.rpc_url, short, instance_id="laptop") as peer,
            caller(platform.rpc_url, short) as program,
        ):
            assert (await peer.closed())[0] == 4410
            assert time.time() >= expires
            with pytest.raises(ConnectionClosed):
                await program.until(m.Drain)
            assert (program.socket.close_code, program.socket.close_reason) == (4410, "the session token has expired")
            assert lasting.socket.close_code is None


async def test_what_a_caller_sends_never_makes_a_frame_that_cuts_the_connectors_link(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        token = f"Bearer {platform.server_token}"
        async with (
            connector(platform.rpc_url, pair(edge.id, edge.secret)) as peer,
            caller(platform.rpc_url, token) as c,
        ):
            await c.call("a", "echo", {"text": "x" * (m.MAX_FRAME_BYTES - 200)})
            refused = await c.until(m.Failure, "a")
            assert (refused.outcome, refused.error.code) == (m.Outcome.REFUSED, "invalid_arguments")
            assert "$.arguments" in refused.error.message
            for field in ("agent", "user"):
                await c.call(field, "echo", {}, context=m.CallContext(**{field: "x" * 201}))
                refused = await c.until(m.Failure, field)
                assert (refused.outcome, refused.error.code) == (m.Outcome.REFUSED, "invalid_arguments")
                assert f"$.context.{field}" in refused.error.message
            await c.call("tool", "x" * 201, {})
            assert "$.tool" in (await c.until(m.Failure, "tool")).error.message
            await c.call("b", "echo", {"text": "x" * 8_000_000}, context=m.CallContext(agent="ü" * 200, user="y" * 200))
            await c.until(m.Result, "b")
            assert (len(peer.calls), peer.socket.close_code) == (1, None)


async def test_a_caller_that_lets_too_much_pile_up_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_OUTBOX_BYTES", 5_000_000)
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        token = f"Bearer {platform.server_token}"
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)), caller(platform.rpc_url, token) as program:
            await program.call("a", "echo", {"text": "x" * 1_000_000})
            await program.until(m.Result, "a")
            again = msgspec.json.encode([m.Call(id="a", tool="echo", arguments=Raw(b"{}"))] * 60)
            await program.socket.send(again, text=True)
            with pytest.raises(ConnectionClosed):
                await program.until(m.Drain)
            assert program.socket.close_code == 4429
            assert len(program.received) < 10
            assert (await platform.call("echo")).outcome == "succeeded"


async def test_many_connectors_open_and_call_at_once(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        deployments = [await platform.deploy(f"edge-{n}") for n in range(100)]

        async def once(deployment_id: str, secret: str) -> None:
            async with connector(platform.rpc_url, pair(deployment_id, secret)):
                reply = await platform.call("echo", deployment=deployment_id)
                assert reply.deployment == deployment_id

        await asyncio.gather(*(once(d.id, d.secret) for d in deployments))
