"""A real platform and a real connector as processes, set up the way a user does it, with the benchmark's tools."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Process, running, wait_for

CLI = [sys.executable, "-m", "edge_connector.cli.main"]
TOOLS = ROOT / "benchmarks" / "tools"
REGISTERED = b"registered session="


@dataclass
class Edge:
    """What is running, and how to reach it."""

    platform: Process
    connector: Process
    api_port: int
    rpc_port: int
    token: str
    deployment: str
    home: Path
    registered_ms: float
    """From starting `edge-connector run` until it was registered."""

    @property
    def parts(self) -> dict[str, Any]:
        """Processor time: each process by its loop and the threads beside it, and the connector's workers.

        The threads beside the loop are what the platform's history and the connector's ledger cost in SQLite.
        """
        platform, connector = self.platform, self.connector
        return {
            "platform": platform.loop_s,
            "platformHistory": lambda: platform.cpu_s(children=False) - platform.loop_s(),
            "connector": connector.loop_s,
            "connectorLedger": lambda: connector.cpu_s(children=False) - connector.loop_s(),
            "workers": lambda: connector.cpu_s() - connector.cpu_s(children=False),
        }


@contextmanager
def edge(home: Path, command_line: list[str] = CLI, **environment: str) -> Iterator[Edge]:
    """Start both, and end them after the block.

    Args:
        command_line: the program that serves the platform.
        environment: settings of the connector beside the usual ones.
    """
    installation = home / "connector"
    (installation / "custom-implementations" / "tools").mkdir(parents=True)
    shutil.copy(TOOLS / "bench_tools.py", installation / "custom-implementations" / "tools")
    ports = ["--api-port", "0", "--rpc-port", "0"]
    serve = [*command_line, "platform", "serve", "--data", str(home / "platform"), *ports]
    log = home / "platform.log"
    with running(serve, log, PYTHONUNBUFFERED="1") as platform:
        wait_for(lambda: "code=" in log.read_text() or not platform.alive, "the platform")
        api, rpc = re.findall(r"(?:http|ws)://[^/\s]+", log.read_text())[:2]
        token, deployment, secret = asyncio.run(set_up(api, log))
        settings = {
            "EC_HOME": str(installation), "TOOL_RPC_URL": rpc, "PLATFORM_API_URL": api,
            "DEPLOYMENT_ID": deployment, "DEPLOYMENT_SECRET": secret, "HEALTH_PORT": "0",
            "EC_TOOL_CONCURRENCY": "128", **environment,
        }  # fmt: skip
        began = time.perf_counter()
        with running([*CLI, "run"], home / "connector.log", **settings) as connector:
            # Its log says so. Asking the health port would make it load an HTTP server that nobody needs here.
            said = home / "connector.log"
            wait_for(lambda: REGISTERED in said.read_bytes() or not connector.alive, "the connector")
            took_ms = (time.perf_counter() - began) * 1000
            api_port, rpc_port = (int(url.rpartition(":")[2]) for url in (api, rpc))
            yield Edge(platform, connector, api_port, rpc_port, token, deployment, installation, took_ms)


async def set_up(api: str, log: Path) -> tuple[str, str, str]:
    """Use the one-time code; returns token, deployment id and secret."""
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_api.models import DeploymentRequest, SetupRequest
    from edge_connector.platform_api.operations import CREATE_DEPLOYMENT, SETUP

    match = re.search(r"code=(\S+)", log.read_text())
    assert match is not None, log.read_text()
    async with PlatformClient(api) as client:
        request = SetupRequest(code=match[1], organization="Bench", name="Bench", email="bench@localhost")
        token = (await client.call(SETUP, request)).server_token

    async def provide() -> str:
        return token

    async with PlatformClient(api, provide) as client:
        made = await client.call(CREATE_DEPLOYMENT, DeploymentRequest(name="bench"))
    return token, made.id, made.secret


def is_ready(port: int) -> bool:
    """Whether /healthz answers 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)
    except OSError:
        return False
