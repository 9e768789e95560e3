"""The built-in tools that are always there: echo, system, network, disk, environment names, log tail.

They run in the workers like any other tool. What only one of them needs is imported inside it: a worker stays small.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from edge_connector.tools.api import ToolError, tool

_STEP_TIMEOUT_S = 5.0
_TAIL_BYTES = 1024 * 1024


class SystemInfo(Struct):
    """Facts about the machine; sizes in bytes, times in seconds."""

    host: str
    system: str
    release: str
    machine: str
    python: str
    cpus: int
    load: list[float]
    memory_total: int
    memory_available: int
    uptime_s: float


class DiskUsage(Struct):
    """Sizes in bytes."""

    path: str
    total: int
    used: int
    free: int
    used_percent: float


class NetworkStep(Struct):
    """One step on the way to the platform."""

    name: str
    ok: bool
    ms: float
    detail: str


class NetworkCheck(Struct):
    """`ok` when all steps worked; the first failed step is the last one listed."""

    ok: bool
    url: str
    steps: list[NetworkStep]


class LogTail(Struct):
    """The last lines of a file; `truncated` when there were more."""

    path: str
    lines: list[str]
    truncated: bool


def diagnostics(platform_url: str, log_file: str) -> list[Callable[..., Any]]:
    """The built-in tools, for a worker that was told where platform and log are."""

    @tool(repeat="read", risk="read", title="Platform network check")
    def getPlatformNetworkCheck() -> NetworkCheck:
        """Check the way from this machine to the platform: name, TCP, TLS and HTTP, each with its time."""
        return check_network(platform_url)

    @tool(repeat="read", risk="read")
    def tailConnectorLog(lines: Annotated[int, Meta(ge=1, le=2000, description="How many lines")] = 100) -> LogTail:
        """The last lines of the connector's own log."""
        if not log_file:
            raise ToolError(
                "no_log_file", "This connector writes its log to no file.", hint="Start it with a log file."
            )
        return tail(Path(log_file), lines)

    return [echo, getSystemInfo, getPlatformNetworkCheck, getDiskUsage, listEnvironmentNames, tailConnectorLog]


@tool(repeat="read", risk="read")
async def echo(message: Any) -> dict[str, Any]:
    """Return the message unchanged: proves that calls reach this machine's tools and come back."""
    return {"message": message}


@tool(repeat="read", risk="read")
def getSystemInfo() -> SystemInfo:
    """Operating system, Python, processors, load, memory and uptime of the machine the connector runs on."""
    total, available = _memory()
    return SystemInfo(
        host=socket.gethostname(),
        system=platform.system(),
        release=platform.release(),
        machine=platform.machine(),
        python=platform.python_version(),
        cpus=os.cpu_count() or 1,
        load=[round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        memory_total=total,
        memory_available=available,
        uptime_s=_uptime_s(),
    )


@tool(repeat="read", risk="read")
def getDiskUsage(
    path: Annotated[str, Meta(description="Any path on the file system in question")] = os.path.abspath(os.sep),
) -> DiskUsage:
    """How full the file system is that holds a path."""
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        raise ToolError("path_unreadable", f"{path}: {error.strerror or error}.") from error
    percent = round(100 * usage.used / usage.total, 1) if usage.total else 0.0
    return DiskUsage(os.path.abspath(path), usage.total, usage.used, usage.free, percent)


@tool(repeat="read", risk="read")
def listEnvironmentNames() -> list[str]:
    """Names, never values, of the environment variables that tools can see."""
    return sorted(os.environ)


def tail(path: Path, lines: int) -> LogTail:
    """The last `lines` lines of `path`, from at most its last MiB."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            found = file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise ToolError("log_unreadable", f"The log {path} cannot be read: {error.strerror or error}.") from error
    if start:
        found = found[1:]  # begins in the middle of a line
    return LogTail(str(path), found[-lines:], bool(start) or len(found) > lines)


def check_network(url: str) -> NetworkCheck:
    """Walk the way to `url` step by step and stop at the first step that fails."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme in ("https", "wss")
    try:
        port = parts.port or (443 if secure else 80)
    except ValueError:
        host, port = "", 0
    check = NetworkCheck(False, f"{parts.scheme}://{host}:{port}", [])
    if not host:
        check.url = url
        check.steps.append(NetworkStep("address", False, 0.0, f"{url!r} is no platform address"))
        return check
    connection: Any = None

    def resolve() -> str:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))

    def connect() -> str:
        nonlocal connection
        connection = socket.create_connection((host, port), timeout=_STEP_TIMEOUT_S)
        return f"from {connection.getsockname()[0]} to {connection.getpeername()[0]}:{port}"

    def secure_it() -> str:
        import ssl

        nonlocal connection
        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        return f"{connection.version()} {connection.cipher()[0]}"

    def ask() -> str:
        import http.client

        client = http.client.HTTPConnection(host, port, timeout=_STEP_TIMEOUT_S)
        client.sock = connection
        client.request("GET", f"{parts.path.rstrip('/')}/livez", headers={"Connection": "close"})
        answer = client.getresponse()
        return f"GET /livez answered {answer.status} {answer.reason}"

    steps: list[tuple[str, Callable[[], str]]] = [("dns", resolve), ("tcp", connect), ("http", ask)]
    if secure:
        steps.insert(2, ("tls", secure_it))
    try:
        for name, step in steps:
            began = time.perf_counter()
            try:
                ok, detail = True, step()
            except Exception as error:  # resolver, socket, TLS and HTTP each have their own; all mean: this step failed
                ok, detail = False, f"{type(error).__name__}: {error}"
            check.steps.append(NetworkStep(name, ok, round((time.perf_counter() - began) * 1000, 2), detail))
            if not ok:
                return check
    finally:
        if connection is not None:
            connection.close()
    check.ok = True
    return check


def _memory() -> tuple[int, int]:
    """Total and available bytes; zeros where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            rows = dict(line.split(":", 1) for line in file)
        return int(rows["MemTotal"].split()[0]) * 1024, int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0, 0


def _uptime_s() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return round(time.clock_gettime(clock), 1) if clock is not None and sys.platform == "linux" else 0.0
