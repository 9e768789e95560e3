"""The two programs of a drill as child processes: started, killed, started again, counted, and always reaped."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from edge_connector.cli.drill.evidence import Census
from edge_connector.cli.drill.telling import tasks_file
from edge_connector.control.client import ControlClient
from edge_connector.core.errors import EdgeError, UserError

START_S = 20.0
STOP_S = 15.0
GONE_S = 5.0
"""What a killed program started must be gone within."""
COMPLAINTS = (
    "Traceback (most recent call last)",
    "never retrieved",
    "never awaited",
    "Task was destroyed",
    "failed name=",
)


def own_command() -> tuple[str, ...]:
    """How this program starts itself, so that it tells the number of its tasks."""
    if getattr(sys, "frozen", False):
        return (sys.executable, "drill-program")
    return (sys.executable, "-P", "-m", "edge_connector.cli.main", "drill-program")


class Program:
    """One of the two; it may have several lives.

    Attributes:
        strays: what outlived one of its lives, as `pid: command`.
        pid: of the present life.
    """

    def __init__(self, name: str, words: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """`directory`: its working directory, beside which its log lies."""
        self.name = name
        self.words = words
        self.log_file = directory.with_name(f"{directory.name}.log")
        self.strays: list[str] = []
        self._environment = dict(environment)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a life; returns at once."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.words,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl+C is for the drill, which ends its programs itself.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code of the last life; None while it runs or never ran."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All it wrote, in all its lives."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    async def until(self, probe: Callable[[], Any], what: str, *, within_s: float = START_S) -> Any:
        """The first true value of `probe`.

        Raises:
            UserError: it ended before, or took too long.
        """
        end = time.monotonic() + within_s
        while not (found := probe()):
            if not self.is_running or time.monotonic() > end:
                why = f"did not {what} within {within_s:.0f} s" if self.is_running else f"ended with {self.code}"
                raise UserError("drill_program", f"The {self.name} {why}. {_last_line(self.log)}".strip())
            await asyncio.sleep(0.02)
        return found

    async def kill(self) -> None:
        """End this life as a power cut does, and see to it that what it started ends as well."""
        assert self._process is not None, "it was started"
        below = self._below()
        if self.is_running:
            self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        self.strays += await self._outliving(below)

    async def stop(self) -> int:
        """End this life in order; returns the exit code."""
        assert self._process is not None, "it was started"
        below = self._below()
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            await self.kill()
        self.strays += await self._outliving(below)
        return self._process.returncode or 0

    def destroy(self) -> None:
        """End it and all below it now, whatever its state; idempotent."""
        if self._process is None:
            return
        below = self._below()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for process in below:
            _kill(process)

    def census(self, *, workers: int = 0) -> Census:
        """What it holds now."""
        kinds: dict[str, int] = {}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except OSError:
                continue
            kind = target.partition(":")[0] if not target.startswith("/") else "file"
            kinds[kind] = kinds.get(kind, 0) + 1
        told = tasks_file(Path(self._environment["XDG_RUNTIME_DIR"]), self.pid)
        tasks = int(told.read_text()) if told.exists() else None
        return Census(kinds, psutil.Process(self.pid).num_threads(), workers, tasks)

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a bug."""
        return [
            f"{self.name}: {line.strip()[:300]}"
            for line in self.log.splitlines()
            if any(words in line for words in COMPLAINTS)
        ]

    def _below(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            return []

    async def _outliving(self, below: list[psutil.Process]) -> list[str]:
        end = time.monotonic() + GONE_S
        while True:
            living = [process for process in below if _lives(process)]
            if not living or time.monotonic() > end:
                break
            await asyncio.sleep(0.02)
        found = [f"{process.pid}: {_command(process)} (below the {self.name})" for process in living]
        for process in living:
            _kill(process)
        return found


class Connector(Program):
    """`edge-connector run` of the drill's own installation."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str], home: Path) -> None:
        super().__init__("connector", [*command, "run", "--dir", str(home)], environment, home)
        self.home = home

    async def request(self, method: str) -> Any:
        """One request over its command socket; None when it cannot answer now."""
        try:
            async with asyncio.timeout(3.0), ControlClient(self.home) as client:
                return await client.request(method)
        except (EdgeError, TimeoutError, OSError):
            return None

    async def status(self) -> dict[str, Any]:
        """Its status; empty when it cannot answer now."""
        found: dict[str, Any] | None = await self.request("status")
        return found if found is not None and found["process"]["pid"] == self.pid else {}

    async def until_working(self, *, proven_after: str = "", within_s: float = START_S) -> dict[str, Any]:
        """Wait until it says that it works, with a proof other than the one of `proven_after`; the last status."""
        end = time.monotonic() + within_s
        status: dict[str, Any] = {}
        while time.monotonic() < end and self.is_running:
            status = await self.status() or status
            if status.get("state") == "working" and status["proven"]["at"] > proven_after:
                break
            await asyncio.sleep(0.05)
        return status


class Platform(Program):
    """`edge-connector platform serve` with the drill's own data."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str], data: Path, *, heartbeat_s: float):
        self._command = [*command, "platform", "serve", "--data", str(data), "--heartbeat", str(heartbeat_s)]
        super().__init__("platform", [], environment, data)
        self.api_port = 0
        self.rpc_port = 0
        self._is_set_up = False
        self._seen = 0

    def start(self) -> None:
        """Begin a life, at the ports of the last one."""
        self.words = [*self._command, "--api-port", str(self.api_port), "--rpc-port", str(self.rpc_port)]
        self._seen = len(self.log)
        super().start()

    async def until_serving(self) -> str:
        """Wait until it serves; returns the set-up code of a first start."""
        api, rpc, code = await self.until(self._announced, "serve")
        self.api_port, self.rpc_port = int(api.rpartition(":")[2]), int(rpc.rpartition(":")[2])
        return str(code)

    def _announced(self) -> tuple[str, str, str] | None:
        text = self.log[self._seen :]
        api, rpc = (re.search(rf"^{name}\s+(\S+)$", text, re.MULTILINE) for name in ("Platform API", "Tool RPC"))
        code = re.search(r"/setup\?code=(\S+)\s", text)
        if api is None or rpc is None or (code is None and not self._is_set_up):
            return None
        self._is_set_up = True
        return api.group(1), rpc.group(1), code.group(1) if code else ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:150]
    except psutil.Error:
        return "gone"


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        pass


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else ""
