"""The tools that the benchmark calls: the one that is measured, and those that make trouble beside it."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Annotated

from msgspec import Meta

from edge_connector.tools import tool


@tool(risk="read", repeat="read")
async def repeatMessage(message: Annotated[str, Meta(max_length=100_000)]) -> dict[str, str]:
    """Give the message back; arguments and result are validated like those of every tool."""
    return {"message": message}


@tool(risk="read", repeat="read")
def repeatMessageSync(message: Annotated[str, Meta(max_length=100_000)]) -> dict[str, str]:
    """The same without a loop."""
    return {"message": message}


@tool(risk="read", repeat="once")
async def repeatMessageOnce(message: Annotated[str, Meta(max_length=100_000)]) -> dict[str, str]:
    """The same, for calls that must not run twice."""
    return {"message": message}


@tool(risk="read", repeat="read")
async def tellProcess() -> int:
    """The process that runs this."""
    return os.getpid()


@tool(risk="read", repeat="read")
async def beSlow(seconds: float) -> float:
    """Wait."""
    await asyncio.sleep(seconds)
    return seconds


@tool(risk="execute", repeat="read")
def crash() -> None:
    """End the process in the middle of a call."""
    os.abort()


@tool(risk="execute", repeat="read")
def burn(seconds: float) -> int:
    """Use a processor."""
    until, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        rounds += 1
    return rounds


@tool(risk="read", repeat="read")
def giveMegabyte() -> str:
    """A result of one megabyte."""
    return "x" * 1_000_000
