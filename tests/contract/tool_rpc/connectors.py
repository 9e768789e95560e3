"""The connectors that the contract suite is run on. A new one is added to `CONNECTORS`, nothing else changes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PEER = Path(__file__).parents[2] / "support" / "peer.py"
STOP_S = 15.0


class Running(Protocol):
    """A connector that was started."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    async def stop(self) -> int:
        """Ask it to stop (SIGTERM) and wait; its exit code. Fine to call again."""
        ...


Start = Callable[[str, str, str, Path], AbstractAsyncContextManager[Running]]
"""`(url, deployment, secret, folder)`: starts a connector; leaving the context ends it, whatever happened."""


@dataclass(frozen=True)
class Connector:
    """One connector under test, and the tools to try it with."""

    name: str
    start: Start
    slow_tool: str
    """Runs for the seconds that `slow_arguments` gives it, and stops when cancelled."""
    slow_arguments: Callable[[float], dict[str, Any]]
    fail_tool: str
    """Raises an error with the message that `fail_arguments` gives it."""
    fail_arguments: Callable[[str], dict[str, Any]]
    echo_tool: str = "echo"
    """Takes `{"message": any}` and returns `{"message": any}`; fixed by the protocol."""


class ConnectorProcess:
    """A connector in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self) -> int:
        if self._process.returncode is None:
            self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), STOP_S)

    async def kill(self) -> None:
        """End it at once and reap it; fine when it is over."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def process(command: list[str], *, folder: Path, environment: dict[str, str] | None) -> AsyncIterator[Running]:
    """Run `command` in `folder`, its output in `connector.log` there."""
    with (folder / "connector.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    running = ConnectorProcess(child)
    try:
        yield running
    finally:
        try:
            await running.stop()
        finally:
            await running.kill()


def start_peer(url: str, deployment: str, secret: str, folder: Path) -> AbstractAsyncContextManager[Running]:
    """The independent peer, tests/support/peer.py."""
    # -P: nothing is imported from the script's own folder, where a module may be named like a standard one.
    command = [sys.executable, "-P", str(PEER), "--url", url, "--deployment", deployment, "--secret", secret]
    return process(command, folder=folder, environment=None)


def start_runtime(url: str, deployment: str, secret: str, folder: Path) -> AbstractAsyncContextManager[Running]:
    """The connector of this repository, `edge-connector run`."""
    tools = folder / "home" / "custom-implementations" / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "runtime_tools.py", tools / "suite.py")
    environment = {
        **os.environ,
        "EC_HOME": str(folder / "home"),
        "TOOL_RPC_URL": url,
        "DEPLOYMENT_ID": deployment,
        "DEPLOYMENT_SECRET": secret,
        "HEALTH_PORT": "0",
    }
    return process([sys.executable, "-m", "edge_connector.cli.main", "run"], folder=folder, environment=environment)


CONNECTORS: list[Connector] = [
    Connector(
        name="runtime",
        start=start_runtime,
        slow_tool="slow",
        slow_arguments=lambda seconds: {"seconds": seconds},
        fail_tool="fail",
        fail_arguments=lambda message: {"message": message},
    ),
    Connector(
        name="peer",
        start=start_peer,
        slow_tool="slow",
        slow_arguments=lambda seconds: {"seconds": seconds},
        fail_tool="fail",
        fail_arguments=lambda message: {"message": message},
    ),
]
"""Every connector that has to pass."""
