"""Real `edge-connector` processes for tests: started with a clean environment, logs captured, always reaped.

They are seen only from outside: exit code, log, files, sockets, HTTP. Nothing of the program runs in the test.

async with running_connector(tmp_path / "home", environment) as connector:
    await connector.until_state("working")
    assert await connector.stop() == 0
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from edge_connector.control.address import control_address
from edge_connector.control.client import ControlClient
from edge_connector.core.errors import NotConnected
from tests.support.secrets import WATCH
from tests.support.waiting import eventually

COMMAND = [sys.executable, "-m", "edge_connector.cli.main"]
EXIT_S = 20.0
TRACEBACK = "Traceback (most recent call last)"


def clean_environment(**variables: str | Path | int | float) -> dict[str, str]:
    """What a process of the program gets: nothing of the caller's set-up but paths, plus `variables`."""
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
        "COLUMNS": "200",
        "HEALTH_PORT": "0",
        "BROWSER": "true",
        # What the interpreter finds wrong with our own code belongs into the log.
        "PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning",
    }
    environment.update((name, str(value)) for name, value in variables.items())
    return environment


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error of that document."""
        found: dict[str, str] = self.document["error"]
        return found


async def run_command(
    *words: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    deadline_s: float = 30.0,
) -> Finished:
    """Run one command line of the program to its end; it must not print a traceback.

    Args:
        directory: the installation directory, as `EC_HOME`; the process itself runs in `/`.
    """
    variables = dict(clean_environment() if environment is None else environment)
    WATCH.learn_variables(variables)
    if directory is not None:
        variables["EC_HOME"] = str(directory)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, words),
        env=variables,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise AssertionError(f"{words} did not end within {deadline_s} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
    assert process.returncode is not None
    finished = Finished(process.returncode, out.decode(), err.decode())
    assert TRACEBACK not in finished.out + finished.err, f"{words}:\n{finished.err}"
    command = tuple(map(str, words))
    for name, text in (("standard output", finished.out), ("standard error", finished.err)):
        WATCH.search(text, f"{name} of {' '.join(command[:2])}", words=command)
    return finished


class ProgramProcess:
    """One process of the program that runs on. Standard output and error go to one file."""

    def __init__(
        self, words: list[str], environment: Mapping[str, str], log_file: Path, *, cwd: Path, network: str = ""
    ) -> None:
        """`network`: the network namespace it runs in; empty for the test's own."""
        self.log_file = log_file
        self.environment = dict(environment)
        WATCH.learn_variables(self.environment)
        WATCH.expect_log(log_file, words)
        self.expects_traceback = False
        """Set it where a traceback in the log is part of the case, e.g. of a tool that raises."""
        with log_file.open("ab") as log:
            self.started_at = time.monotonic()
            self._process = subprocess.Popen(
                [*(("ip", "netns", "exec", network) if network else ()), *COMMAND, *words],
                env=self.environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        """All it wrote so far."""
        return self.log_file.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs; negative after a signal."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.code is None:
            WATCH.search_processes(self.pid)
        self._process.send_signal(number)

    async def until_log(self, text: str, *, times: int = 1) -> None:
        """Wait until its log holds `text`."""

        def probe() -> bool:
            if self.log.count(text) >= times:
                return True
            assert self.code is None, f"it exited with {self.code} and never wrote {text!r}:\n{self.log}"
            return False

        await eventually(probe, what=f"{text!r} in the log:\n{self.log_file}")

    async def wait(self, *, deadline_s: float = EXIT_S) -> int:
        """Wait for its end; returns the exit code."""
        await eventually(lambda: self.code is not None, what=f"pid {self.pid} to exit", deadline_s=deadline_s)
        assert self.code is not None
        return self.code

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, deadline_s: float = EXIT_S) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.send(number)
        return await self.wait(deadline_s=deadline_s)

    def destroy(self) -> None:
        """End it at once, whatever its state; idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(EXIT_S)

    async def close(self) -> None:
        """End it in order if it still runs, and check that it wrote no traceback."""
        try:
            if self.code is None:
                self.send(signal.SIGCONT)
                await self.stop()
        finally:
            self.destroy()
        WATCH.search_file(self.log_file)
        if not self.expects_traceback:
            assert TRACEBACK not in self.log, f"a traceback in the log:\n{self.log}"
        for words in ("ResourceWarning", "never awaited", "never retrieved", "Task was destroyed"):
            assert words not in self.log, f"{words!r} in the log:\n{self.log}"


class ConnectorProcess(ProgramProcess):
    """`edge-connector run` for one installation directory."""

    def __init__(
        self, directory: Path, environment: Mapping[str, str], *, options: tuple[str, ...] = (), network: str = ""
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        variables = {**environment, "EC_HOME": str(directory)}
        super().__init__(["run", *options], variables, _new_log(directory), cwd=directory, network=network)

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
        answer = await asyncio.to_thread(_get, f"http://{host}:{port}{path}", header)
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
            for pid in _pids_in(self.directory):
                _kill(pid)
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
        for pid in _pids_in(directory):
            _kill(pid)
        connector.socket.unlink(missing_ok=True)
        raise
    await connector.close()


class PlatformProcess(ProgramProcess):
    """`edge-connector platform serve`."""

    def __init__(self, data: Path, *, api_port: int = 0, rpc_port: int = 0) -> None:
        words = ["platform", "serve", "--data", str(data), "--api-port", str(api_port), "--rpc-port", str(rpc_port)]
        data.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(words, clean_environment(), _new_log(data), cwd=data.parent)
        self.api_url = ""
        self.rpc_url = ""
        self.setup_code = ""

    async def until_serving(self) -> None:
        """Wait until it has printed its addresses."""

        def probe() -> bool:
            assert self.code is None, f"the platform exited with {self.code}:\n{self.log}"
            text = self.log
            self.api_url = _last(r"^Platform API\s+(\S+)$", text)
            self.rpc_url = _last(r"^Tool RPC\s+(\S+)$", text)
            self.setup_code = _last(r"/setup\?code=(\S+)", text)
            WATCH.learn(self.setup_code, "set-up code")
            return bool(self.rpc_url) and _answers(f"{self.api_url}/healthz")

        await eventually(probe, what="the platform to serve")


@dataclass
class Ports:
    """Where a platform served, so that it can be started again at the same place."""

    api: int
    rpc: int


def ports_of(platform: PlatformProcess) -> Ports:
    """The ports that it serves on."""
    return Ports(*(int(url.rpartition(":")[2]) for url in (platform.api_url, platform.rpc_url)))


def problem_codes(status: dict[str, Any]) -> list[str]:
    """Codes of the problems in a status document."""
    return [problem["code"] for problem in status["problems"]]


def processes_in(directory: Path, *, besides: int = 0) -> list[str]:
    """Living processes whose working directory is `directory` or below, as `pid: command`."""
    return [f"{pid}: {_command(pid)}" for pid in _pids_in(directory) if pid != besides]


def _pids_in(directory: Path) -> list[int]:
    root = directory.resolve()
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            cwd = process.cwd()
        except psutil.Error:
            continue
        if cwd and Path(cwd).is_relative_to(root):
            found.append(process.pid)
    return found


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())[:200]
    except psutil.Error:
        return "gone"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _new_log(beside: Path) -> Path:
    """A log file of its own for each start."""
    return next(
        path for number in range(1, 1000) if not (path := beside.with_name(f"{beside.name}.{number}.log")).exists()
    )


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text, re.MULTILINE)
    return str(found[-1]) if found else ""


def _get(url: str, header: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, headers={"Host": header} if header else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def _answers(url: str) -> bool:
    try:
        return _get(url, "")[0] == 200
    except OSError:
        return False
