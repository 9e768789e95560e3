"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

DEADLINE_S = 20.0
"""Generous: it is only reached when something is broken."""


@overload
async def eventually(
    probe: Callable[[], Awaitable[T]], *, what: str, deadline_s: float = ..., interval_s: float = ...
) -> T: ...
@overload
async def eventually(probe: Callable[[], T], *, what: str, deadline_s: float = ..., interval_s: float = ...) -> T: ...
async def eventually(
    probe: Callable[[], Any], *, what: str, deadline_s: float = DEADLINE_S, interval_s: float = 0.01
) -> Any:
    """The first truthy value of `probe`, which is asked again until the deadline.

    Raises:
        AssertionError: the condition did not come true in time; the message names it and the last value.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = probe()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}; last value: {value!r}")
        await asyncio.sleep(interval_s)


def eventually_sync(
    probe: Callable[[], T], *, what: str, deadline_s: float = DEADLINE_S, interval_s: float = 0.01
) -> T:
    """`eventually` for code without a loop."""
    end = time.monotonic() + deadline_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}; last value: {value!r}")
        time.sleep(interval_s)
