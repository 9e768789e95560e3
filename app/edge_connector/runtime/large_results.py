"""Results above 1 MiB go by reference: over HTTP first, then a small message; in parts over the link when that fails.

One at a time, over a connection of its own, so that the link stays free for small calls and heartbeats.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from edge_connector.config.loading import LoadedConfig
from edge_connector.core.clock import Clock
from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.core.tasks import TaskOwner
from edge_connector.wire import messages as m

if TYPE_CHECKING:
    from edge_connector.runtime.http_courier import HttpCourier

log = logging.getLogger(__name__)

REFERENCE_ABOVE = 1024 * 1024
"""Bytes of JSON; smaller results go over the link."""
REST_S = 60.0
"""How long HTTP is left alone after it could not be reached."""


class Courier(Protocol):
    """Who brings a result to the platform."""

    async def bring(self, call_id: str, data: bytes, sha256: str) -> None:
        """Returns when the platform has it.

        Raises:
            NotConnected: the platform cannot be reached that way; others cannot either.
            EdgeError: it does not want this one.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class LargeResults:
    """In front of the link: passes everything on, large results by way of the courier where the platform offers it.

    A `core.services.Service`.
    """

    name = "large_results"

    def __init__(
        self, send: Callable[[m.Message], bool], courier: Callable[[], Awaitable[Courier]], clock: Clock
    ) -> None:
        """Make it; the courier is made when the first large result comes.

        Args:
            send: gives a message to the link; False when that is not open.
        """
        self._send = send
        self._make_courier = courier
        self._courier: Courier | None = None
        self._clock = clock
        self._tasks = TaskOwner("large_results")
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._one = asyncio.Semaphore(1)
        self._is_offered = False
        self._not_before = 0.0
        self.brought = 0
        """Results that went by reference."""

    async def start(self) -> None:
        """Nothing runs until a large result comes."""

    def offered(self, offered: bool) -> None:
        """A new session: whether its platform takes references."""
        self._is_offered = offered

    def send(self, message: m.Message) -> bool:
        """As of the link. A large result that is on its way already is not sent again."""
        if type(message) is not m.Result or not self._is_offered:
            return self._send(message)
        if len(memoryview(message.result)) <= REFERENCE_ABOVE or self._clock.monotonic() < self._not_before:
            return self._send(message)
        if message.id not in self._under_way:
            task = self._tasks.spawn(self._bring(message), name=message.id)
            self._under_way[message.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(message.id, None))
        return True

    def link_closed(self) -> None:
        """Nothing is under way any more: what has no receipt is sent again over the next session."""
        self._is_offered = False
        for task in list(self._under_way.values()):
            task.cancel()
        self._under_way.clear()

    async def stop(self) -> None:
        """Bring nothing more."""
        await self._tasks.close()
        if self._courier is not None:
            await self._courier.close()

    async def _bring(self, result: m.Result) -> None:
        async with self._one:
            data = bytes(result.result)
            digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
            try:
                if self._clock.monotonic() >= self._not_before:
                    if self._courier is None:
                        self._courier = await self._make_courier()
                    await self._courier.bring(result.id, data, digest)
                    self.brought += 1
                    self._send(m.ResultReference(id=result.id, sha256=digest, duration_ms=result.duration_ms))
                    return
            except NotConnected as error:
                self._not_before = self._clock.monotonic() + REST_S
                log.info("large result goes over the link, HTTP cannot be used cause=%s", error)
            except EdgeError as error:
                log.info("large result goes over the link call=%s code=%s cause=%s", result.id, error.code, error)
        self._send(result)


async def http_courier(loaded: LoadedConfig, clock: Clock) -> Courier:
    """A courier to `PLATFORM_API_URL`. Its library, 100 ms and 14 MB that many never need, is loaded beside the loop.

    Raises:
        EdgeError: the address or the CA file cannot be used.
    """
    kind = await asyncio.to_thread(_courier_type)
    return await kind.make(loaded, clock)


def _courier_type() -> type[HttpCourier]:
    import aiohttp  # noqa: F401 - the courier's client loads it in its first request otherwise

    from edge_connector.runtime.http_courier import HttpCourier

    return HttpCourier
