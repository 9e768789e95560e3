"""Probes as a kubelet sends them: to the machine's own address, with whatever Host."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.access import Access
from tests.support.processes import running_connector


def _outside_address() -> str:
    """An IPv4 address of this machine that is not loopback; empty when there is none."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return address.address
    return ""


@pytest.fixture
def outside() -> Iterator[str]:
    """A non-loopback address of this machine; one made for the test on `lo` where the machine has none."""
    found = _outside_address()
    if found:
        yield found
        return
    if os.geteuid() != 0:
        pytest.skip("this machine has loopback addresses only, and adding one needs root")
    made = "192.0.2.77"
    subprocess.run(["ip", "address", "add", f"{made}/32", "dev", "lo"], check=True)
    try:
        yield made
    finally:
        subprocess.run(["ip", "address", "del", f"{made}/32", "dev", "lo"], check=True)


async def test_probes_from_outside_are_answered_whatever_their_host_header(
    access: Access, home: Path, outside: str
) -> None:
    async with access.connector(home, HEALTH_HOST="0.0.0.0", HEALTH_ALLOWED_HOSTS="edge.example") as fixed:
        connector = fixed.process
        for header in ("", "evil.example", "evil.example:8080", "10.1.2.3"):
            assert (await connector.health("/livez", host=outside, header=header))[0] == 200, header
            assert (await connector.health("/healthz", host=outside, header=header))[0] == 200, header
        # A page in a browser can give its own name to this machine; it may not read the status.
        code, document = await connector.health("/statusz", host=outside, header="evil.example")
        assert (code, document["error"]["code"]) == (403, "host_not_allowed")
        assert fixed.deployment.id not in str(document)
        for header in ("", "edge.example", "edge.example:8080", "localhost", "[::1]:8080"):
            assert (await connector.health("/statusz", host=outside, header=header))[0] == 200, header


async def test_readiness_from_outside_is_503_until_connected(access: Access, home: Path, outside: str) -> None:
    environment = access.environment(
        await access.deploy("outside"), HEALTH_HOST="0.0.0.0", TOOL_RPC_URL="ws://127.0.0.1:9"
    )
    async with running_connector(home, environment) as connector:
        await connector.until_problem("platform_unreachable")
        assert (await connector.health("/livez", host=outside, header="evil.example"))[0] == 200
        code, document = await connector.health("/healthz", host=outside, header="evil.example")
        assert (code, document["status"]) == (503, "not ready")


async def test_without_health_host_nobody_outside_is_answered(access: Access, home: Path, outside: str) -> None:
    async with access.connector(home) as fixed:
        port = await fixed.process.until_listening()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(outside, port)
