"""What the doctor says of the way to the platform when that very thing is broken: ports, names, proxies, TLS, clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme

from edge_connector.core.checks import CheckStatus
from tests.support.examination import deployed, examine, failed, statuses
from tests.support.obstacles import answering, free_port, platform_with, proxy_without_upgrade, tunnelling_proxy
from tests.support.real_connector import environment
from tests.support.real_platform import RunningPlatform

# ---- ECONNREFUSED or cannot connect


async def test_platform_server_not_running(home: Path) -> None:
    port = free_port()
    variables = environment(f"ws://127.0.0.1:{port}", "dep", "secret")
    results = await examine(home, {**variables, "PLATFORM_API_URL": f"http://127.0.0.1:{free_port()}"})
    failed(results, "route", "ECONNREFUSED", str(port), "Start the platform server")
    assert statuses(results)["upgrade"] == statuses(results)["authentication"] == "skipped"
    assert "route" in results["tls"].proof


async def test_port_mismatch(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform, TOOL_RPC_URL=f"ws://127.0.0.1:{free_port()}")
    failed(await examine(home, variables), "route", "port mismatch", "must listen on the port in TOOL_RPC_URL")


async def test_the_port_of_the_api_in_place_of_tool_rpc(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform, TOOL_RPC_URL=platform.api_url.replace("http", "ws", 1))
    failed(await examine(home, variables), "upgrade", "HTTP API, not its Tool RPC port", "TOOL_RPC_URL")


async def test_a_name_that_does_not_exist(home: Path) -> None:
    results = await examine(home, environment("wss://platform.invalid", "dep", "secret"))
    failed(results, "dns", "platform.invalid", "ENOTFOUND", "TOOL_RPC_URL", "wss://")


async def test_a_web_server_in_place_of_the_platform(platform: RunningPlatform, home: Path) -> None:
    async with answering(lambda head: b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 2\r\n\r\nhi") as port:
        variables = await deployed(platform, TOOL_RPC_URL=f"ws://127.0.0.1:{port}")
        failed(await examine(home, variables), "upgrade", "HTTP 200 instead of an upgrade", "nginx", "no Tool RPC port")


async def test_a_port_that_accepts_and_says_nothing(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_connector.runtime.doctor.way.STEP_S", 0.2)
    async with answering(None) as port:
        variables = await deployed(platform, TOOL_RPC_URL=f"ws://127.0.0.1:{port}")
        failed(await examine(home, variables), "upgrade", "no answer to the upgrade within 0.2 s")


async def test_a_proxy_that_opens_no_tunnel(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(lambda head: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        results = await examine(home, await deployed(platform))
        assert f"127.0.0.1:{port}" in results["route"].proof
        failed(results, "upgrade", "opens no tunnel", "403", "may not support the WebSocket upgrade")
        assert statuses(results)["authentication"] == "skipped"


async def test_a_proxy_that_eats_the_upgrade(platform: RunningPlatform, home: Path) -> None:
    async with proxy_without_upgrade(platform.rpc_url) as port:
        variables = await deployed(platform, TOOL_RPC_URL=f"ws://127.0.0.1:{port}")
        failed(await examine(home, variables), "upgrade", "HTTP 426", "takes the upgrade away", "NO_PROXY")


async def test_a_proxy_that_tunnels_is_gone_through(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tunnelling_proxy() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        results = await examine(home, await deployed(platform))
        assert results["upgrade"].status is CheckStatus.OK and f"127.0.0.1:{port}" in results["upgrade"].proof
        assert results["authentication"].status is CheckStatus.OK


async def test_a_proxy_address_that_is_wrong_does_not_show_its_password(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass-word-123@127.0.0.1:1/path")
    results = await examine(home, await deployed(platform))
    failed(results, "dns", "path is meaningless", "HTTPS_PROXY")
    assert "pass-word-123" not in str(results)


# ---- TLS and clock


@pytest.mark.parametrize("who", ["Example CA", "Zscaler Root CA"])
async def test_a_certificate_of_an_unknown_authority(home: Path, who: str) -> None:
    authority = trustme.CA(organization_name=who)
    async with platform_with(authority, "localhost") as rpc_url:
        variables = environment(rpc_url, "dep", "secret")
        results = await examine(home, variables)
        failed(results, "tls", "EC_CA_FILE", who)
        assert ("intercepted by Zscaler" in results["tls"].proof) == who.startswith("Zscaler")
        authority.cert_pem.write_to_path(home / "ca.pem")
        results = await examine(home, {**variables, "EC_CA_FILE": str(home / "ca.pem")})
        assert results["tls"].status is CheckStatus.OK and "more days" in results["tls"].proof
        failed(results, "authentication", "Token validation failed")


async def test_tls_inside_the_tunnel_of_a_proxy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(home / "ca.pem")
    async with platform_with(authority, "localhost") as rpc_url, tunnelling_proxy() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        variables = {**environment(rpc_url, "dep", "secret"), "EC_CA_FILE": str(home / "ca.pem")}
        results = await examine(home, variables)
        assert results["tls"].status is CheckStatus.OK, results["tls"]
        assert results["upgrade"].status is CheckStatus.OK and "through the proxy" in results["upgrade"].proof


async def test_a_certificate_of_another_name(home: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(home / "ca.pem")
    async with platform_with(authority, "platform.example") as rpc_url:
        variables = {**environment(rpc_url, "dep", "secret"), "EC_CA_FILE": str(home / "ca.pem")}
        failed(await examine(home, variables), "tls", "platform.example, not for localhost", "TOOL_RPC_URL")


async def test_an_expired_certificate(home: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(home / "ca.pem")
    async with platform_with(authority, "localhost", not_after=datetime(2024, 5, 1, tzinfo=UTC)) as rpc_url:
        variables = {**environment(rpc_url, "dep", "secret"), "EC_CA_FILE": str(home / "ca.pem")}
        failed(await examine(home, variables), "tls", "expired on 2024-05-01", "Renew the platform's certificate")


async def test_tls_towards_a_port_without_it(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform, TOOL_RPC_URL=platform.rpc_url.replace("ws:", "wss:"))
    failed(await examine(home, variables), "tls", "does not speak TLS", "Use ws://")


@pytest.mark.parametrize(("ahead_s", "status"), [(0, "ok"), (30, "warn"), (3600, "fail")])
async def test_a_clock_that_is_wrong(platform: RunningPlatform, home: Path, ahead_s: int, status: str) -> None:
    def answer(head: bytes) -> bytes:
        date = formatdate(time.time() - ahead_s, usegmt=True)
        return f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()

    async with answering(answer) as port:
        variables = await deployed(platform, PLATFORM_API_URL=f"http://127.0.0.1:{port}")
        found = (await examine(home, variables))["clock"]
        assert found.status == status
        if ahead_s:
            assert "ahead of" in found.proof and "clock" in found.fix
