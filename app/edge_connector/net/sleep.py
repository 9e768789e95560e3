"""Hears from logind that the machine is about to suspend or has resumed, and holds the suspend up for a moment.

The delay inhibitor is a file descriptor: while it is open logind waits with the suspend, up to its own limit of five
seconds (org.freedesktop.login1(5), Inhibit and PrepareForSleep; InhibitDelayMaxSec in logind.conf(5)). Without logind
nothing is told: suspend is then found by the clocks (`net.wakeup`).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from edge_connector.core.tasks import TaskOwner

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

log = logging.getLogger(__name__)

GOING_TO_SLEEP_S = 3.0
"""The suspend is held up at most this long."""
REPLY_S = 10.0
AGAIN_S = 60.0
"""After the bus or logind was lost, or was not there."""
DESTINATION = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
INTERFACE = "org.freedesktop.login1.Manager"
_BUS_SOCKETS = ("/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket")
_BUS_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"


class SleepSignals:
    """Calls `on_sleep` before a suspend and `on_wake` after it. A `core.services.Service`."""

    name = "sleep"

    def __init__(
        self, *, on_sleep: Callable[[], Awaitable[None]], on_wake: Callable[[], None], again_s: float = AGAIN_S
    ) -> None:
        """`on_sleep` is cut off after three seconds; `on_wake` also comes when the bus is lost during a suspend."""
        self._on_sleep = on_sleep
        self._on_wake = on_wake
        self._again_s = again_s
        self._tasks = TaskOwner("sleep")
        self._inhibitor: int | None = None
        self.is_listening = False
        """Whether logind would tell of a suspend now."""

    async def start(self) -> None:
        """Begin to listen, where there is a system bus."""
        if _has_system_bus():
            self._tasks.spawn(self._run(), name="logind")
        else:
            log.debug("no system bus: a suspend is found by the clocks only")

    async def stop(self) -> None:
        """Listen no more, and hold up no suspend."""
        await self._tasks.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # whatever the library and the bus have to say, it is no reason to fail
                log.debug("logind tells nothing: %r", error)
            await asyncio.sleep(self._again_s)

    async def _listen(self) -> None:
        # Only here, because it costs 4 MB and 50 ms and most containers have no system bus; beside the loop, because
        # the link is being dialled now.
        await asyncio.to_thread(importlib.import_module, "dbus_fast.aio")
        from dbus_fast import BusType
        from dbus_fast.aio import MessageBus

        news: asyncio.Queue[bool | None] = asyncio.Queue()
        tasks = TaskOwner("sleep.bus")
        async with asyncio.timeout(REPLY_S):
            bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
        try:
            bus.add_message_handler(lambda message: _take_news(message, news))
            tasks.spawn(_tell_end(bus, news), name="end")
            await self._subscribe(bus)
            await self._inhibit(bus)
            self.is_listening = True
            log.debug("logind tells of suspend and resume")
            await self._follow(bus, news)
        finally:
            self.is_listening = False
            self._release()
            bus.disconnect()
            await tasks.close()

    async def _follow(self, bus: MessageBus, news: asyncio.Queue[bool | None]) -> None:
        is_asleep = False
        while (going := await news.get()) is not None:
            if going:
                is_asleep = True
                try:
                    async with asyncio.timeout(GOING_TO_SLEEP_S):
                        await self._on_sleep()
                except TimeoutError:
                    log.warning("getting ready for the suspend took longer than %.0f s", GOING_TO_SLEEP_S)
                finally:
                    self._release()
            else:
                is_asleep = False
                self._on_wake()
                await self._inhibit(bus)
        if is_asleep:
            self._on_wake()

    async def _subscribe(self, bus: MessageBus) -> None:
        rule = f"type='signal',sender='{DESTINATION}',path='{PATH}',interface='{INTERFACE}',member='PrepareForSleep'"
        await _ask(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", rule)

    async def _inhibit(self, bus: MessageBus) -> None:
        if self._inhibitor is not None:
            return
        words = ("sleep", "Edge Connector", "Tells the platform that this machine sleeps", "delay")
        reply = await _ask(bus, DESTINATION, PATH, INTERFACE, "Inhibit", *words)
        self._inhibitor = reply.unix_fds[reply.body[0]]
        os.set_inheritable(self._inhibitor, False)

    def _release(self) -> None:
        if self._inhibitor is not None:
            os.close(self._inhibitor)
            self._inhibitor = None


async def _ask(bus: MessageBus, destination: str, path: str, interface: str, member: str, *words: str) -> Message:
    from dbus_fast import Message, MessageType

    async with asyncio.timeout(REPLY_S):
        reply = await bus.call(
            Message(
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature="s" * len(words),
                body=list(words),
            )
        )
    assert reply is not None, "a call has a reply"
    if reply.message_type is MessageType.ERROR:
        raise ConnectionError(f"{member}: {reply.error_name} {' '.join(map(str, reply.body))}")
    return reply


def _take_news(message: Message, news: asyncio.Queue[bool | None]) -> None:
    if message.interface == INTERFACE and message.member == "PrepareForSleep" and message.signature == "b":
        news.put_nowait(bool(message.body[0]))


async def _tell_end(bus: MessageBus, news: asyncio.Queue[bool | None]) -> None:
    try:
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    except Exception as error:
        log.debug("the system bus is gone: %r", error)
    news.put_nowait(None)


def _has_system_bus() -> bool:
    if sys.platform != "linux":
        return False
    return bool(os.environ.get(_BUS_VARIABLE)) or any(os.path.exists(path) for path in _BUS_SOCKETS)
