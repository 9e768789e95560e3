"""A real `edge-connector run` for one installation directory.

async with running_connector(tmp_path / "home", environment) as connector:
    await connector.until_state("working")
    assert await connector.stop() == 0
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from edge_connector.control.address import control_address
from edge_connector.control.client import ControlClient
from edge_connector.core.errors import NotConnected
from tests.support.commands import Finished, run_command
from tests.support.processes import ProgramProcess, get_json, kill, new_log, pids_in, processes_in
from tests.support.secrets import WATCH
from tests.support.waiting import eventually


class ConnectorProcess(ProgramProcess):
    """`edge-connector run` for one installation directory."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], *, options: tuple[str, ...] = (), network: str = ""
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        variables = {**environment, "EC_HOME": str(directory)}
        super().__init__(["run", *options], variables, new_log(directory), cwd=directory, network=network)

    # ---- files

    @property
    def lock_file(self) -> Path:
        """The lock of its directory."""
        return self.directory / "edge-runtime.lock"

    @property
    def lock(self) -> dict[str, Any]:
        """What the lock file says; empty while it is not there or being written."""
        try:
            found: dict[str, Any] = json.loads(self.lock_file.read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    @property
    def socket(self) -> Path:
        """Its command socket."""
        with self._runtime_folder():
            return control_address(self.directory)

    @contextmanager
    def _runtime_folder(self) -> Iterator[None]:
        mine = os.environ["XDG_RUNTIME_DIR"]
        os.environ["XDG_RUNTIME_DIR"] = self.environment["XDG_RUNTIME_DIR"]
        try:
            yield
        finally:
            os.environ["XDG_RUNTIME_DIR"] = mine

    # ---- health

    async def until_listening(self) -> int:
        """Wait until its lock file names the health port; returns that."""

        def probe() -> int:
            assert self.code is None, f"it exited with {self.code}:\n{self.log}"
            found = self.lock
            return int(found.get("healthPort", 0)) if found.get("pid") == self.pid else 0

        return await eventually(probe, what=f"health port of pid {self.pid} in {self.lock_file}:\n{self.log}")

    async def health(self, path: str, *, host: str = "127.0.0.1", header: str = "") -> tuple[int, Any]:
        """Status and document of one health endpoint; the Host header may be another name."""
        port = await self.until_listening()
        answer = await asyncio.to_thread(get_json, f"http://{host}:{port}{path}", header)
        WATCH.search(json.dumps(answer), f"the answer to {path}")
        return answer

    # ---- command socket

    async def request(self, method: str, **parameters: Any) -> Any:
        """One request over the command socket."""
        with self._runtime_folder():
            client = ControlClient(self.directory)
            await client.__aenter__()
        try:
            return await client.request(method, **parameters)
        finally:
            await client.close()

    async def status(self) -> dict[str, Any]:
        """The status over the command socket."""
        found: dict[str, Any] = await self.request("status")
        return found

    async def until_status(self, condition: Any, *, what: str) -> dict[str, Any]:
        """Wait until `condition` of the status holds; returns the status."""

        async def probe() -> dict[str, Any] | None:
            assert self.code is None, f"it exited with {self.code}:\n{self.log}"
            if self.lock.get("pid") != self.pid:
                return None
            try:
                status = await self.status()
            except NotConnected:  # not yet: the socket comes late in the start, and an old one may lie there
                return None
            return status if condition(status) else None

        try:
            found: dict[str, Any] | None = await eventually(probe, what=what, interval_s=0.02)
        except AssertionError as error:
            raise AssertionError(f"{error}\nlog:\n{self.log[-4000:]}") from None
        assert found is not None
        return found

    async def until_state(self, *states: str) -> dict[str, Any]:
        """Wait until it is in one of `states`; returns the status."""
        return await self.until_status(lambda status: status["state"] in states, what=f"state {states}")

    async def until_problem(self, code: str) -> dict[str, Any]:
        """Wait until it has the problem; returns the status."""
        return await self.until_status(lambda status: code in problem_codes(status), what=f"problem {code}")

    async def command(self, *words: str | Path, **variables: str) -> Finished:
        """Run a command line with this connector's own directory and environment."""
        return await run_command(*words, environment={**self.environment, **variables}, directory=self.directory)

    # ---- processes

    def left_processes(self) -> list[str]:
        """Living processes that work in its directory, itself not counted: workers and what they started."""
        return processes_in(self.directory, besides=self.pid)

    async def close(self) -> None:
        """See `ProgramProcess.close`; nothing of its tree may live on."""
        try:
            await super().close()
            await eventually(
                lambda: not self.left_processes(), what=f"no worker is left: {self.left_processes()}", deadline_s=5.0
            )
        finally:
            for pid in pids_in(self.directory):
                kill(pid)
            self.socket.unlink(missing_ok=True)


@asynccontextmanager
async def running_connector(
    directory: Path, environment: Mapping[str, str], *options: str, network: str = ""
) -> AsyncIterator[ConnectorProcess]:
    """A connector process; ended, reaped and checked for leftovers when the block ends."""
    connector = ConnectorProcess(directory, environment, options=options, network=network)
    try:
        yield connector
    except BaseException:
        # The failure itself is what has to be seen; leftovers of a broken test are only cleared away.
        connector.destroy()
        for pid in pids_in(directory):
            kill(pid)
        connector.socket.unlink(missing_ok=True)
        raise
    await connector.close()


def problem_codes(status: dict[str, Any]) -> list[str]:
    """Codes of the problems in a status document."""
    return [problem["code"] for problem in status["problems"]]
