"""A folder of small tools with manners good and bad, as an author could write them."""

from __future__ import annotations

from pathlib import Path

SOURCE = r'''
"""Tools of the end-to-end tests."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edge_connector.tools import ToolContext, ToolError, tool


@tool(risk="read", repeat="read")
def twice(text: str) -> str:
    """Say it twice."""
    return text + text


@tool
def hold(path: str) -> str:
    """Run until the file is there."""
    gate = Path(path)
    gate.with_suffix(".started").write_text(str(os.getpid()))
    while not gate.exists():
        time.sleep(0.01)
    return "held"


@tool
def hold_with_child(path: str) -> str:
    """Run, with a child process of its own, until the file is there."""
    gate = Path(path)
    child = subprocess.Popen(["sleep", "300"])
    gate.with_suffix(".child").write_text(str(child.pid))
    return hold(path)


@tool
async def hold_async(path: str) -> str:
    """Run in the shared worker until the file is there."""
    gate = Path(path)
    gate.with_suffix(".started").write_text(str(os.getpid()))
    while not gate.exists():
        await asyncio.sleep(0.01)
    return "held"


@tool
def patient(path: str, context: ToolContext) -> str:
    """Run until cancelled, and say so."""
    gate = Path(path)
    gate.with_suffix(".started").write_text(str(os.getpid()))
    while not context.cancelled:
        time.sleep(0.01)
    return "finished early"


@tool
def never_returns(path: str) -> str:
    """Neither ends nor lets itself be ended."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).with_suffix(".started").write_text(str(os.getpid()))
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def _daemon(path: str) -> None:
    """Two forks and a session of its own, as daemons do it."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(path).with_suffix(".daemon").write_text(str(os.getpid()))
            time.sleep(300)
        os._exit(0)
    os.wait()
    while not Path(path).with_suffix(".daemon").exists():
        time.sleep(0.01)


@tool
def forks_away(path: str) -> str:
    """Start a daemon and never return."""
    _daemon(path)
    while True:
        time.sleep(60)


@tool
def leaves_daemon(path: str) -> str:
    """Start a daemon and return."""
    _daemon(path)
    return "left one"


@tool
def chatters() -> str:
    """Print to every place a tool can print to."""
    print("hello from print")
    sys.stderr.write("hello from stderr\n")
    subprocess.run(["echo", "hello from a child"], check=True)
    os.write(1, b'{"type":"result","id":"x"}\n' * 1000)
    return "said"


@tool
def eats_memory() -> int:
    """Take more memory than a worker may have."""
    held = []
    while True:
        held.append(bytearray(16 * 1024 * 1024))


@tool
def raises() -> str:
    """Fail with a bug."""
    raise RuntimeError("the drawer is stuck")


@tool
def refuses() -> str:
    """Fail with a code."""
    raise ToolError("drawer_locked", "The drawer is locked.", hint="Bring the key.", detail={"drawer": 3})


@tool
def returns_object() -> Any:
    """Return what JSON cannot hold."""
    return object()


@tool
def returns_too_much() -> str:
    """Return more than the limit."""
    return "x" * 300_000


@tool
def kills_itself() -> str:
    """End the worker by a signal."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "unreachable"


@tool
def exits() -> str:
    """Try to end the worker."""
    sys.exit(3)


@tool
def environment_names() -> list[str]:
    """Which variables it sees."""
    return sorted(os.environ)
'''


def write_tools(folder: Path) -> Path:
    """Write the tools into `folder`, which is made; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manners.py").write_text(SOURCE)
    return folder
