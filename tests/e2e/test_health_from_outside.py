"""Probes as a kubelet sends them: from another machine, with whatever Host."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.access import Access
from tests.support.connector_process import running_connector
from tests.support.networks import connect, machines

EDGE, OUTSIDE = "192.0.2.1", "192.0.2.2"
"""The two ends of the cable; TEST-NET-1 (RFC 5737) is routed nowhere else."""

PROBE = """
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=10)
headers = {"Host": sys.argv[4]} if sys.argv[4] else {}
try:
    connection.request("GET", sys.argv[3], headers=headers)
except ConnectionRefusedError:
    print(json.dumps([0, None]))
else:
    response = connection.getresponse()
    print(json.dumps([response.status, json.loads(response.read())]))
"""


class Cable:
    """Two machines on a cable of their own: network namespaces with one end of a veth pair each."""

    def __init__(self, edge: str, outside: str) -> None:
        self.edge = edge
        self.outside = outside

    async def get(self, port: int, path: str, header: str = "") -> tuple[int, Any]:
        """Status and document of a request from outside to the edge; status 0 when the port is closed."""
        words = ["ip", "netns", "exec", self.outside, sys.executable, "-c", PROBE, EDGE, str(port), path, header]
        ended = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=20)
        assert ended.returncode == 0, ended.stderr
        code, document = json.loads(ended.stdout)
        return code, document


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with machines("edge", "outside") as (edge, outside):
        connect(edge, f"{EDGE}/30", outside, f"{OUTSIDE}/30", cable="cable")
        yield Cable(edge, outside)


async def test_probes_from_outside_are_answered_whatever_their_host_header(
    access: Access, home: Path, cable: Cable
) -> None:
    environment = access.environment(
        await access.deploy("outside"),
        HEALTH_HOST="0.0.0.0",
        HEALTH_ALLOWED_HOSTS="edge.example",
        TOOL_RPC_URL="ws://127.0.0.1:9",
    )
    async with running_connector(home, environment, network=cable.edge) as connector:
        await connector.until_problem("platform_unreachable")
        port = await connector.until_listening()
        for header in ("", "evil.example", "evil.example:8080", "10.1.2.3"):
            assert (await cable.get(port, "/livez", header))[0] == 200, header
            code, document = await cable.get(port, "/healthz", header)
            assert (code, document["status"]) == (503, "not ready"), header
        # A page in a browser can give its own name to this machine; it may not read the status.
        code, document = await cable.get(port, "/statusz", "evil.example")
        assert (code, document["error"]["code"]) == (403, "host_not_allowed")
        for header in ("", "edge.example", "edge.example:8080", "localhost", "[::1]:8080"):
            assert (await cable.get(port, "/statusz", header))[0] == 200, header


async def test_without_health_host_nobody_outside_is_answered(access: Access, home: Path, cable: Cable) -> None:
    environment = access.environment(await access.deploy("inside"), TOOL_RPC_URL="ws://127.0.0.1:9")
    async with running_connector(home, environment, network=cable.edge) as connector:
        port = await connector.until_listening()
        assert await cable.get(port, "/livez") == (0, None)


async def test_readiness_is_answered_to_any_host_name(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        for header in ("", "evil.example", "edge-connector.default.svc:8080"):
            assert (await fixed.process.health("/healthz", header=header))[0] == 200, header
            assert (await fixed.process.health("/livez", header=header))[0] == 200, header
        code, document = await fixed.process.health("/statusz", header="evil.example")
        assert (code, document["error"]["code"]) == (403, "host_not_allowed")
        assert fixed.deployment.id not in str(document)
