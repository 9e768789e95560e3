"""A value that others watch: the current snapshot, then each newer one.

Slow watchers skip to the newest; they never hold anyone up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """The newest value of something, and a way to wait for the next."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._watchers = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        """The newest value."""
        return self._value

    @property
    def is_watched(self) -> bool:
        """Whether anybody would hear of the next value."""
        return self._watchers > 0

    def refresh(self, value: T) -> None:
        """Replace the value for those who come next, without waking those who watch."""
        self._value = value

    def publish(self, value: T) -> None:
        """Replace the value and wake the watchers. Call it on the loop's thread only."""
        self._value = value
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[T]:
        """Yield the current value at once, then the newest one after each change."""
        seen = -1
        self._watchers += 1
        try:
            while True:
                if seen == self._version:
                    await self._changed.wait()
                seen = self._version
                yield self._value
        finally:
            self._watchers -= 1
