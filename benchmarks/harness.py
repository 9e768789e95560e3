"""What measurements share: processes with their processor time, ports, waiting, and the handle of a load generator."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]


class Process:
    """A child whose processor time, with its children's, is measured."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.process = psutil.Process(popen.pid)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def family(self) -> list[psutil.Process]:
        """The process and everything below it."""
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def loop_s(self) -> float:
        """Processor seconds so far of its first thread, where the event loop runs."""
        first = next(thread for thread in self.process.threads() if thread.id == self.process.pid)
        return float(first.user_time + first.system_time)

    def cpu_s(self, *, children: bool = True) -> float:
        """Processor seconds so far, with those of its children or without."""
        total = 0.0
        for process in self.family() if children else [self.process]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[Process]:
    """Run `command` until the block ends."""
    with log.open("ab") as output:
        popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield Process(popen)
    finally:
        end(popen)


def end(popen: subprocess.Popen[Any]) -> None:
    """Ask a process to end, then make it."""
    popen.terminate()
    try:
        popen.wait(15)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """The first truthy value of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise SystemExit(f"not within {seconds:.0f} s: {what}")


def listens(port: int) -> bool:
    """Whether somebody listens on this port of the loopback."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """A load generator of its own process."""

    def __init__(self, python: str, config: dict[str, Any], log: Path) -> None:
        with log.open("ab") as errors:
            self.popen = subprocess.Popen(
                [python, "-m", "benchmarks.load", json.dumps(config)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT,
            )  # fmt: skip
        self._log = log
        self.calls = 0
        """Calls of all runs so far."""
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._log.read_text()[-2000:]}
        if "error" in answer:
            raise SystemExit(f"the load generator failed: {answer['error']}")
        return answer

    def begin(self, callers: int, seconds: float) -> None:
        """Start a run; `result` waits for its end."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps({"callers": callers, "seconds": seconds}).encode() + b"\n")
        self.popen.stdin.flush()

    def result(self) -> dict[str, Any]:
        """What came of the run."""
        answer = self._answer()
        self.calls += answer["calls"]
        return answer

    def run(self, callers: int, seconds: float) -> dict[str, Any]:
        """A whole run."""
        self.begin(callers, seconds)
        return self.result()

    def close(self) -> None:
        """End the process."""
        end(self.popen)
        for pipe in (self.popen.stdin, self.popen.stdout):
            assert pipe is not None
            pipe.close()


def post(port: int, path: str, body: str, *headers: str) -> str:
    """The text of one POST."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


def raw_request(port: int, request: str) -> str:
    """The body of the answer to one request."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(request.encode())
        received = b""
        while True:
            head, found, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE) if found else None
            if length is not None and len(body) >= int(length[1]):
                return body.decode()
            chunk = client.recv(65536)
            if not chunk:
                raise SystemExit(f"the connection was closed after {received[:500]!r}")
            received += chunk


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def log_line(text: str) -> None:
    """Progress for whoever waits."""
    import sys

    print(text, file=sys.stderr, flush=True)
