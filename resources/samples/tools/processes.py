"""Processes of this machine, read from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from edge_connector.tools import ToolError, tool


class Process(Struct):
    """`memory` is the resident size in bytes, `cpu_s` the processor time used so far in seconds."""

    pid: int
    parent: int
    name: str
    state: str
    memory: int
    cpu_s: float


@tool(risk="read", repeat="read")
def listProcesses(
    name: Annotated[str, Meta(description="Only processes whose name contains this")] = "",
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20,
) -> list[Process]:
    """The processes with the most memory, largest first. Command lines are left out: they may hold secrets."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():
        raise ToolError("unsupported", "This machine has no /proc to read processes from.")
    every = (_read(folder) for folder in proc.iterdir() if folder.name.isdigit())
    found = [process for process in every if process is not None and name.lower() in process.name.lower()]
    found.sort(key=lambda process: process.memory, reverse=True)
    return found[:limit]


def _read(folder: Path) -> Process | None:
    """See proc(5) for the fields of `stat`."""
    try:
        text = (folder / "stat").read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]  # the name itself may hold parentheses
    fields = text[text.rindex(")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])
    return Process(
        pid=int(folder.name),
        parent=int(fields[1]),
        name=name,
        state=fields[0],
        memory=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        cpu_s=round(ticks / os.sysconf("SC_CLK_TCK"), 2),
    )
