"""The tools that the real connector offers to the contract suite; copied into its implementations folder."""

import time

from edge_connector.tools import ToolContext, tool


@tool(risk="read", repeat="read")
async def slow(seconds: float, context: ToolContext) -> float:
    """Sleep, and report progress."""
    import asyncio

    began = time.monotonic()
    while (gone := time.monotonic() - began) < seconds:
        context.progress(gone / seconds, "sleeping")
        await asyncio.sleep(min(0.05, seconds - gone))
    return seconds


@tool(risk="read", repeat="read")
def fail(message: str) -> None:
    """Raise an error."""
    raise RuntimeError(message)
