"""Sleep signals against a logind that is played on a bus of the test's own."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_connector.net.sleep import SleepSignals
from tests.support.system_bus import PlayedLogind, SystemBus, played_logind, private_system_bus
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"
)


@pytest.fixture
def system_bus(tmp_path: Path) -> Iterator[SystemBus]:
    with private_system_bus(tmp_path) as bus:
        yield bus


class Heard:
    """What a connector would do."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.may_sleep = asyncio.Event()
        self.may_sleep.set()
        self.signals = SleepSignals(on_sleep=self.on_sleep, on_wake=lambda: self.events.append("wake"), again_s=0.05)

    async def on_sleep(self) -> None:
        self.events.append("sleep")
        await self.may_sleep.wait()
        self.events.append("ready")


@asynccontextmanager
async def hearing() -> AsyncIterator[Heard]:
    heard = Heard()
    await heard.signals.start()
    try:
        yield heard
    finally:
        await heard.signals.stop()


async def test_a_suspend_is_held_up_until_everything_is_said_and_the_next_one_again(system_bus: SystemBus) -> None:
    async with played_logind(system_bus) as logind:
        async with hearing() as heard:
            await logind.until_held()
            assert logind.inhibitors == [
                ["sleep", "Edge Connector", "Tells the platform that this machine sleeps", "delay"]
            ]
            for times in (1, 2):
                heard.may_sleep.clear()
                await logind.prepare_for_sleep(True)
                await eventually(lambda: heard.events[-1:] == ["sleep"], what="the news")
                assert logind.held == 1, "the suspend waits while things are said"
                heard.may_sleep.set()
                await logind.until_released()
                assert heard.events == ["sleep", "ready", "wake"] * (times - 1) + ["sleep", "ready"]
                await logind.prepare_for_sleep(False)
                await logind.until_held()
                assert heard.events == ["sleep", "ready", "wake"] * times
        await logind.until_released()


async def test_the_suspend_is_not_held_up_for_longer_than_the_limit(
    system_bus: SystemBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_connector.net.sleep.GOING_TO_SLEEP_S", 0.05)
    async with played_logind(system_bus) as logind, hearing() as heard:
        await logind.until_held()
        heard.may_sleep.clear()
        await logind.prepare_for_sleep(True)
        await logind.until_released()
        assert heard.events == ["sleep"]


async def test_logind_that_comes_later_is_found(system_bus: SystemBus) -> None:
    async with hearing() as heard:
        await asyncio.sleep(0)
        assert not heard.signals.is_listening
        async with played_logind(system_bus) as logind:
            await logind.until_held()


async def test_a_bus_lost_in_a_suspend_is_a_wake_up_and_is_looked_for_again(system_bus: SystemBus) -> None:
    async with hearing() as heard:
        async with played_logind(system_bus) as logind:
            await logind.until_held()
            await logind.prepare_for_sleep(True)
            await logind.until_released()
            system_bus.stop()
            await eventually(lambda: heard.events == ["sleep", "ready", "wake"], what="the wake-up")
        system_bus.start()
        async with played_logind(system_bus) as logind:
            await logind.until_held()


async def test_without_a_system_bus_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr("edge_connector.net.sleep._BUS_SOCKETS", ("/nonexistent/bus",))
    before = set(asyncio.all_tasks())
    async with hearing() as heard:
        assert set(asyncio.all_tasks()) == before, "nothing waits for a bus that cannot come"
        assert not heard.signals.is_listening


async def test_the_news_of_others_on_the_bus_is_not_taken(system_bus: SystemBus) -> None:
    async with played_logind(system_bus) as logind, hearing() as heard:
        await logind.until_held()
        await _signal_from_elsewhere(system_bus)
        await logind.prepare_for_sleep(False)
        await eventually(lambda: heard.events, what="the news of logind")
        assert heard.events == ["wake"]


async def _signal_from_elsewhere(system_bus: SystemBus) -> None:
    from dbus_fast import BusType
    from dbus_fast.aio import MessageBus

    other = await MessageBus(bus_address=system_bus.address, bus_type=BusType.SYSTEM).connect()
    await PlayedLogind(other).prepare_for_sleep(True)
    other.disconnect()
    await other.wait_for_disconnect()  # type: ignore[no-untyped-call]
