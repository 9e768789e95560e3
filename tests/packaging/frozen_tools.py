"""Tools that a person could write, for the frozen build: they lie on disk as source and import what they like."""

from __future__ import annotations

import asyncio
import importlib
import math
import multiprocessing
import os
import pkgutil
import ssl
import subprocess
import sys

from edge_connector.tools import tool


@tool(risk="read", repeat="read", timeout_s=120)
def importEverything() -> dict[str, str]:
    """Import each module of the standard library; the names that fail, and why."""
    failed = {}
    for name in sorted(sys.stdlib_module_names):
        try:
            module = importlib.import_module(name)
            paths = getattr(module, "__path__", ())
            for child in [item.name for item in pkgutil.iter_modules(paths)]:
                if name not in ("test", "idlelib", "lib2to3", "encodings") and child not in ("__main__", "tests"):
                    importlib.import_module(f"{name}.{child}")
        except BaseException as error:  # some modules exit or raise oddly on the wrong system
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


@tool(risk="read", repeat="read", timeout_s=30)
def libraryPath() -> dict[str, str]:
    """What a program started by a tool is told about libraries."""
    shell = ["sh", "-c", 'printf %s "${LD_LIBRARY_PATH-unset}"']
    said = subprocess.run(shell, capture_output=True, text=True, timeout=10).stdout
    return {"here": os.environ.get("LD_LIBRARY_PATH", "unset"), "child": said}


@tool(risk="read", repeat="read", timeout_s=60)
def useProcesses() -> dict[str, list[int]]:
    """The square roots of some numbers, each by another kind of process pool."""
    found = {}
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            found[method] = pool.map(math.isqrt, [1, 4, 9])
    return found


@tool(risk="read", repeat="read", timeout_s=30)
async def useAsyncio() -> dict[str, str]:
    """What an asynchronous tool uses: a subprocess, a thread, a resolver."""
    process = await asyncio.create_subprocess_exec("uname", "-s", stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    address = await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    return {
        "system": out.decode().strip(),
        "thread": await asyncio.to_thread(str, 5),
        "addresses": str(len(address) > 0),
    }


@tool(risk="read", repeat="read", timeout_s=30)
def trustedCertificates() -> int:
    """How many certificate authorities an HTTPS request of a tool trusts."""
    return ssl.create_default_context().cert_store_stats()["x509_ca"]
