"""The documented start order, seen from outside."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import jsonschema_rs

from edge_connector import __version__
from edge_connector.core.status import status_schema
from edge_connector.platform_api import models as api
from tests.e2e.access import Access, Fixed, Served, access_to, own_platform, set_up
from tests.support.commands import clean_environment
from tests.support.connector_process import problem_codes, running_connector
from tests.support.processes import PlatformProcess, ports_of


async def test_health_answers_before_the_platform_is_there_and_turns_ready_after(tmp_path: Path) -> None:
    async with own_platform(tmp_path / "data") as first:
        served, ports = await set_up(first), ports_of(first)
        pair = await _deployment(served.api_url, served.server_token)
        assert await first.stop() == 0
    environment = clean_environment(TOOL_RPC_URL=served.rpc_url, DEPLOYMENT_ID=pair.id, DEPLOYMENT_SECRET=pair.secret)
    async with running_connector(tmp_path / "home", environment) as connector:
        code, alive = await connector.health("/livez")
        assert (code, alive["status"], alive["pid"]) == (200, "alive", connector.pid)
        code, health = await connector.health("/healthz")
        assert (code, health["status"], health["state"]) == (503, "not ready", "connecting")
        await connector.until_problem("platform_unreachable")
        code, health = await connector.health("/healthz")
        assert (code, health["problems"]) == (503, ["platform_unreachable"])
        code, status = await connector.health("/statusz")
        assert code == 200
        jsonschema_rs.validator_for(status_schema()).validate(status)

        second = PlatformProcess(tmp_path / "data", api_port=ports.api, rpc_port=ports.rpc)
        try:
            await second.until_serving()
            await connector.request("redial")
            await connector.until_state("working")
            code, health = await connector.health("/healthz")
            assert (code, health["status"], health["state"]) == (200, "ready", "working")
            code, status = await connector.health("/statusz")
            jsonschema_rs.validator_for(status_schema()).validate(status)
            assert status["problems"] == []
            assert await connector.stop() == 0
        finally:
            await second.close()


async def test_lock_socket_status_and_log_of_a_working_connector(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        connector = fixed.process
        lock = connector.lock
        assert lock["pid"] == connector.pid
        assert lock["version"] == __version__
        assert lock["healthPort"] == await connector.until_listening() > 0
        assert lock["control"] == str(connector.socket)
        assert lock["startedAt"].endswith("Z")
        assert stat.S_IMODE(connector.lock_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(connector.socket.parent.stat().st_mode) == 0o700

        status = await connector.status()
        jsonschema_rs.validator_for(status_schema()).validate(status)
        assert status["schemaVersion"] == 1
        assert status["process"]["pid"] == connector.pid
        assert status["process"]["directory"] == str(home)
        assert status["link"]["phase"] == "open" and status["link"]["url"] == access.served.rpc_url
        assert status["authorised"]["deploymentId"] == fixed.deployment.id and status["authorised"]["accepted"]
        assert status["proven"]["kind"] == "platform" and status["proven"]["ageS"] < 30
        assert status["workers"] and status["health"]["port"] == lock["healthPort"]
        assert "echo" in [tool["name"] for tool in status["tools"]]
        assert (await connector.request("status"))["state"] == "working"

        # No step before its turn: credentials are looked at when health answers, and the link is dialled last.
        order = ("health server listens", "credentials found", "tools serve", "started version=", "registered session=")
        moments = [connector.log.index(words) for words in order]
        assert moments == sorted(moments)
        assert fixed.deployment.secret not in connector.log + (await _statusz(fixed))
        assert await connector.stop() == 0
        assert not connector.lock_file.exists() and not connector.socket.exists()


async def test_no_secret_is_in_the_arguments_of_any_process(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        for pid in [fixed.process.pid, *(int(line.split(":")[0]) for line in fixed.process.left_processes())]:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            assert fixed.deployment.secret.encode() not in words


async def test_the_connector_needs_no_terminal_and_no_home(access: Access, home: Path) -> None:
    environment = {**access.environment(await access.deploy("bare"))}
    for name in ("HOME", "LANG", "COLUMNS"):
        environment.pop(name)
    async with running_connector(home, environment) as connector:
        await connector.until_state("working")
        assert problem_codes(await connector.status()) == []
        assert await connector.stop(signal.SIGTERM) == 0
        assert os.listdir(home / "scratch") == []


async def _statusz(fixed: Fixed) -> str:
    code, document = await fixed.process.health("/statusz")
    assert code == 200
    return str(document)


async def _deployment(api_url: str, token: str) -> api.NewDeployment:
    async with access_to(Served(api_url, "", token)) as access:
        return await access.deploy("started later")
