"""Services start in order and stop in reverse, each within a budget."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Service(Protocol):
    """A part of a program with a beginning and an end."""

    name: str

    async def start(self) -> None:
        """Returns when the service serves; raises when it cannot."""
        ...

    async def stop(self) -> None:
        """Idempotent; legal before `start` and after a failed one."""
        ...


class ServiceStack:
    """Starts services one after the other and stops the started ones in reverse."""

    def __init__(self, *, stop_budget_s: float) -> None:
        self._stop_budget_s = stop_budget_s
        self._started: list[Service] = []

    async def start(self, service: Service) -> None:
        """Start `service`; its stop is registered first, so that a half-made start is undone too."""
        self._started.append(service)
        await service.start()
        log.debug("service started name=%s", service.name)

    async def stop(self) -> None:
        """Stop all in reverse; one that fails or takes longer than the budget is named and left behind."""
        while self._started:
            service = self._started.pop()
            try:
                async with asyncio.timeout(self._stop_budget_s):
                    await service.stop()
            except TimeoutError:
                log.warning("service did not stop in time name=%s budget_s=%.1f", service.name, self._stop_budget_s)
            except Exception:
                log.exception("service failed to stop name=%s", service.name)
