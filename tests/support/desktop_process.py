"""The real `edge-connector-desktop` as a process on a private desktop: started, watched from outside, reaped."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from edge_connector.control.address import control_address
from edge_connector.control.client import ControlClient
from edge_connector.core.errors import NotConnected
from edge_connector.desktop.single import show_address
from tests.support.commands import TRACEBACK
from tests.support.displays import PrivateDesktop, Started
from tests.support.processes import processes_in
from tests.support.waiting import eventually

COMMAND = (sys.executable, "-m", "edge_connector.desktop.main")
WINDOW = "^Edge Connector$"
EXIT_S = 30.0

P = TypeVar("P", bound="DesktopProcess")


class DesktopProcess:
    """One run of the program for one installation directory."""

    command: tuple[str, ...] = COMMAND
    listens = False

    def __init__(self, desktop: PrivateDesktop, home: Path, variables: dict[str, str], *options: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.desktop, self.home = desktop, home
        environment = {"HEALTH_PORT": "0", "PYTHONWARNINGS": "default::ResourceWarning", **variables}
        self.process: Started = desktop.start(
            *self.command, "--dir", str(home), *options, listens=self.listens, variables=environment
        )

    @property
    def log(self) -> str:
        """All it wrote to standard error."""
        return self.process.log

    async def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        await eventually(lambda: not self.process.is_running, what=f"its end:\n{self.log}", deadline_s=EXIT_S)
        code = self.process._process.returncode
        assert code is not None
        return int(code)

    async def stop(self) -> int:
        """SIGTERM, then `wait`."""
        self.process._process.terminate()
        return await self.wait()

    async def request(self, method: str, **params: Any) -> Any:
        """One request to the connector of its directory, over the command socket."""
        async with ControlClient(self.home) as client:
            return await client.request(method, **params)

    async def until_state(self, *states: str) -> dict[str, Any]:
        """Wait until the connector is in one of `states`; returns the status."""

        async def probe() -> dict[str, Any] | None:
            assert self.process.is_running, f"it ended:\n{self.log}"
            try:
                status: dict[str, Any] = await self.request("status")
            except NotConnected:
                return None
            return status if status["state"] in states else None

        try:
            found: dict[str, Any] | None = await eventually(probe, what=f"state {states}", interval_s=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlog:\n{self.log[-3000:]}") from None
        assert found is not None
        return found

    # ---- the window

    def windows(self) -> list[str]:
        """Ids of the visible windows."""
        found = self.desktop.run("xdotool", "search", "--onlyvisible", "--name", WINDOW, check=False)
        return found.split()

    async def until_window(self) -> str:
        """Wait until its window is shown; returns the id."""

        def probe() -> list[str]:
            assert self.process.is_running, f"it ended:\n{self.log}"
            return self.windows()

        found: list[str] = await eventually(probe, what=f"a window:\n{self.log}", interval_s=0.03)
        return found[0]


@asynccontextmanager
async def running_desktop(
    desktop: PrivateDesktop, home: Path, variables: dict[str, str], *options: str
) -> AsyncIterator[DesktopProcess]:
    """The program until the block ends; then it is stopped, and nothing of it may be left or have failed."""
    async with ending(DesktopProcess(desktop, home, variables, *options)) as program:
        yield program


@asynccontextmanager
async def ending(program: P) -> AsyncIterator[P]:
    """See `running_desktop`."""
    home = program.home
    try:
        yield program
        if program.process.is_running:
            await program.stop()
        await eventually(lambda: not processes_in(home), what=f"no process is left: {processes_in(home)}")
        assert TRACEBACK not in program.log, program.log
        assert "never awaited" not in program.log and "ResourceWarning" not in program.log, program.log
        assert not control_address(home).exists() and not show_address(home).exists()
    finally:
        await asyncio.to_thread(program.process.kill)
        for address in (control_address(home), show_address(home)):
            address.unlink(missing_ok=True)
