"""Sign-in of connectors over HTTP: the device grant, refresh, revocation, metadata, and what ends live links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge_connector.core.errors import UserError
from edge_connector.platform_api import models as api
from edge_connector.platform_api import oauth, people
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from tests.support.peers import connector, pair
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import DEVICE, HERE, PASSWORD, new_member, parts_of, signed_in, token_request
from tests.support.waiting import eventually


async def form(platform: RunningPlatform, path: str, data: Any) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(platform.api_url + path, data=data, headers={"Content-Type": FORM}) as reply,
    ):
        return reply.status, await reply.json(), reply.headers


FORM = "application/x-www-form-urlencoded"


async def test_the_first_admin_may_have_a_password_from_the_start(tmp_path: Path) -> None:
    server = PlatformServer(PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0))
    await server.start()
    try:
        async with PlatformClient(server.api_url) as client:
            wanted = api.SetupRequest(
                code=server.setup_code or "", organization="Acme", name="Ada", email="ada@acme.test", password="short"
            )
            with pytest.raises(UserError) as short:
                await client.call(ops.SETUP, wanted)
            assert short.value.code == "password_length"
            wanted.password = PASSWORD
            made = await client.call(ops.SETUP, wanted)
        assert server._parts is not None
        session = await server._parts.sessions.sign_in("ada@acme.test", PASSWORD, address=HERE)
        assert session.principal is not None
        assert session.principal.organization_id == made.organization_id
    finally:
        await server.stop()


async def test_a_connector_signs_in_refreshes_and_signs_out(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        grant = await platform.client.call(ops.DEVICE_AUTHORIZATION, DEVICE)
        assert grant.verification_uri == f"{platform.api_url}/device"
        assert grant.verification_uri_complete == f"{platform.api_url}/device?user_code={grant.user_code}"
        assert (grant.expires_in, grant.interval) == (600, 5)
        with pytest.raises(UserError) as pending:
            await platform.client.call(ops.OAUTH_TOKEN, token_request(grant))
        assert pending.value.code == "authorization_pending"
        tokens = await signed_in(platform, platform.user_id)
        assert (tokens.token_type, tokens.expires_in) == ("Bearer", 3600)
        me = await platform.client_with(tokens.access_token).call(ops.WHOAMI)
        assert (me.kind, me.user_id, me.organization_id) == ("user", platform.user_id, platform.organization_id)
        request = oauth.TokenRequest(grant_type=oauth.REFRESH_GRANT, refresh_token=tokens.refresh_token)
        fresh = await platform.client.call(ops.OAUTH_TOKEN, request)
        assert fresh.refresh_token != tokens.refresh_token
        own = platform.client_with(fresh.access_token)
        listed = (await own.call(ops.LIST_SESSIONS)).sessions
        current = [known for known in listed if known.is_current]
        assert [(known.kind, known.place) for known in current] == [("connector", "Edge Connector on box")]
        await platform.client.call(ops.OAUTH_REVOKE, oauth.RevokeRequest(token=fresh.refresh_token))
        for dead in (tokens.access_token, fresh.access_token):
            with pytest.raises(Exception, match="not known here, were revoked"):
                await platform.client_with(dead).call(ops.WHOAMI)


async def test_refusals_have_the_form_of_oauth_and_are_not_kept(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        token, device = ops.OAUTH_TOKEN.path, ops.DEVICE_AUTHORIZATION.path
        cases: list[tuple[str, Any, int, str]] = [
            (token, "", 400, "invalid_request"),
            (token, "grant_type=password", 400, "unsupported_grant_type"),
            (token, "grant_type=refresh_token", 400, "invalid_request"),
            (token, "grant_type=refresh_token&refresh_token=ecr_x", 400, "invalid_grant"),
            (token, "grant_type=refresh_token&grant_type=refresh_token&refresh_token=x", 400, "invalid_request"),
            (token, {"grant_type": oauth.DEVICE_CODE_GRANT, "device_code": "ecd_x"}, 400, "invalid_request"),
            (
                token,
                {"grant_type": oauth.DEVICE_CODE_GRANT, "device_code": "x", "client_id": "edge-connector"},
                400,
                "invalid_grant",
            ),
            (token, b"\xff\xfe", 400, "invalid_request"),
            (device, "client_id=other", 401, "invalid_client"),
            (device, f"client_id=edge-connector&host={'x' * 300}", 400, "invalid_request"),
            (ops.OAUTH_REVOKE.path, "", 400, "invalid_request"),
        ]
        for path, data, status, error in cases:
            given, body, _ = await form(platform, path, data)
            assert (given, body["error"]) == (status, error), (path, data, body)
            assert body["error_description"]
        known = {"client_id": "edge-connector", "unknown_field": "is ignored"}
        status, body, headers = await form(platform, device, known)
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        status, _, _ = await form(platform, ops.OAUTH_REVOKE.path, {"token": "ecr_unknown"})
        assert status == 200


async def test_the_metadata_name_what_is_served(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        metadata = await platform.client.call(ops.SERVER_METADATA)
        assert metadata.issuer == platform.api_url
        assert metadata.grant_types_supported == [oauth.DEVICE_CODE_GRANT, "refresh_token"]
        for url in (metadata.device_authorization_endpoint, metadata.token_endpoint, metadata.revocation_endpoint):
            status, body, _ = await form(platform, url.removeprefix(platform.api_url), "")
            assert (status, body["error"]) == (400, "invalid_request")


async def test_the_desktop_of_a_member_is_registered_once_and_linked_by_its_secret(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        bob = platform.client_with(
            (await signed_in(platform, await new_member(platform, "bob@example.test"))).access_token
        )
        wanted = people.DesktopRequest(instance_id="inst-1", host="laptop")
        first = await bob.call(ops.REGISTER_DESKTOP, wanted)
        again = await bob.call(ops.REGISTER_DESKTOP, wanted)
        other = await bob.call(ops.REGISTER_DESKTOP, people.DesktopRequest(instance_id="inst-2", host="laptop"))
        assert (first.is_new, again.is_new, other.is_new) == (True, False, True)
        assert first.id == again.id != other.id
        assert (first.name, other.name, first.organization) == ("laptop", "laptop 2", "Test organization")
        for secret in (first.secret, again.secret):
            async with connector(platform.rpc_url, pair(first.id, secret), instance_id="inst-1"):
                assert (await platform.deployment(first.id)).type == "DESKTOP"
        with pytest.raises(UserError) as program:
            await platform.client.call(ops.REGISTER_DESKTOP, wanted)
        assert program.value.code == "forbidden"
        edge = await platform.deploy()
        with pytest.raises(UserError) as foreign:
            await bob.call(ops.ROTATE_SECRET, path={"id": edge.id})
        assert foreign.value.code == "forbidden"
        assert (await bob.call(ops.ROTATE_SECRET, path={"id": first.id})).old_secret_until is not None
        await bob.call(ops.END_OLD_SECRET, path={"id": first.id})


async def test_two_secrets_are_good_during_a_rotation_until_the_old_one_is_ended(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), instance_id="one") as old:
            fresh = await platform.client.call(ops.ROTATE_SECRET, path={"id": edge.id})
            assert fresh.old_secret_until is not None
            assert (await platform.deployment(edge.id)).old_secret_until == fresh.old_secret_until
            for secret in (edge.secret, fresh.secret):
                me = await platform.client_with(pair(edge.id, secret).removeprefix("Bearer ")).call(ops.WHOAMI)
                assert me.deployment_id == edge.id
            assert old.socket.close_code is None
            await platform.restart()
            for secret in (edge.secret, fresh.secret):
                await platform.client_with(pair(edge.id, secret)).call(ops.WHOAMI)
        async with connector(platform.rpc_url, pair(edge.id, edge.secret), instance_id="one") as old:
            await platform.client.call(ops.END_OLD_SECRET, path={"id": edge.id})
            assert await old.closed() == (4410, "the deployment's secret was changed")
        assert (await platform.deployment(edge.id)).old_secret_until is None
        async with connector(platform.rpc_url, pair(edge.id, fresh.secret), instance_id="one") as new:
            short = await platform.client.call(
                ops.ROTATE_SECRET, people.RotateRequest(keep_old_for_s=1), path={"id": edge.id}
            )
            assert (await new.closed())[0] == 4410, "the session ends with the overlap"
        own = platform.client_with(pair(edge.id, short.secret))
        with pytest.raises(UserError):
            await own.call(ops.ROTATE_SECRET, people.RotateRequest(keep_old_for_s=0), path={"id": edge.id})
        assert (await own.call(ops.ROTATE_SECRET, path={"id": edge.id})).secret != short.secret


async def test_a_removed_members_links_and_tokens_end_at_once(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        user_id = await new_member(platform, "bob@example.test")
        tokens = await signed_in(platform, user_id)
        bob = platform.client_with(tokens.access_token)
        desktop = await bob.call(ops.REGISTER_DESKTOP, people.DesktopRequest(instance_id="inst-1", host="laptop"))
        edge = await platform.deploy()
        async with (
            connector(platform.rpc_url, pair(edge.id, edge.secret)) as lasting,
            connector(platform.rpc_url, pair(desktop.id, desktop.secret), instance_id="inst-1") as by_secret,
            connector(platform.rpc_url, f"Bearer {tokens.access_token}", instance_id="inst-2") as by_token,
        ):
            await platform.client.call(ops.REMOVE_MEMBER, path={"id": user_id})
            for link in (by_secret, by_token):
                assert (await link.closed())[0] == 4410
            assert lasting.socket.close_code is None
        for dead in (tokens.access_token, pair(desktop.id, desktop.secret)):
            with pytest.raises(Exception, match="revoked"):
                await platform.client_with(dead).call(ops.WHOAMI)


async def test_a_deactivated_organization_ends_everything_and_comes_back(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        tokens = await signed_in(platform, platform.user_id)
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as link:
            await parts_of(platform).members.set_organization_active(
                platform.organization_id, False, address="127.0.0.1"
            )
            assert await link.closed() == (4410, "the organization is deactivated")
        for dead in (platform.server_token, tokens.access_token, pair(edge.id, edge.secret)):
            with pytest.raises(Exception, match="revoked"):
                await platform.client_with(dead).call(ops.WHOAMI)
        await parts_of(platform).members.set_organization_active(platform.organization_id, True, address="127.0.0.1")
        await platform.client.call(ops.WHOAMI)


async def test_acts_are_in_the_audit_log_with_filter_and_pages(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        made = await platform.client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name="agent"))
        await platform.client.call(ops.REVOKE_SERVER_TOKEN, path={"id": made.id})
        edge = await platform.deploy()
        await platform.client.call(ops.ROTATE_SECRET, path={"id": edge.id})
        await platform.client.call(ops.DELETE_DEPLOYMENT, path={"id": edge.id})

        async def entries(**which: Any) -> list[people.AuditEntry]:
            return (await platform.client.call(ops.LIST_AUDIT, query=people.AuditQuery(**which))).entries

        assert [entry.action for entry in await entries()] == [
            "deployment.deleted", "deployment.secret_rotated", "deployment.created",
            "server_token.revoked", "server_token.created", "organization.created",
        ]  # fmt: skip
        assert len(await entries(action="deployment.")) == 3
        created = (await entries(action="server_token.created"))[0]
        assert (created.actor_kind, created.actor_name, created.address) == ("server_token", "first token", "127.0.0.1")
        assert (created.subject_id, created.subject_name) == (made.id, "agent")
        assert [entry.detail for entry in await entries(action="deployment.secret_rotated")] == [
            {"keep_old_for_s": 86400}
        ]
        seen: list[int] = []
        before = 0
        while True:
            page = await platform.client.call(ops.LIST_AUDIT, query=people.AuditQuery(limit=4, before=before))
            seen += [entry.seq for entry in page.entries]
            if not (before := page.next):
                break
        assert seen == sorted(seen, reverse=True) and len(seen) == 6
        await platform.restart()
        assert len(await entries()) == 6


async def test_the_last_use_of_a_token_is_shown(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        made = await platform.client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name="agent"))

        async def last_used() -> str | None:
            listed = (await platform.client.call(ops.LIST_SERVER_TOKENS)).tokens
            return next(token.last_used_at for token in listed if token.id == made.id)

        assert await last_used() is None
        await platform.client_with(made.token).call(ops.WHOAMI)
        assert await eventually(last_used, what="the use is shown")
