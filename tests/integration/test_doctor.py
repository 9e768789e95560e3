"""Each symptom of the documented troubleshooting table, made by breaking that very thing: the doctor names it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from edge_connector.core.checks import CheckResult, CheckStatus, run_checks
from edge_connector.platform_api import models as api
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from edge_connector.runtime.doctor.registry import CHECKS
from edge_connector.runtime.doctor.subject import Subject
from tests.support.real_connector import environment, running_connector
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.waiting import eventually

Results = dict[str, CheckResult]
TOOLS = """
import time
from edge_connector.tools import tool

@tool(risk="read", repeat="read", timeout_s=0.3)
def slow() -> int:
    time.sleep(30)
    return 1

@tool(risk="read", repeat="read")
def raising() -> int:
    raise ValueError("unhandled")
"""


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[RunningPlatform]:
    async with running_platform(tmp_path) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


async def examine(home: Path, variables: dict[str, str], *only: str, mend: bool = False) -> Results:
    """All checks but the import of the tools, which starts processes; or `only` these without what they need."""
    subject = Subject(home, variables)
    wanted = only or tuple(check.id for check in CHECKS if check.id != "tools")
    checks = [check for check in CHECKS if check.id in wanted]
    return {result.id: result for result in await run_checks(checks, subject, mend=mend)}


async def deployed(platform: RunningPlatform, **more: str) -> dict[str, str]:
    """The variables of a connector of a new deployment."""
    made = await platform.deploy()
    return {**environment(platform.rpc_url, made.id, made.secret), "PLATFORM_API_URL": platform.api_url, **more}


def statuses(results: Results) -> dict[str, str]:
    """What is not ok; how much the machine of the tests has to do is left out."""
    not_ok = {name: result.status.value for name, result in results.items() if result.status is not CheckStatus.OK}
    return {name: status for name, status in not_ok.items() if name not in ("memory", "disk")}


def failed(results: Results, name: str, *words: str) -> None:
    """The check failed, and its proof and fix hold the words."""
    result = results[name]
    assert result.status is CheckStatus.FAIL, result
    assert result.fix
    for word in words:
        assert word in f"{result.proof} {result.fix}", result


# ---- nothing is wrong


async def test_before_the_first_run_everything_is_well_but_nothing_runs(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform)
    results = await examine(home, variables, *(check.id for check in CHECKS))
    assert statuses(results) == {"runtime": "warn", "link": "skipped", "proof": "skipped", "calls": "skipped"}
    assert "Test organization" in results["organization"].proof
    assert "127.0.0.1" in results["dns"].proof
    assert sorted(path.name for path in home.iterdir()) == [], "the doctor leaves nothing behind"
    shown = await platform.deployment(variables["DEPLOYMENT_ID"])
    assert shown.active_connectors == 0


async def test_a_working_connector_is_well_and_keeps_its_session(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform)
    async with running_connector(home, variables) as runtime:
        session = runtime.board.snapshot().link.session_id
        results = await examine(home, variables, *(check.id for check in CHECKS))
        assert statuses(results) == {}
        assert f"pid {os.getpid()}" in results["lock"].proof and f"pid {os.getpid()}" in results["port"].proof
        assert "s ago" in results["proof"].proof
        assert runtime.board.snapshot().link.session_id == session
        assert runtime.board.snapshot().link.reconnects == 0


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
    from datetime import UTC, datetime

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


# ---- credentials


async def test_no_token_file(platform: RunningPlatform, home: Path) -> None:
    variables = {"TOOL_RPC_URL": platform.rpc_url, "PLATFORM_API_URL": platform.api_url}
    results = await examine(home, variables)
    failed(results, "credentials", "No authentication token found", "auth-token.json", "DEPLOYMENT_ID")
    assert results["upgrade"].status is CheckStatus.OK, "the way is proven without credentials"


async def test_an_expired_token(platform: RunningPlatform, home: Path) -> None:
    save_token(home, unsigned({"orgId": "org_1", "exp": 1_000_000_000}))
    variables = {"TOOL_RPC_URL": platform.rpc_url, "PLATFORM_API_URL": platform.api_url}
    failed(await examine(home, variables), "credentials", "Token has expired", "edge-connector auth --browser")


async def test_a_token_without_organization(platform: RunningPlatform, home: Path) -> None:
    save_token(home, unsigned({"exp": 4_000_000_000}))
    variables = {"TOOL_RPC_URL": platform.rpc_url, "PLATFORM_API_URL": platform.api_url}
    failed(await examine(home, variables), "credentials", "no organization in token", "Log in to an organization")


async def test_a_wrong_deployment_secret(platform: RunningPlatform, home: Path) -> None:
    results = await examine(home, await deployed(platform, DEPLOYMENT_SECRET="sec_" + "x" * 30))
    failed(results, "authentication", "Token validation failed", "Verify DEPLOYMENT_ID and DEPLOYMENT_SECRET")
    assert statuses(results)["duplicate"] == "skipped"


async def test_a_persons_token_makes_no_deployment(platform: RunningPlatform, home: Path) -> None:
    save_token(home, platform.session_token)
    variables = {"TOOL_RPC_URL": platform.rpc_url, "PLATFORM_API_URL": platform.api_url}
    results = await examine(home, variables)
    assert results["authentication"].status is CheckStatus.SKIPPED and "first `run`" in results["authentication"].proof
    from edge_connector.platform_api import operations as ops

    assert (await platform.client.call(ops.LIST_DEPLOYMENTS)).deployments == []


# ---- one connector a deployment and a directory


async def test_another_connector_of_the_deployment(platform: RunningPlatform, home: Path, tmp_path: Path) -> None:
    variables = await deployed(platform)
    async with running_connector(tmp_path / "other", variables) as other:
        results = await examine(home, variables)
        failed(results, "duplicate", "Deployment already connected", "Stop the other connector")
        assert results["authentication"].status is CheckStatus.OK
        assert other.board.snapshot().link.reconnects == 0, "the other one's session is left alone"


async def test_a_running_connector_that_is_the_second_one(
    platform: RunningPlatform, home: Path, tmp_path: Path
) -> None:
    variables = await deployed(platform)
    async with (
        running_connector(tmp_path / "first", variables),
        running_connector(home, variables, until_working=False) as second,
    ):
        await eventually(lambda: second.board.problems, what="the second one to be refused")
        results = await examine(home, variables)
        failed(results, "duplicate", "Deployment already connected", "--take-over")
        failed(results, "runtime", "Deployment already connected")
        assert "knows them" in results["authentication"].proof


async def test_a_proxy_address_that_is_wrong_does_not_show_its_password(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pass-word-123@127.0.0.1:1/path")
    results = await examine(home, await deployed(platform))
    failed(results, "dns", "path is meaningless", "HTTPS_PROXY")
    assert "pass-word-123" not in str(results)


async def test_a_stale_lock_and_what_a_crash_left(platform: RunningPlatform, home: Path) -> None:
    lock = home / "edge-runtime.lock"
    lock.write_text(json.dumps({"pid": 999_999_999}))
    (home / "scratch" / "worker-7").mkdir(parents=True)
    variables = await deployed(platform)
    found = (await examine(home, variables, "directory", "lock"))["lock"]
    assert found.status is CheckStatus.WARN and "999999999" in found.proof and f"rm {lock}" in found.fix
    mended = (await examine(home, variables, "directory", "lock", mend=True))["lock"]
    assert mended.status is CheckStatus.OK and f"removed {lock}" in mended.mended
    assert not lock.exists() and not (home / "scratch" / "worker-7").exists()


async def test_a_held_lock_is_never_removed(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform)
    async with running_connector(home, variables):
        (home / "scratch" / "worker-in-use").mkdir(parents=True, exist_ok=True)
        results = await examine(home, variables, "directory", "lock", mend=True)
        assert results["lock"].status is CheckStatus.OK and not results["lock"].mended
        assert (home / "edge-runtime.lock").exists() and (home / "scratch" / "worker-in-use").exists()


async def test_the_health_port_in_use(platform: RunningPlatform, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        variables = await deployed(platform, HEALTH_PORT=str(port))
        failed(
            await examine(home, variables, "configuration", "port"),
            "port", f"port {port}", f"pid {os.getpid()}", "Set HEALTH_PORT",
        )  # fmt: skip


# ---- tools


async def test_tools_that_cannot_be_imported_are_named_with_and_without_a_connector(
    platform: RunningPlatform, home: Path
) -> None:
    variables = await deployed(platform)
    folder = home / "custom-implementations" / "tools"
    folder.mkdir(parents=True)
    (folder / "broken.py").write_text("import a_module_that_is_not_here\n")
    failed(await examine(home, variables, "configuration", "tools"), "tools", "a_module_that_is_not_here", "Mend")
    async with running_connector(home, variables):
        failed(await examine(home, variables, "configuration", "tools"), "tools", "a_module_that_is_not_here", "Mend")


async def test_tools_that_time_out_or_raise(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform)
    async with running_connector(home, variables, tools=TOOLS):
        for name, outcome in (("slow", "timed_out"), ("raising", "failed")):
            call: api.Call = await platform.call(name)
            assert call.outcome == outcome
        found = (await examine(home, variables, "configuration", "calls"))["calls"]
        assert found.status is CheckStatus.WARN
        assert "1 of slow timed out" in found.proof and "1 of raising failed" in found.proof
        assert "endless loops" in found.fix and "structured error object" in found.fix


# ---- the server restarts


async def test_a_server_restart_is_seen_and_passes(platform: RunningPlatform, home: Path) -> None:
    variables = await deployed(platform)
    async with running_connector(home, variables) as runtime:
        await platform.server.stop()
        await eventually(lambda: runtime.board.snapshot().link.phase == "waiting", what="the link to be down")
        results = await examine(home, variables)
        failed(results, "route", "ECONNREFUSED", "Start the platform server")
        failed(results, "link", "waiting", "dials again by itself")
        failed(results, "runtime", "Connecting")
        await platform.restart()
        runtime.redial("the test")
        await eventually(lambda: runtime.board.state == "working", what="the connector to work again")
        assert statuses(await examine(home, variables)) == {}


# ---- the installation


async def test_wrong_configuration_is_the_only_cause_that_is_told(home: Path) -> None:
    (home / "config.json").write_text('{"healthPort": "many"}')
    results = await examine(home, {})
    failed(results, "configuration", "healthPort")
    assert statuses(results)["dns"] == statuses(results)["credentials"] == statuses(results)["port"] == "skipped"


async def test_an_unknown_key_is_a_warning(home: Path) -> None:
    (home / "config.json").write_text('{"helthPort": 1}')
    found = (await examine(home, {}, "configuration"))["configuration"]
    assert found.status is CheckStatus.WARN and "helthPort" in found.proof and "healthPort" in found.fix


async def test_secrets_that_others_may_read_are_closed(home: Path) -> None:
    save_token(home, "x")
    token = home / "auth-token.json"
    token.chmod(0o644)
    home.chmod(0o775)
    found = (await examine(home, {}, "directory"))["directory"]
    assert found.status is CheckStatus.WARN and "auth-token.json" in found.proof and "chmod" in found.fix
    found = (await examine(home, {}, "directory", mend=True))["directory"]
    assert found.status is CheckStatus.OK and "auth-token.json" in found.mended
    assert token.stat().st_mode & 0o777 == 0o600 and home.stat().st_mode & 0o022 == 0


async def test_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10 * 1024 * 1024, "total": 1 << 40})()
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage)
    failed(await examine(home, {}, "disk"), "disk", "10 MiB of", "Free some space")


async def test_a_machine_without_memory_or_with_too_much_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for available, load, status in ((32, 0.0, "fail"), (128, 0.0, "warn"), (4096, 1000.0, "warn"), (4096, 0.0, "ok")):
        memory = type("Memory", (), {"available": available * 1024 * 1024, "total": 1 << 33})()
        monkeypatch.setattr("psutil.virtual_memory", lambda memory=memory: memory)
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, load, load))
        found = (await examine(home, {}, "memory"))["memory"]
        assert found.status == status and f"{available} MiB of" in found.proof and f"load {load}" in found.proof
        assert bool(found.fix) == (status != "ok")


async def test_a_file_in_place_of_the_log_folder(home: Path) -> None:
    (home / "logs").write_text("")
    failed(await examine(home, {}, "directory", "logs"), "logs", "a file where a directory is needed")


# ---- what stands in the way


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def unsigned(claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "EdDSA"}, claims)]
    return b".".join([*parts, b"AAAA"]).decode()


def save_token(home: Path, token: str) -> None:
    path = home / "auth-token.json"
    path.write_text(json.dumps({"token": token}))
    path.chmod(0o600)


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def answering(answer: Callable[[bytes], bytes] | None) -> AsyncIterator[int]:
    """A server that gives one answer to each request; None: it stays silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
            return
        writer.write(answer(head))
        await writer.drain()

    async with serving(serve) as port:
        yield port


@asynccontextmanager
async def proxy_without_upgrade(rpc_url: str) -> AsyncIterator[int]:
    """A reverse proxy that drops hop-by-hop headers, as RFC 9110 wants of one that does not know the upgrade."""
    host, _, port = rpc_url.removeprefix("ws://").partition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith((b"upgrade:", b"connection:"))]
        there_reader, there = await asyncio.open_connection(host, int(port))
        try:
            there.write(b"\r\n".join(kept))
            writer.write(await there_reader.readuntil(b"\r\n\r\n"))
            writer.write(await there_reader.read(4096))
            await writer.drain()
        finally:
            there.close()
            await there.wait_closed()

    async with serving(serve) as listening:
        yield listening


@asynccontextmanager
async def tunnelling_proxy() -> AsyncIterator[int]:
    """An HTTP proxy that does what CONNECT asks."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().rpartition(":")
        there_reader, there = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pump(reader, there), pump(there_reader, writer), return_exceptions=True)
        finally:
            there.close()

    async with serving(serve) as listening:
        yield listening


@asynccontextmanager
async def platform_with(authority: trustme.CA, name: str, **terms: Any) -> AsyncIterator[str]:
    """A platform whose certificate is for `name`; yields its address at localhost."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        certificate = authority.issue_cert(name, **terms)
        for number, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(data / "cert.pem", append=number > 0)
        certificate.private_key_pem.write_to_path(data / "key.pem")
        server = PlatformServer(
            PlatformConfig(
                data=data / "data", api_port=0, rpc_port=0, tls_cert=data / "cert.pem", tls_key=data / "key.pem"
            )
        )
        await server.start()
        try:
            yield f"wss://localhost:{server.rpc_url.rpartition(':')[2]}"
        finally:
            await server.stop()
