"""The tools of `edge-connector drill`: each run leaves one line in a file, so that it can be counted afterwards."""

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path

from edge_connector.tools import ToolContext, ToolError, tool

RUNS = Path(__file__).resolve().parent.parent / "runs.jsonl"


def _mark(number: int, call: str) -> None:
    line = json.dumps({"number": number, "call": call, "pid": os.getpid(), "at": time.time()}) + "\n"
    # One write with O_APPEND: lines of several processes never mix, and a kill leaves a whole line or none.
    file = os.open(RUNS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@tool(repeat="once")
def markOnce(number: int, seconds: float, context: ToolContext) -> dict[str, int]:
    """Count one run, work for a while, and square the number."""
    _mark(number, context.call_id)
    time.sleep(seconds)
    return {"number": number, "square": number * number}


@tool(risk="read", repeat="read")
async def markRead(number: int, seconds: float, context: ToolContext) -> dict[str, int]:
    """The same, beside other calls in one process."""
    _mark(number, context.call_id)
    await asyncio.sleep(seconds)
    return {"number": number, "square": number * number}


@tool(repeat="once")
def markLarge(number: int, size: int, context: ToolContext) -> dict[str, str]:
    """Return much, through a file in the scratch directory."""
    _mark(number, context.call_id)
    file = context.scratch / "large.txt"
    file.write_text(f"{number} " * (size // 4))
    return {"text": file.read_text()}


@tool(repeat="once")
def markChild(number: int, context: ToolContext) -> dict[str, int]:
    """Leave a process behind, as careless tools do."""
    _mark(number, context.call_id)
    subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return {"number": number}


@tool(repeat="once")
def markFailure(number: int, context: ToolContext) -> None:
    """Fail with a code."""
    _mark(number, context.call_id)
    raise ToolError("drill_failure", f"Call {number} was meant to fail.")
