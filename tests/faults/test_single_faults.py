"""One fault at a time, each with the one thing that has to follow from it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from edge_connector.cli.drill.proxy import Way
from edge_connector.core.status import LinkPhase, State
from edge_connector.wire.close_codes import RETRY, CloseCode, Retry
from tests.faults.behind_proxy import Trio, behind_proxy
from tests.support.real_platform import result_of
from tests.support.waiting import eventually

HEARTBEAT_S = 0.4
SILENCE_S = 2.5 * HEARTBEAT_S
GIVING_UP_S = 2.0
"""A close frame gets this long to be answered; the peer that is gone does not."""
SLOW_MACHINE_S = 3.0

CODES = [
    (CloseCode.GOING_AWAY, "disconnected"),
    (CloseCode.REPLACED, "replaced"),
    (CloseCode.TAKEN_OVER, "taken_over"),
    (CloseCode.MALFORMED, "protocol_broken"),
    (CloseCode.UNAUTHORIZED, "credentials_refused"),
    (CloseCode.FORBIDDEN, "forbidden"),
    (CloseCode.DEPLOYMENT_GONE, "deployment_gone"),
    (CloseCode.VERSION_UNSUPPORTED, "version_unsupported"),
    (CloseCode.SILENT, "disconnected"),
    (CloseCode.ALREADY_CONNECTED, "deployment_already_connected"),
    (CloseCode.REVOKED, "credentials_revoked"),
    (CloseCode.TOO_LARGE, "protocol_broken"),
    (CloseCode.OUT_OF_ORDER, "protocol_broken"),
    (CloseCode.TOO_MANY, "disconnected"),
    (CloseCode.INTERNAL, "disconnected"),
    (CloseCode.DRAINING, "disconnected"),
    # Not of the protocol: a gateway that restarts, and a code that nobody knows.
    (1001, "disconnected"),
    (1012, "disconnected"),
    (4999, "disconnected"),
]
DELAYS = {Retry.BACKOFF: (4.0, 6.0), Retry.SLOW: (59.0, 60.0), Retry.NEVER: (299.0, 300.0)}


async def _echo(trio: Trio) -> None:
    assert result_of(await trio.call("echo", {"message": 7})) == {"message": 7}


async def test_a_half_open_link_is_noticed_by_silence_at_both_ends(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path, heartbeat_s=HEARTBEAT_S) as trio:
        # Longer than the silence limit: what lives is not given up.
        await asyncio.sleep(SILENCE_S * 1.5)
        assert trio.status.link.reconnects == 0
        trio.proxy.half_open()
        from_now = time.monotonic()

        async def platform_noticed() -> bool:
            return (await trio.platform.deployment(trio.deployment.id)).active_connectors == 0

        await eventually(platform_noticed, what="the platform to give the link up")
        assert time.monotonic() - from_now < SILENCE_S + SLOW_MACHINE_S
        await eventually(lambda: "platform_silent" in trio.problems, what="the connector to give the link up")
        assert time.monotonic() - from_now < SILENCE_S + GIVING_UP_S + SLOW_MACHINE_S
        status = await trio.until_down()
        assert status.state is State.CONNECTING
        assert f"nothing received for {SILENCE_S:.0f} s" in trio.problems["platform_silent"]
        await trio.again()
        await _echo(trio)


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_corrupt_frame_ends_the_session_and_the_next_one_works(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, way: Way
) -> None:
    async with behind_proxy(tmp_path) as trio:
        waiting = asyncio.create_task(trio.call("echo", {"message": 1}, timeout_ms=20_000))
        try:
            trio.proxy.corrupt(way)
            await trio.until_down()
            # Whichever end finds it closes with 4400.
            assert "frame is not JSON" in trio.problems["protocol_broken"]
            await trio.again()
            await _echo(trio)
        finally:
            waiting.cancel()
            await asyncio.wait({waiting})
    # What a peer sends is no bug of ours, and not worth a traceback.
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


async def test_a_torn_frame_is_a_lost_link(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as trio:
        trio.proxy.tear()
        waiting = asyncio.create_task(trio.call("echo", {"message": 1}, timeout_ms=1_000))
        status = await trio.until_down()
        assert "disconnected" in trio.problems and "ECONNRESET" in status.link.last_error
        assert (await waiting).outcome == "interrupted"
        await trio.again()


async def test_a_gateway_without_its_upstream_backs_off_and_is_named(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as trio:
        trio.proxy.refuse(502)
        trio.proxy.cut(reset=False)
        # Documented: 5, 10, 20, 40, 60, 60 s. The first is the cut after a proof, the others are refusals.
        for attempt, (low, high) in enumerate(((5, 6), (10, 12), (20, 24), (40, 48), (48, 60), (48, 60)), start=1):
            status = await trio.until_down(attempt=attempt)
            assert status.link.next_attempt_in_s is not None
            assert low - 1 <= status.link.next_attempt_in_s <= high, f"attempt {attempt}"
            if attempt > 1:
                sentence = trio.problems["platform_unreachable"]
                assert "HTTP 502 from a proxy (fault-proxy)" in sentence
            trio.runtime.redial("test")
        assert trio.proxy.refused >= 5
        trio.proxy.lift()
        await trio.again()


async def test_every_close_code_is_retried_as_its_class_says(tmp_path: Path) -> None:
    assert {int(code) for code, _ in CODES} >= set(RETRY)
    async with behind_proxy(tmp_path) as trio:
        for code, problem in CODES:
            retry = RETRY.get(code, Retry.BACKOFF)
            trio.proxy.close_with(code, f"a test closed with {int(code)}")
            status = await trio.until_down()
            assert problem in trio.problems, f"{int(code)}: {trio.problems}"
            assert str(int(code)) in status.link.last_error
            refused = retry is Retry.NEVER
            assert (status.link.phase is LinkPhase.REFUSED) is refused, int(code)
            assert status.state is (State.NEEDS_YOU if refused else State.CONNECTING), int(code)
            low, high = DELAYS[retry]
            assert status.link.next_attempt_in_s is not None
            assert low <= status.link.next_attempt_in_s <= high, f"{int(code)}: {status.link.next_attempt_in_s}"
            await trio.again()


async def test_a_frozen_link_loses_nothing_when_it_thaws_in_time(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as trio:
        trio.proxy.freeze()
        waiting = [asyncio.create_task(trio.call("echo", {"message": number})) for number in range(20)]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting)
        trio.proxy.lift()
        replies = await asyncio.gather(*waiting)
        assert [result_of(reply) for reply in replies] == [{"message": number} for number in range(20)]
        assert trio.status.link.reconnects == 0


async def test_a_slow_link_is_slow_and_whole(tmp_path: Path) -> None:
    async with behind_proxy(tmp_path) as trio:
        trio.proxy.slow(200_000)
        text = "x" * 100_000
        assert result_of(await trio.call("echo", {"message": text})) == {"message": text}
        trio.proxy.lift()
        trio.proxy.delay(0.05)
        await _echo(trio)
        assert trio.status.link.reconnects == 0
