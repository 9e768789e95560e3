"""Each symptom of the documented troubleshooting table, made by breaking that very thing: the doctor names it.

What lies between connector and platform is in `test_doctor_way`.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from edge_connector.core.checks import CheckStatus
from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.runtime.doctor.registry import CHECKS
from tests.support.examination import deployed, examine, failed, statuses
from tests.support.real_connector import running_connector
from tests.support.real_platform import RunningPlatform
from tests.support.waiting import eventually

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


def unsigned(claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "EdDSA"}, claims)]
    return b".".join([*parts, b"AAAA"]).decode()


def save_token(home: Path, token: str) -> None:
    path = home / "auth-token.json"
    path.write_text(json.dumps({"token": token}))
    path.chmod(0o600)


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
