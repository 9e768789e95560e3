"""The machine in one look."""

from __future__ import annotations

import os
import platform
import shutil
import socket

from msgspec import Struct

from edge_connector.tools import tool


class SystemSummary(Struct):
    """Sizes in bytes."""

    host: str
    system: str
    python: str
    cpus: int
    load_1m: float
    disk_free: int
    disk_total: int
    processes: int
    sentence: str


@tool(risk="read", repeat="read")
def getSystemSummary() -> SystemSummary:
    """How the machine is doing, as figures and as one sentence."""
    cpus = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    disk = shutil.disk_usage(os.path.abspath(os.sep))
    processes = sum(name.isdigit() for name in os.listdir("/proc")) if os.path.isdir("/proc") else 0
    busy = "busy" if load > cpus else "at ease"
    full = 100 * disk.used / disk.total
    host = socket.gethostname()
    return SystemSummary(
        host=host,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cpus=cpus,
        load_1m=round(load, 2),
        disk_free=disk.free,
        disk_total=disk.total,
        processes=processes,
        sentence=f"{host} is {busy} (load {load:.2f} on {cpus} cores), its disk is {full:.0f} % full.",
    )
