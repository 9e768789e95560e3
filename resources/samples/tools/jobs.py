"""A long job: progress, and a clean end when it is cancelled. Async, so many of them share one process."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct

from edge_connector.tools import ToolContext, tool


class JobReport(Struct):
    """What was done."""

    steps: int
    seconds: float


@tool(risk="execute", repeat="repeatable", timeout_s=600)
async def runLongJob(
    context: ToolContext,
    steps: Annotated[int, Meta(ge=1, le=1000, description="How many steps")] = 10,
    step_s: Annotated[float, Meta(ge=0, le=10, description="Seconds a step takes")] = 0.2,
) -> JobReport:
    """Work for a while and report progress after each step."""
    began = time.monotonic()
    notes = context.scratch / "notes.txt"  # removed after the call, however it ends
    try:
        for step in range(1, steps + 1):
            await asyncio.sleep(step_s)  # the work of a real job would stand here
            with notes.open("a", encoding="utf-8") as file:
                file.write(f"step {step}\n")
            context.progress(step / steps, f"step {step} of {steps}")
    except asyncio.CancelledError:
        context.log.info("cancelled; what a real job has begun would be undone here")
        raise  # the caller is to hear `cancelled`, not a result
    return JobReport(steps, round(time.monotonic() - began, 3))
