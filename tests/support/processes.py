"""Real processes of the program for tests: started with a clean environment, logs captured, always reaped.

They are seen only from outside: exit code, log, files, sockets, HTTP. Nothing of the program runs in the test.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.commands import COMMAND, TRACEBACK, clean_environment
from tests.support.secrets import WATCH
from tests.support.waiting import eventually

EXIT_S = 20.0


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


class PlatformProcess(ProgramProcess):
    """`edge-connector platform serve`."""

    def __init__(self, data: Path, *, api_port: int = 0, rpc_port: int = 0) -> None:
        words = ["platform", "serve", "--data", str(data), "--api-port", str(api_port), "--rpc-port", str(rpc_port)]
        data.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(words, clean_environment(), new_log(data), cwd=data.parent)
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


def processes_in(directory: Path, *, besides: int = 0) -> list[str]:
    """Living processes whose working directory is `directory` or below, as `pid: command`."""
    return [f"{pid}: {_command(pid)}" for pid in pids_in(directory) if pid != besides]


def pids_in(directory: Path) -> list[int]:
    """The same as numbers."""
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


def kill(pid: int) -> None:
    """End a process at once; one that has ended is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def new_log(beside: Path) -> Path:
    """A log file of its own for each start."""
    return next(
        path for number in range(1, 1000) if not (path := beside.with_name(f"{beside.name}.{number}.log")).exists()
    )


def _last(pattern: str, text: str) -> str:
    found = re.findall(pattern, text, re.MULTILINE)
    return str(found[-1]) if found else ""


def get_json(url: str, header: str) -> tuple[int, Any]:
    """Status and document of an address, past any proxy; `header` is the Host, empty for that of the address."""
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
        return get_json(url, "")[0] == 200
    except OSError:
        return False
