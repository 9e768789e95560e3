"""The platform is not there yet, goes in order, is killed, or falls silent: the connector comes back by itself."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from edge_connector.core.errors import NotConnected
from edge_connector.wire import messages as m
from tests.e2e.access import Access, Served, access_to, own_platform, result_of, set_up
from tests.support.connector_process import running_connector
from tests.support.processes import PlatformProcess, ports_of
from tests.support.scripted_platform import ScriptedPlatform
from tests.support.waiting import eventually


async def test_not_there_yet_shows_cause_and_next_attempt_in_documented_steps(access: Access, home: Path) -> None:
    environment = access.environment(await access.deploy("early"), TOOL_RPC_URL="ws://127.0.0.1:9")
    async with running_connector(home, environment) as connector:
        # Documented: 5, 10, 20, 40, 60, 60 s; jitter lies above, at the cap below.
        for attempt, (low, high) in enumerate(((5, 6), (10, 12), (20, 24), (40, 48), (48, 60), (48, 60)), start=1):
            status = await connector.until_status(
                lambda status, attempt=attempt: (
                    status["link"]["phase"] == "waiting" and status["link"]["attempt"] == attempt
                ),
                what=f"attempt {attempt} to fail",
            )
            next_s = status["link"]["nextAttemptInS"]
            assert low - 1 <= next_s <= high, f"attempt {attempt}: {next_s} s"
            delay_s = _announced_delay_s(connector.log, attempt)
            assert low <= delay_s <= high, f"attempt {attempt}: {delay_s} s"
            assert status["state"] == "connecting"
            assert status["sentence"] == f"Connecting · next attempt in {int(next_s)} s"
            assert "ECONNREFUSED" in status["link"]["lastError"]
            (problem,) = status["problems"]
            assert problem["code"] == "platform_unreachable" and "ECONNREFUSED" in problem["sentence"]
            assert "TOOL_RPC_URL" in problem["fix"]
            await connector.request("redial")
        assert "ECONNREFUSED" in connector.log
        shown = await connector.command("status")
        assert shown.code == 1 and "ECONNREFUSED" in shown.out and "next attempt in" in shown.out


async def test_a_host_that_does_not_exist_is_named(access: Access, home: Path) -> None:
    environment = access.environment(await access.deploy("lost"), TOOL_RPC_URL="ws://no-such-host.invalid:3001")
    async with running_connector(home, environment) as connector:
        status = await connector.until_problem("host_not_found")
        assert "no-such-host.invalid" in status["problems"][0]["sentence"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["in order", "killed"])
async def test_a_platform_restart_is_survived(tmp_path: Path, tool_folder: Path, number: signal.Signals) -> None:
    async with own_platform(tmp_path / "data") as first:
        served, ports = await set_up(first), ports_of(first)
        async with (
            access_to(served) as access,
            access.connector(tmp_path / "home", CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed,
        ):
            connector = fixed.process
            tools = await access.tool_names(fixed.deployment.id)
            assert "twice" in tools
            open_call = await fixed.begin_hold(tmp_path / "gate") if number is signal.SIGKILL else ""
            assert await first.stop(number) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
            await connector.until_log("Disconnected from platform server")
            status = await connector.until_status(
                lambda status: status["state"] == "connecting" and status["link"]["nextAttemptInS"] is not None,
                what="the link to be down",
            )
            # Announced in order, the window of the drain counts; killed, the documented first delay.
            delay_s = _announced_delay_s(connector.log, 1)
            assert 0.5 <= delay_s <= 5.0 if number is signal.SIGTERM else 5.0 <= delay_s <= 6.0
            assert (await connector.health("/healthz"))[0] == 503
            with pytest.raises(NotConnected):
                await fixed.call("twice", {"text": "x"})

            second = PlatformProcess(tmp_path / "data", api_port=ports.api, rpc_port=ports.rpc)
            try:
                await second.until_serving()
                await connector.request("redial")
                status = await connector.until_state("working")
                assert status["link"]["reconnects"] >= 1
                assert await access.tool_names(fixed.deployment.id) == tools
                assert result_of(await fixed.call("twice", {"text": "ab"})) == "abab"
                if open_call:
                    ended = await access.ended(open_call)
                    assert ended.outcome == "interrupted" and ended.error is not None
                    assert ended.error.code == "outcome_unknown"
                    (tmp_path / "gate").touch()

                    async def late() -> bool:
                        return (await access.look(open_call)).late_outcome == "succeeded"

                    await eventually(late, what="the late result to go to the history")
                assert await connector.stop() == 0
            finally:
                await second.close()


async def test_a_call_that_runs_while_the_platform_drains_is_delivered(tmp_path: Path, tool_folder: Path) -> None:
    async with own_platform(tmp_path / "data") as platform:
        served = await set_up(platform)
        async with (
            access_to(served) as access,
            access.connector(tmp_path / "home", CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed,
        ):
            call_id = await fixed.begin_hold(tmp_path / "gate")
            platform.send(signal.SIGTERM)
            await platform.until_log("platform stops")
            (tmp_path / "gate").touch()
            assert await platform.wait() == 0
            assert await fixed.process.stop() == 0
        again = PlatformProcess(tmp_path / "data")
        try:
            await again.until_serving()
            async with access_to(Served(again.api_url, again.rpc_url, served.server_token)) as access:
                assert result_of(await access.look(call_id)) == "held"
        finally:
            await again.close()


async def test_a_silent_platform_is_given_up_and_dialled_again(home: Path, access: Access) -> None:
    async with ScriptedPlatform() as platform:
        platform.heartbeat_s, platform.silence_s = 0.2, 0.8
        pair = await access.deploy("silence")
        environment = access.environment(pair, TOOL_RPC_URL=platform.url)
        async with running_connector(home, environment) as connector:
            session = await platform.open_session()
            await connector.until_status(lambda status: status["link"]["phase"] == "open", what="the link to open")
            session.mute = True
            muted_at = time.monotonic()
            status = await connector.until_problem("platform_silent")
            assert 0.4 < time.monotonic() - muted_at < 6.0
            assert status["state"] == "connecting" and status["link"]["phase"] == "waiting"
            assert "Disconnected from platform server cause=platform_silent" in connector.log
            assert await session.closed() in (4408, 1006)
            await connector.request("redial")
            second = await platform.open_session(2)
            assert second.of(m.Hello)[0].instance_id == session.of(m.Hello)[0].instance_id
            assert [tool.name for tool in second.of(m.Register)[0].tools] == [
                tool.name for tool in session.of(m.Register)[0].tools
            ]


async def test_a_platform_that_accepts_and_never_welcomes_is_given_up(home: Path, access: Access) -> None:
    async with ScriptedPlatform() as platform:
        platform.welcome_gate.clear()
        environment = access.environment(await access.deploy("limbo"), TOOL_RPC_URL=platform.url)
        async with running_connector(home, environment) as connector:
            await platform.session()
            assert (await connector.health("/healthz"))[0] == 503
            status = await connector.until_status(
                lambda status: status["link"]["phase"] == "waiting", what="the handshake to be given up"
            )
            assert status["problems"][0]["severity"] == "error"
            platform.welcome_gate.set()


def _announced_delay_s(log: str, number: int) -> float:
    """The delay that the log announced after the failure with this number, counted from 1."""
    lines = [line for line in log.splitlines() if "next_attempt_in_s=" in line]
    return float(lines[number - 1].rpartition("next_attempt_in_s=")[2])
