"""The device grant (RFC 8628): every way it can end, each once and clearly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_connector.platform_server.people.devices import (
    ALPHABET,
    GRANT_S,
    GUESSES_A_MINUTE,
    STARTS_A_MINUTE,
    StartedGrant,
)
from edge_connector.platform_server.refusals import Refused
from tests.support.people import HERE, PASSWORD, Room, people_room, reopened


async def start(room: Room, address: str = HERE) -> StartedGrant:
    return await room.devices.start(
        client="Edge Connector", host="box", instance_id="inst-1", scope="connector", address=address
    )


async def refusal(room: Room, device_code: str) -> str:
    with pytest.raises(Refused) as refused:
        await room.devices.poll(device_code)
    return refused.value.code


async def test_an_approved_connector_gets_tokens_once_also_across_a_restart(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        assert len(grant.user_code) == 9 and set(grant.user_code) <= {*ALPHABET, "-"}
        assert await refusal(room, grant.device_code) == "authorization_pending"
        room = await reopened(room)
        seen = await room.devices.look(grant.user_code.lower().replace("-", " "), address=HERE)
        assert (seen.client, seen.host, seen.instance_id) == ("Edge Connector", "box", "inst-1")
        session = await room.sign_in(room.bob)
        await room.devices.decide(session, grant.user_code, approve=True, address=HERE)
        with pytest.raises(Refused) as twice:
            await room.devices.decide(session, grant.user_code, approve=False, address=HERE)
        assert (twice.value.status, twice.value.code) == (409, "already_decided")
        pair = await room.devices.poll(grant.device_code)
        principal = room.identity.authenticate(f"Bearer {pair.access_token}".encode())
        assert principal is not None
        assert (principal.user_id, principal.organization_id) == ("usr_bob", "org_1")
        room.clock.now += 6
        assert await refusal(room, grant.device_code) == "invalid_grant"
        assert "connector.approved" in await room.actions()
        await room.store.close()


async def test_a_denied_connector_is_told_so(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        session = await room.sign_in(room.ada)
        await room.devices.decide(session, grant.user_code, approve=False, address=HERE)
        assert await refusal(room, grant.device_code) == "access_denied"
        assert await refusal(room, grant.device_code) == "access_denied"


async def test_asking_too_often_is_slowed_down_each_time(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        assert await refusal(room, grant.device_code) == "authorization_pending"
        room.clock.now += 2
        assert await refusal(room, grant.device_code) == "slow_down"
        room.clock.now += 6
        assert await refusal(room, grant.device_code) == "slow_down", "ten seconds now"
        room.clock.now += 15
        assert await refusal(room, grant.device_code) == "authorization_pending"


async def test_what_nobody_decides_expires(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        session = await room.sign_in(room.ada)
        room.clock.now += GRANT_S
        assert await refusal(room, grant.device_code) == "expired_token"
        with pytest.raises(Refused) as late:
            await room.devices.decide(session, grant.user_code, approve=True, address=HERE)
        assert (late.value.status, late.value.code) == (410, "user_code_expired")
        await room.store.people.prune_people(room.clock.now + 7200, audit_before=0)
        assert await refusal(room, grant.device_code) == "invalid_grant"


async def test_a_person_who_left_before_the_tokens_were_fetched_gives_none(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        await room.devices.decide(await room.sign_in(room.bob), grant.user_code, approve=True, address=HERE)
        await room.members.remove(room.as_admin(room.ada), "usr_bob", address=HERE)
        assert await refusal(room, grant.device_code) == "access_denied"


async def test_what_was_approved_and_not_fetched_ends_with_a_new_password(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        session = await room.sign_in(room.bob)
        await room.devices.decide(session, grant.user_code, approve=True, address=HERE)
        await room.sessions.change_password(session, PASSWORD, "another long one", address=HERE)
        assert await refusal(room, grant.device_code) == "access_denied"


async def test_without_an_organization_nobody_decides(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = await start(room)
        session = await room.sign_in(room.bob)
        await room.members.remove(room.as_admin(room.ada), "usr_bob", address=HERE)
        homeless = room.sessions.find(session.token)
        assert homeless is not None
        with pytest.raises(Refused) as refused:
            await room.devices.decide(homeless, grant.user_code, approve=True, address=HERE)
        assert refused.value.code == "organization_not_chosen"


async def test_starts_and_guesses_are_limited_by_address(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        grant = None
        for _ in range(STARTS_A_MINUTE):
            grant = await start(room)
        assert grant is not None
        with pytest.raises(Refused) as many:
            await start(room)
        assert many.value.status == 429
        await start(room, address="10.0.0.1")
        for _ in range(GUESSES_A_MINUTE):
            with pytest.raises(Refused) as unknown:
                await room.devices.look("BBBB-BBBB", address=HERE)
            assert unknown.value.code == "unknown_user_code"
        with pytest.raises(Refused) as guessed:
            await room.devices.look(grant.user_code, address=HERE)
        assert guessed.value.status == 429
        assert await room.devices.look(grant.user_code, address="10.0.0.1")
