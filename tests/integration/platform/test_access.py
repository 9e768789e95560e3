"""Every operation of the table, across organizations and roles: who is let in, who is told 401, 403 or 404.

What is expected comes from the table itself; an operation that is added to it is tried here, or this test fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api import people
from edge_connector.platform_api.operations import OPERATIONS, Operation, Scope
from tests.support.peers import connector, pair
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import new_member, signed_in

MEMBER = frozenset({Scope.PUBLIC, Scope.IDENTITY, Scope.CALLS})
ADMIN = frozenset(Scope) - {Scope.OPERATE}
MACHINE = frozenset({Scope.PUBLIC, Scope.IDENTITY})

BODIES: dict[str, Any] = {
    "createSessionToken": {},
    "createOrganization": {"name": "Made"},
    "setMemberRole": {"role": "member"},
    "createInvite": {},
    "createServerToken": {"name": "made"},
    "createDeployment": {"name": "made"},
    "rotateDeploymentSecret": {},
    "registerDesktop": {"instanceId": "made"},
    "createCall": {"tool": "echo"},
    "setOrganizationActive": {"active": False},
    "resetPassword": {"email": "bob@org1.test"},
}
"""A good body for each operation that takes one."""

NEEDS_PERSON = {"createOrganization", "registerDesktop", "listSessions", "endSession"}
"""A server token has the scope, but is no person."""
NEEDS_TOKEN = {"createSessionToken"}
"""And the other way round."""
OWN_ONLY = {"rotateDeploymentSecret", "endOldDeploymentSecret"}
"""Below the scope `manage` these are for what is one's own."""


@dataclass
class Actor:
    """Somebody with credentials."""

    name: str
    credentials: str
    scopes: frozenset[Scope]
    kind: str


@dataclass
class World:
    """Two organizations with the same people and things in each, and the ids of the first one's."""

    platform: RunningPlatform
    own: list[Actor]
    foreign: list[Actor]
    ids: dict[str, str]
    marks: list[str] = field(default_factory=list)
    """What nobody of the second organization may ever read."""

    async def ask(self, operation: Operation[Any, Any], credentials: str, *, query: str = "") -> tuple[int, str, str]:
        """Status, error code and text of an operation on the first organization's thing."""
        path = re.sub(r"\{id\}", lambda _: self.ids[kind_of(operation)], operation.path)
        options: dict[str, Any] = {}
        if operation.request is not None:
            options["json"] = BODIES[operation.name]
        elif operation.raw_body:
            options["data"], query = b"{}", f"?sha256={'0' * 64}"
        if credentials:
            options["headers"] = {"Authorization": credentials}
        async with (
            aiohttp.ClientSession() as http,
            http.request(operation.method, self.platform.api_url + path + query, **options) as reply,
        ):
            text = await reply.text()
        code = json.loads(text)["error"]["code"] if reply.status >= 400 else ""
        return reply.status, code, text


def kind_of(operation: Operation[Any, Any]) -> str:
    """`deployments` of `/api/v1/deployments/{id}/secret`."""
    return operation.path.split("/{id}")[0].rsplit("/", 1)[1]


GUARDED = [operation for operation in OPERATIONS if operation.scope is not Scope.PUBLIC]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_platform(tmp_path) as platform:
        own, ids, marks = await inhabit(
            platform, platform.server_token, platform.user_id, platform.organization_id, "1"
        )
        eve = await new_member(platform, "eve@other.test", role="admin")
        token = (await signed_in(platform, eve)).access_token
        other = await platform.client_with(token).call(
            ops.CREATE_ORGANIZATION, people.OrganizationRequest(name="Other")
        )
        await platform.client.call(ops.REMOVE_MEMBER, path={"id": eve})
        token = (await signed_in(platform, eve, other.id)).access_token
        made = await platform.client_with(token).call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name="t"))
        foreign, _, _ = await inhabit(platform, made.token, eve, other.id, "2")
        edge = await platform.client.call(ops.GET_DEPLOYMENT, path={"id": ids["deployments"]})
        secret = (await platform.client.call(ops.ROTATE_SECRET, path={"id": edge.id})).secret
        async with connector(platform.rpc_url, pair(edge.id, secret)):
            ids["calls"] = (await platform.call("echo", key="k")).id
            yield World(platform, own, foreign, ids, [*marks, ids["calls"], edge.name])


async def inhabit(
    platform: RunningPlatform, token: str, admin_id: str, organization_id: str, number: str
) -> tuple[list[Actor], dict[str, str], list[str]]:
    """Actors of each kind in an organization, ids of things in it, and words that only it knows."""
    client = platform.client_with(token)
    member_id = await new_member(platform, f"bob@org{number}.test", token=token)
    admin = (await signed_in(platform, admin_id, organization_id)).access_token
    member = (await signed_in(platform, member_id, organization_id)).access_token
    edge = await client.call(ops.CREATE_DEPLOYMENT, api.DeploymentRequest(name=f"edge-of-{number}"))
    invite = await client.call(ops.CREATE_INVITE, people.InviteRequest(email=f"guest@org{number}.test"))
    spare = await client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name=f"spare-of-{number}"))
    sessions = (await platform.client_with(member).call(ops.LIST_SESSIONS)).sessions
    actors = [
        Actor("admin", f"Bearer {admin}", ADMIN, "user"),
        Actor("member", f"Bearer {member}", MEMBER, "user"),
        Actor("server token", f"Bearer {token}", ADMIN, "server_token"),
        Actor("deployment", pair(edge.id, edge.secret), MACHINE, "deployment"),
    ]
    ids = {
        "deployments": edge.id,
        "invites": invite.id,
        "server-tokens": spare.id,
        "members": member_id,
        "sessions": sessions[0].id,
        "organizations": organization_id,
    }
    return actors, ids, [*ids.values(), f"bob@org{number}", f"guest@org{number}", f"spare-of-{number}"]


def test_each_operation_with_a_body_has_a_good_one_here() -> None:
    assert {operation.name for operation in GUARDED if operation.request is not None} == set(BODIES)


async def test_nobody_gets_in_without_credentials_or_with_bad_ones(world: World) -> None:
    for operation in GUARDED:
        assert (await world.ask(operation, ""))[:2] == (401, "credentials_missing"), operation.name
    for operation in GUARDED[:20]:
        assert (await world.ask(operation, "Bearer ect_unknown"))[:2] == (401, "credentials_refused"), operation.name


async def test_a_missing_scope_is_refused_before_anything_is_looked_up(world: World) -> None:
    for actor in [*world.own, *world.foreign]:
        for operation in GUARDED:
            if operation.scope not in actor.scopes:
                status, code, _ = await world.ask(operation, actor.credentials)
                assert (status, code) == (403, "forbidden"), (actor.name, operation.name)


async def test_what_belongs_to_another_organization_does_not_exist(world: World) -> None:
    before = await everything(world)
    tried = 0
    for actor in world.foreign:
        for operation in GUARDED:
            if operation.scope not in actor.scopes or (actor.kind == "deployment" and operation.raw_body):
                continue
            status, code, text = await world.ask(operation, actor.credentials)
            what = (actor.name, operation.name, status, text)
            if is_forbidden_to(actor, operation):
                assert (status, code) == (403, "forbidden"), what
            elif "{id}" in operation.path and not operation.raw_body:
                tried += 1
                assert status == 404 and code.startswith("unknown_"), what
            elif "{id}" not in operation.path and operation is not ops.CREATE_CALL:
                assert status < 300 or code == "name_taken", what
            shown = text.replace(world.ids.get(kind_of(operation), "\0"), "") if "{id}" in operation.path else text
            for mark in world.marks:
                assert mark not in shown, what
    assert tried > 20
    assert await everything(world) == before


async def test_queries_and_names_reach_no_other_organization(world: World) -> None:
    edge = world.ids["deployments"]
    for actor in world.foreign[:3]:
        for name in (edge, "edge-of-1"):
            status, code, _ = await world.ask(ops.LIST_TOOLS, actor.credentials, query=f"?deployment={name}")
            assert (status, code) == (404, "unknown_deployment")
            client = world.platform.client_with(actor.credentials.removeprefix("Bearer "))
            with pytest.raises(Exception, match="no deployment"):
                await world.platform.call("echo", deployment=name, client=client)
            _, _, text = await world.ask(ops.LIST_CALLS, actor.credentials, query=f"?deployment={name}")
            assert json.loads(text) == {"calls": []}


async def test_members_of_the_organization_itself_do_what_their_scope_allows(world: World) -> None:
    # Those that end things come last, and of each kind the ones that end what others need.
    def lateness(operation: Operation[Any, Any]) -> tuple[bool, bool]:
        return operation.method == "DELETE", operation in (ops.ROTATE_SECRET, ops.DELETE_DEPLOYMENT, ops.REMOVE_MEMBER)

    admin, member, token, machine = world.own
    for operation in sorted(GUARDED, key=lateness):
        if operation is ops.UPLOAD_RESULT:
            continue
        for actor in (machine, member, token, admin):
            if operation.scope not in actor.scopes or (operation.method == "DELETE" and actor is not admin):
                continue
            status, code, text = await world.ask(operation, actor.credentials)
            what = (actor.name, operation.name, status, text)
            if is_forbidden_to(actor, operation) or (operation.name in OWN_ONLY and actor is member):
                assert (status, code) == (403, "forbidden"), what
            elif operation is ops.END_SESSION:
                assert (status, code) == (404, "unknown_session"), "an admin does not see the sessions of a member"
            else:
                assert status < 300 or code == "name_taken", what


def is_forbidden_to(actor: Actor, operation: Operation[Any, Any]) -> bool:
    wrong = NEEDS_PERSON if actor.kind == "server_token" else NEEDS_TOKEN if actor.kind == "user" else set()
    return operation.name in wrong


async def everything(world: World) -> dict[str, str]:
    """All that the first organization's admin sees, without what changes by looking."""
    seen = {}
    for operation in (ops.LIST_DEPLOYMENTS, ops.LIST_MEMBERS, ops.LIST_INVITES, ops.LIST_SERVER_TOKENS, ops.LIST_AUDIT):
        _, _, text = await world.ask(operation, world.own[0].credentials)
        seen[operation.name] = re.sub(r'"(lastSeenAt|lastUsedAt|roundTripMs)":[^,}]*', "", text)
    return seen
