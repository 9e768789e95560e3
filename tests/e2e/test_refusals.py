"""Refused for good, and what only looks like it: each with its exit code or state, its sentence and its next step."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.people import RotateRequest
from tests.e2e.access import Access
from tests.support.commands import run_command
from tests.support.connector_process import problem_codes, running_connector
from tests.support.scripted_platform import ScriptedPlatform


async def test_a_wrong_secret_ends_the_process_with_the_documented_message(access: Access, home: Path) -> None:
    deployment = await access.deploy("wrong secret")
    environment = {**access.environment(deployment), "DEPLOYMENT_SECRET": "not-the-secret"}
    ended = await run_command("run", environment=environment, directory=home)
    assert ended.code == 6
    assert "error: Token validation failed" in ended.err
    assert "Verify DEPLOYMENT_ID and DEPLOYMENT_SECRET" in ended.err
    assert "not-the-secret" not in ended.err
    assert not (home / "edge-runtime.lock").exists()
    as_json = await run_command("run", "--json", environment=environment, directory=home)
    assert (as_json.code, as_json.error["code"]) == (6, "credentials_refused")
    assert as_json.error["hint"]


async def test_a_deployment_deleted_before_the_start_is_refused_for_good(access: Access, home: Path) -> None:
    deployment = await access.deploy("deleted")
    await access.client.call(ops.DELETE_DEPLOYMENT, path={"id": deployment.id})
    ended = await run_command("run", environment=access.environment(deployment), directory=home)
    assert ended.code == 6 and "Token validation failed" in ended.err


async def test_a_deployment_deleted_while_connected_needs_a_person(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        await access.client.call(ops.DELETE_DEPLOYMENT, path={"id": fixed.deployment.id})
        status = await fixed.process.until_state("needs_you")
        assert problem_codes(status) == ["deployment_gone"]
        assert status["problems"][0]["severity"] == "person" and status["problems"][0]["fix"]
        assert not status["authorised"]["accepted"]
        assert (await fixed.process.health("/healthz"))[0] == 503
        assert (await fixed.process.health("/livez"))[0] == 200
        assert fixed.process.code is None
        shown = await fixed.process.command("status")
        assert shown.code == 1 and "deleted" in shown.out
        assert await fixed.process.stop() == 0


async def test_a_rotated_secret_needs_a_person_and_the_new_one_works(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        renewed = await access.client.call(
            ops.ROTATE_SECRET, RotateRequest(keep_old_for_s=0), path={"id": fixed.deployment.id}
        )
        status = await fixed.process.until_state("needs_you")
        assert problem_codes(status) == ["credentials_revoked"]
        assert await fixed.process.stop() == 0
    async with running_connector(home, access.environment(renewed)) as again:
        await again.until_state("working")


async def test_without_credentials_it_says_so_and_exits_with_three(access: Access, home: Path) -> None:
    ended = await run_command("run", environment=access.environment(), directory=home)
    assert ended.code == 3
    assert "error: No authentication token found" in ended.err
    assert "DEPLOYMENT_ID and DEPLOYMENT_SECRET" in ended.err
    as_json = await run_command("run", "--json", environment=access.environment(), directory=home)
    assert (as_json.code, as_json.error["code"]) == (3, "no_credentials")
    assert as_json.error["message"].startswith("No authentication token found")
    assert not (home / "edge-runtime.lock").exists()


@pytest.mark.parametrize(
    ("claims", "code", "words"),
    [
        ({"orgId": "org_1", "exp": 1_000_000_000}, "token_expired", "Token has expired at 2001-09-09T01:46:40Z"),
        ({"exp": 4_000_000_000}, "token_without_organization", "Token validation failed: no organization in token"),
        (None, "token_invalid", "Token validation failed"),
    ],
    ids=["expired", "no organization", "no token at all"],
)
async def test_a_saved_token_that_is_no_good_is_refused_before_dialling(
    access: Access, home: Path, claims: dict[str, Any] | None, code: str, words: str
) -> None:
    _save_token(home, "nonsense" if claims is None else _token(claims))
    ended = await run_command("run", environment=access.environment(), directory=home)
    assert ended.code == 3
    assert words in ended.err and "auth-token.json" in ended.err
    as_json = await run_command("run", "--json", environment=access.environment(), directory=home)
    assert (as_json.code, as_json.error["code"]) == (3, code)


async def test_a_token_signed_by_somebody_else_is_refused_by_the_platform(access: Access, home: Path) -> None:
    _save_token(home, _token({"orgId": "org_1", "sub": "usr_1", "exp": int(time.time()) + 3600}))
    ended = await run_command("run", environment=access.environment(), directory=home)
    assert ended.code == 6 and "Token validation failed" in ended.err


async def test_a_persons_token_connects(access: Access, home: Path) -> None:
    made = await access.client.call(ops.CREATE_SESSION_TOKEN)
    _save_token(home, made.token)
    async with running_connector(home, access.environment()) as connector:
        status = await connector.until_state("working")
        assert status["authorised"]["method"] == "token" and status["authorised"]["accepted"]
        assert made.token not in connector.log


@pytest.mark.parametrize("missing", ["DEPLOYMENT_ID", "DEPLOYMENT_SECRET"])
async def test_half_a_pair_is_an_error_of_its_own(access: Access, home: Path, missing: str) -> None:
    environment = access.environment(await access.deploy("half"))
    del environment[missing]
    ended = await run_command("run", "--json", environment=environment, directory=home)
    assert (ended.code, ended.error["code"]) == (1, "half_credentials")
    assert missing in ended.error["message"] + ended.error["hint"]


@pytest.mark.parametrize("answer", [200, 302], ids=str)
async def test_a_web_server_is_no_platform_and_the_connector_keeps_trying(
    access: Access, home: Path, answer: int
) -> None:
    async with _web_server(answer) as url:
        environment = access.environment(await access.deploy("web"), TOOL_RPC_URL=url)
        async with running_connector(home, environment) as connector:
            status = await connector.until_problem("not_a_platform")
            assert status["state"] == "connecting" and status["link"]["nextAttemptInS"] is not None
            assert f"HTTP {answer}" in status["problems"][0]["sentence"]
            assert "3001" in status["problems"][0]["fix"]
            assert connector.code is None


async def test_the_api_port_in_place_of_the_rpc_port_is_told_apart(access: Access, home: Path) -> None:
    url = access.served.api_url.replace("http:", "ws:")
    environment = access.environment(await access.deploy("mixed up"), TOOL_RPC_URL=url)
    async with running_connector(home, environment) as connector:
        status = await connector.until_problem("not_a_platform")
        assert "Tool RPC port" in status["problems"][0]["fix"]


async def test_the_rpc_port_in_place_of_the_api_port_is_told_apart(access: Access) -> None:
    environment = access.environment(EC_API_TOKEN=access.served.server_token)
    environment["PLATFORM_API_URL"] = access.served.rpc_url.replace("ws:", "http:")
    ended = await run_command("tools", "list", "--json", environment=environment)
    assert ended.code == 1 and "Tool RPC port" in ended.error["message"]


async def test_a_peer_of_another_version_is_refused_for_good(access: Access, home: Path) -> None:
    async with ScriptedPlatform() as platform:
        platform.refuse_with = (4406, "this platform speaks version 7")
        environment = access.environment(await access.deploy("version"), TOOL_RPC_URL=platform.url)
        ended = await run_command("run", "--json", environment=environment, directory=home)
        assert (ended.code, ended.error["code"]) == (6, "version_unsupported")
        assert "version 7" in ended.error["message"] and "Update" in ended.error["hint"]
        assert len(platform.dials) == 1


async def test_a_welcome_in_a_version_nobody_offered_is_not_accepted(access: Access, home: Path) -> None:
    async with ScriptedPlatform() as platform:
        platform.version = 7
        environment = access.environment(await access.deploy("version"), TOOL_RPC_URL=platform.url)
        async with running_connector(home, environment) as connector:
            session = await platform.session()
            assert await session.closed() in (4406, 4422, 4400)
            assert connector.code is None or connector.code == 6


async def test_upgrade_refused_with_401_is_for_good_and_with_503_is_not(access: Access, tmp_path: Path) -> None:
    async with ScriptedPlatform() as platform:
        environment = access.environment(await access.deploy("upgrade"), TOOL_RPC_URL=platform.url)
        platform.refuse_upgrade = HTTPStatus.UNAUTHORIZED
        ended = await run_command("run", "--json", environment=environment, directory=tmp_path / "one")
        assert (ended.code, ended.error["code"]) == (6, "credentials_refused")
        platform.refuse_upgrade = HTTPStatus.SERVICE_UNAVAILABLE
        async with running_connector(tmp_path / "two", environment) as connector:
            await connector.until_problem("platform_unreachable")
            platform.refuse_upgrade = None
            await connector.request("redial")
            await platform.open_session()


async def test_malformed_and_huge_frames_end_the_session_with_a_named_code(access: Access, home: Path) -> None:
    async with ScriptedPlatform() as platform:
        environment = access.environment(await access.deploy("frames"), TOOL_RPC_URL=platform.url)
        async with running_connector(home, environment) as connector:
            for number, (frame, code) in enumerate((("{no json", 4400), ('"' + "x" * 100_000_000 + '"', 1009)), 1):
                session = await platform.open_session(number)
                await session.send_raw(frame)
                assert await session.closed() in (code, 4413)
                await connector.until_status(lambda status: status["link"]["phase"] == "waiting", what="waiting")
                await connector.request("redial")
            await platform.open_session(3)
            assert (await connector.status())["process"]["memoryBytes"] < 300 * 1024 * 1024


def _token(claims: dict[str, Any]) -> str:
    parts = [{"alg": "EdDSA", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, base64.urlsafe_b64encode(b"\1" * 64).rstrip(b"=").decode()])


def _save_token(home: Path, token: str) -> None:
    home.mkdir(exist_ok=True)
    path = home / "auth-token.json"
    path.write_text(json.dumps({"token": token}))
    path.chmod(0o600)


@asynccontextmanager
async def _web_server(answer: int) -> AsyncIterator[str]:
    async def respond(request: web.Request) -> web.Response:
        return web.Response(status=answer, text="hello", headers={"Location": "/elsewhere"})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", respond)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
