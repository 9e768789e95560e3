"""The operator of a platform: commands on the machine where its data is, and tokens that only its key makes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_connector.core.errors import NeedsLogin, UserError
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api import people
from edge_connector.platform_api.operations import OPERATIONS, Scope
from edge_connector.platform_server.identity import operator_token
from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.signing import SigningKey
from tests.support.commands import Finished, run_command
from tests.support.peers import HELLO, close_of, connector, pair
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import HERE, PASSWORD, browser_of, new_member, parts_of, signed_in


async def operate(platform: RunningPlatform, *words: str) -> Finished:
    return await run_command(
        "platform", *words, "--data", str(platform.config.data), "--url", platform.api_url, "--json"
    )


async def test_an_organization_is_deactivated_at_once_and_goes_on_later(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        async with connector(platform.rpc_url, pair(edge.id, edge.secret)) as link:
            ended = await operate(platform, "deactivate", platform.organization_id)
            assert (ended.code, ended.document["active"]) == (0, False)
            assert await link.closed() == (4410, "the organization is deactivated")
        with pytest.raises(NeedsLogin):
            await platform.client.call(ops.WHOAMI)
        assert (await close_of(platform.rpc_url, pair(edge.id, edge.secret), HELLO))[0] == 4403
        await platform.restart()
        listed = await operate(platform, "organizations")
        (row,) = listed.document["organizations"]
        assert (row["id"], row["active"], row["members"], row["deployments"]) == (platform.organization_id, False, 1, 1)
        assert (await operate(platform, "activate", platform.organization_id)).code == 0
        await platform.client.call(ops.WHOAMI)
        actions = [entry.action for entry in (await platform.client.call(ops.LIST_AUDIT)).entries]
        assert actions[:2] == ["organization.activated", "organization.deactivated"]
        unknown = await operate(platform, "activate", "org_nothing")
        assert (unknown.code, unknown.error["code"]) == (1, "unknown_organization")


async def test_a_lost_password_is_replaced_and_every_sign_in_ends(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        bob = await new_member(platform, "bob@example.test")
        browser, tokens = await browser_of(platform, bob), await signed_in(platform, bob)
        made = await operate(platform, "password", "Bob@example.test")
        assert (made.code, made.document["email"]) == (0, "bob@example.test")
        sessions = parts_of(platform).sessions
        assert sessions.find(browser.token) is None
        with pytest.raises(NeedsLogin):
            await platform.client_with(tokens.access_token).call(ops.WHOAMI)
        with pytest.raises(Refused):
            await sessions.sign_in("bob@example.test", PASSWORD, address=HERE)
        await sessions.sign_in("bob@example.test", made.document["password"], address=HERE)
        assert (await operate(platform, "password", "nobody@example.test")).error["code"] == "unknown_person"


async def test_the_operators_token_does_nothing_else_and_is_made_by_the_key_alone(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        token = operator_token(SigningKey.load_or_create(platform.config.data / "signing-key.pem"), time.time())
        operator = platform.client_with(token)
        assert len((await operator.call(ops.LIST_ALL_ORGANIZATIONS)).organizations) == 1
        for operation in OPERATIONS:
            if operation.scope in (Scope.PUBLIC, Scope.OPERATE):
                continue
            with pytest.raises(UserError) as refused:
                await operator.call(operation, path={"id": "x"} if "{id}" in operation.path else None)
            assert refused.value.code == "forbidden", operation.name
        assert (await close_of(platform.rpc_url, f"Bearer {token}", HELLO))[0] == 4403
        foreign = operator_token(SigningKey.load_or_create(tmp_path / "other.pem"), time.time())
        with pytest.raises(NeedsLogin):
            await platform.client_with(foreign).call(ops.LIST_ALL_ORGANIZATIONS)
        with pytest.raises(UserError) as admin:
            await platform.client.call(ops.RESET_PASSWORD, people.PasswordResetRequest(email="ada@example.test"))
        assert admin.value.code == "forbidden"


async def test_without_the_platforms_data_it_says_so(tmp_path: Path) -> None:
    ended = await run_command("platform", "organizations", "--data", str(tmp_path / "nothing"), "--json")
    assert (ended.code, ended.error["code"]) == (1, "no_platform_data")
    assert not (tmp_path / "nothing").exists()
