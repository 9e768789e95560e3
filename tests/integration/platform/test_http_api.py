"""The HTTP side of a real platform: access to each operation, set-up, tokens, organizations, bad requests, pages."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
import pytest

from edge_connector.core.errors import NeedsLogin, RetryLater, UserError
from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from tests.support.browser import browser
from tests.support.peers import connector, pair
from tests.support.real_platform import RunningPlatform, running_platform

TWICE = {"password": "correct horse battery", "password_again": "correct horse battery"}


async def ask(
    platform: RunningPlatform, method: str, path: str, *, token: str | None = None, **options: Any
) -> tuple[int, Any]:
    """One plain HTTP request: status and decoded body."""
    headers = dict(options.pop("headers", {}))
    if token is not None:
        headers["Authorization"] = token if " " in token else f"Bearer {token}"
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, platform.api_url + path, headers=headers, allow_redirects=False, **options) as reply,
    ):
        text = await reply.text()
        return reply.status, msgspec.json.decode(text) if reply.content_type == "application/json" else text


def concrete(path: str) -> str:
    return path.replace("{id}", "nothing")


def add_member(platform: RunningPlatform, organization_id: str, *, role: str, new_organization: bool = False) -> None:
    """Put a member (and a server token) into the store of a stopped platform."""
    connection = sqlite3.connect(platform.config.data / "platform.db")
    with connection:
        if new_organization:
            connection.execute(
                "INSERT INTO organizations (id, name, active, created_at) VALUES (?, 'Other', 1, 0)", (organization_id,)
            )
        connection.execute(
            "INSERT INTO users (id, email, name, password_hash, oidc_subject, active, created_at)"
            " VALUES (?, ?, 'Bob', '', '', 1, 0)",
            (f"usr_{role}_{organization_id}", f"bob@{organization_id}.test"),
        )
        connection.execute(
            "INSERT INTO memberships (user_id, organization_id, role, created_at) VALUES (?, ?, ?, 0)",
            (f"usr_{role}_{organization_id}", organization_id, role),
        )
        connection.execute(
            "INSERT INTO server_tokens (id, organization_id, user_id, name, digest, created_at) VALUES (?,?,?,?,?,0)",
            (
                f"tok_{role}_{organization_id}",
                organization_id,
                f"usr_{role}_{organization_id}",
                "other",
                hashlib.sha256(f"ect_{role}_{organization_id}".encode()).digest(),
            ),
        )
    connection.close()


async def test_every_operation_is_served_and_guarded_as_the_table_says(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        await platform.server.stop()
        add_member(platform, platform.organization_id, role="member")
        await platform.restart()
        member = await platform.client_with(f"ect_member_{platform.organization_id}").call(
            ops.CREATE_SESSION_TOKEN, api.SessionTokenRequest()
        )
        edge = await platform.deploy()
        machine = pair(edge.id, edge.secret)
        status, document = await ask(platform, "GET", "/api/v1/openapi.json")
        assert (status, document["openapi"]) == (200, "3.1.0")
        for method, path, scope in ops.access_table():
            assert document["paths"][path][method.lower()]["x-scope"] == scope
            anonymous, body = await ask(platform, method, concrete(path))
            by_machine, _ = await ask(platform, method, concrete(path), token=machine)
            by_member, _ = await ask(platform, method, concrete(path), token=member.token)
            if scope == "public":
                assert anonymous not in (401, 403, 404, 405), path
                continue
            assert (anonymous, body["error"]["code"]) == (401, "credentials_missing"), path
            assert (by_machine == 403) == (scope in ("calls", "manage", "operate")), path
            # A session token calls, but makes no other one.
            assert (by_member == 403) == (scope in ("manage", "operate") or path == ops.CREATE_SESSION_TOKEN.path), path


async def test_set_up_works_once_and_only_with_the_code(tmp_path: Path) -> None:
    server = PlatformServer(PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0))
    await server.start()
    try:
        code = server.setup_code
        assert code is not None
        assert server.setup_url == f"{server.api_url}/setup?code={code}"
        assert code.encode() not in (tmp_path / "data" / "platform.db").read_bytes()
        async with PlatformClient(server.api_url) as client:
            wanted = api.SetupRequest(code="wrong", organization="O", name="N", email="n@o.test")
            with pytest.raises(UserError) as wrong:
                await client.call(ops.SETUP, wanted)
            assert wrong.value.code == "wrong_setup_code"
            wanted.code = code
            made = await client.call(ops.SETUP, wanted)
            assert not server.setup_code
            assert not server.setup_url
            with pytest.raises(UserError) as again:
                await client.call(ops.SETUP, wanted)
            assert again.value.code == "already_set_up"
            keys = (await client.call(ops.JWKS)).keys
        key = jwt.PyJWK(msgspec.to_builtins(keys[0]))
        claims = jwt.decode(made.session_token, key, algorithms=["EdDSA"])
        assert jwt.get_unverified_header(made.session_token)["kid"] == keys[0].kid
        assert claims["orgId"] == made.organization_id
        assert claims["orgs"] == {made.organization_id: {"name": "O", "role": "admin"}}
        assert (claims["sub"], claims["email"], claims["iss"]) == (made.user_id, "n@o.test", server.api_url)
    finally:
        await server.stop()
    assert (tmp_path / "data" / "signing-key.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data" / "platform.db").stat().st_mode & 0o777 == 0o600
    data = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir() if file.is_file())
    assert made.server_token.encode() not in data


async def test_the_set_up_page_makes_the_organization_once(tmp_path: Path) -> None:
    server = PlatformServer(PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0))
    await server.start()
    try:
        async with browser(server.api_url) as visitor:
            assert "not set up yet" in (await visitor.open("/")).visible
            refused = await visitor.open("/setup?code=wrong")
            assert (refused.status, "not the set-up code" in refused.visible) == (403, True)
            await visitor.open(f"/setup?code={server.setup_code}")
            fields = {"organization": "<b>Acme</b>", "name": "Ada", "email": "nonsense", **TWICE}
            invalid = await visitor.send("/setup", **fields)
            assert (invalid.status, "This is not an e-mail address" in invalid.visible) == (400, True)
            assert "&lt;b&gt;Acme&lt;/b&gt;" in invalid.text
            form = dict(invalid.form("/setup").fields)
            done = await visitor.send("/setup", **(fields | {"email": "ada@acme.test"}))
            (token,) = done.secrets
            async with browser(server.api_url) as other:
                await other.open("/sign-in")
                again = await other.post("/setup", form | {"csrf": other.page.form("/sign-in").fields["csrf"]})
                assert again.status == 409
        async with aiohttp.ClientSession(base_url=server.api_url) as http:
            async with http.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"}) as whoami:
                assert (await whoami.json())["organization"] == "<b>Acme</b>"
            async with http.get("/static/platform.css") as style:
                assert style.content_type == "text/css"
    finally:
        await server.stop()


async def test_tokens_are_shown_once_listed_and_revoked_at_once(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        made = await platform.client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name="agent"))
        agent = platform.client_with(made.token)
        me = await agent.call(ops.WHOAMI)
        assert (me.kind, me.name, me.organization_id) == ("server_token", "agent", platform.organization_id)
        listed = (await platform.client.call(ops.LIST_SERVER_TOKENS)).tokens
        assert [token.name for token in listed] == ["first token", "agent"]
        assert listed[1].last_used_at is not None
        await platform.client.call(ops.REVOKE_SERVER_TOKEN, path={"id": made.id})
        with pytest.raises(NeedsLogin) as revoked:
            await agent.call(ops.WHOAMI)
        assert revoked.value.code == "credentials_refused"
        await platform.restart()
        with pytest.raises(NeedsLogin):
            await platform.client_with(made.token).call(ops.WHOAMI)
        session = await platform.client.call(ops.CREATE_SESSION_TOKEN, api.SessionTokenRequest())
        person = await platform.client_with(session.token).call(ops.WHOAMI)
        assert (person.kind, person.email) == ("user", "ada@example.test")
        with pytest.raises(UserError) as renewed:
            await platform.client_with(session.token).call(ops.CREATE_SESSION_TOKEN, api.SessionTokenRequest())
        assert (renewed.value.code, "server token" in renewed.value.hint) == ("forbidden", True)


async def test_another_organization_sees_nothing(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        await platform.server.stop()
        add_member(platform, "org_other", role="admin", new_organization=True)
        await platform.restart()
        stranger = platform.client_with("ect_admin_org_other")
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            call = await platform.call("echo", key="k")
            assert (await stranger.call(ops.LIST_DEPLOYMENTS)).deployments == []
            assert (await stranger.call(ops.LIST_TOOLS)).tools == []
            assert (await stranger.call(ops.LIST_CALLS)).calls == []
            assert len((await stranger.call(ops.LIST_SERVER_TOKENS)).tokens) == 1
            missing_ids: tuple[tuple[ops.Operation[Any, Any], str], ...] = (
                (ops.GET_DEPLOYMENT, edge.id),
                (ops.DELETE_DEPLOYMENT, edge.id),
                (ops.ROTATE_SECRET, edge.id),
                (ops.GET_CALL, call.id),
                (ops.CANCEL_CALL, call.id),
                (ops.REVOKE_SERVER_TOKEN, (await platform.client.call(ops.LIST_SERVER_TOKENS)).tokens[0].id),
            )
            for operation, missing in missing_ids:
                with pytest.raises(UserError) as unknown:
                    await stranger.call(operation, path={"id": missing})
                assert unknown.value.code.startswith("unknown_"), operation.name
            with pytest.raises(UserError) as elsewhere:
                await platform.call("echo", deployment=edge.id, client=stranger)
            assert elsewhere.value.code == "unknown_deployment"


async def test_bad_requests_name_the_field(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        token = platform.server_token
        calls: list[tuple[bytes, str]] = [
            (b"{", "truncated"),
            (b"{}", "tool"),
            (b'{"tool": 5}', "$.tool"),
            (b'{"tool": "echo", "arguments": [1]}', "$.arguments"),
            (b'{"tool": "echo", "timeoutMs": -1}', "$.timeoutMs"),
            (b'{"tool": "echo", "timeout_ms": 1}', "timeout_ms"),
            (b"\xff", "invalid"),
            (b"[" * 100_000, "object"),
        ]
        for body, words in calls:
            status, reply = await ask(platform, "POST", "/api/v1/calls", token=token, data=body)
            assert (status, reply["error"]["code"]) == (400, "invalid_request"), body[:40]
            assert words in reply["error"]["message"], reply
        status, reply = await ask(platform, "GET", "/api/v1/calls?limit=many", token=token)
        assert (status, "$.limit" in reply["error"]["message"]) == (400, True)
        status, reply = await ask(platform, "POST", "/api/v1/deployments", token=token, data=b'{"name": ""}')
        assert (status, "$.name" in reply["error"]["message"]) == (400, True)
        status, reply = await ask(platform, "GET", "/api/v1/nothing", token=token)
        assert (status, reply["error"]["code"]) == (404, "unknown_path")
        status, reply = await ask(platform, "PUT", "/api/v1/calls", token=token)
        assert (status, reply["error"]["code"]) == (405, "method_not_allowed")
        headers = {"Idempotency-Key": "x" * 300}
        body = b'{"tool": "echo"}'
        status, reply = await ask(platform, "POST", "/api/v1/calls", token=token, data=body, headers=headers)
        assert (status, "Idempotency-Key" in reply["error"]["message"]) == (400, True)


async def test_bodies_over_the_limit_are_refused(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)):
            assert (await platform.call("echo", {"text": "x" * 7_000_000})).outcome == "succeeded"
            with pytest.raises(UserError) as announced:
                await platform.call("echo", {"text": "x" * 9_000_000})
            assert announced.value.code == "body_too_large"
            assert (await platform.call("echo", {"text": "x"})).outcome == "succeeded"


async def test_names_of_other_hosts_are_refused(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        for path in ("/", "/api/v1/tools", "/setup"):
            status, reply = await ask(platform, "GET", path, headers={"Host": "evil.example:80"})
            assert (status, reply["error"]["code"]) == (421, "wrong_host")
        status, reply = await ask(platform, "POST", "/api/v1/calls", headers={"Host": "evil.example"}, data=b"{}")
        assert status == 421
        for host in ("localhost:1", "127.0.0.1", "[::1]:3000", "192.168.1.5"):
            assert (await ask(platform, "GET", "/", headers={"Host": host}))[0] == 200
        for path in ("/livez", "/healthz"):
            assert await ask(platform, "GET", path, headers={"Host": "pod.example"}) == (200, {"status": "ok"})


async def test_failed_attempts_are_limited_but_good_credentials_still_pass(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        guesser = platform.client_with("ect_guess")
        with pytest.raises(RetryLater) as limited:
            for _ in range(100):
                try:
                    await guesser.call(ops.WHOAMI)
                except NeedsLogin:
                    continue
        assert limited.value.code == "too_many_attempts"
        assert (await platform.client.call(ops.WHOAMI)).kind == "server_token"


async def test_a_name_is_used_once(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        await platform.deploy("edge")
        with pytest.raises(UserError) as taken:
            await platform.deploy("edge")
        assert taken.value.code == "name_taken"
