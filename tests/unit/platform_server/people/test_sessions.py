"""People in browsers: sign-in, lock-out, the chosen organization, a new password, the list of sign-ins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from edge_connector.platform_server.people import sessions
from edge_connector.platform_server.people.attempts import FAILURES, LOCKED_S, PER_ADDRESS_A_MINUTE
from edge_connector.platform_server.people.sessions import IDLE_S, LIFE_S, Session
from edge_connector.platform_server.refusals import Refused
from tests.support.people import HERE, PASSWORD, people_room, reopened


async def test_a_session_is_found_by_its_cookie_also_after_a_restart_and_ends_with_sign_out(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        session = await room.sessions.sign_in("ADA@test.example ", PASSWORD, address=HERE, user_agent="Browser")
        assert session.principal is not None
        assert (session.user.id, session.principal.organization_id) == ("usr_ada", "org_1")
        assert session.token.encode() not in (tmp_path / "platform.db").read_bytes()
        again = await reopened(room)
        found = again.sessions.find(session.token)
        assert found is not None and found.csrf == session.csrf
        assert found.is_csrf(session.csrf) and not found.is_csrf("x") and not found.is_csrf("é")
        assert again.sessions.find("ecw_unknown") is None
        await again.sessions.sign_out(found)
        assert again.sessions.find(session.token) is None
        once_more = await reopened(again)
        assert once_more.sessions.find(session.token) is None
        assert await once_more.actions() == ["person.signed_in", "person.signed_out"]
        await once_more.store.close()


async def test_signing_in_makes_a_new_session_and_ends_the_former_one(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        first = await room.sign_in(room.ada)
        second = await room.sessions.sign_in(room.ada.email, PASSWORD, address=HERE, former=first)
        assert second.token != first.token
        assert room.sessions.find(first.token) is None
        assert room.sessions.find(second.token) is not None


async def test_a_session_ends_when_idle_or_old_and_with_its_person(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        session = await room.sign_in(room.ada)
        for _ in range(int(LIFE_S // (IDLE_S - 60))):
            room.clock.now += IDLE_S - 60
            assert room.sessions.find(session.token) is not None
        room.clock.now += IDLE_S - 60
        assert room.sessions.find(session.token) is None, "thirty days are the end, however busy it was"
        idle = await room.sign_in(room.ada)
        room.clock.now += IDLE_S + 1
        assert room.sessions.find(idle.token) is None
        room.sessions.expire()
        person = await room.sign_in(room.ada)
        room.ada.active = False
        assert room.sessions.find(person.token) is None


async def test_whatever_is_wrong_gets_the_same_answer(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        for email, password in ((room.ada.email, "wrong password"), ("nobody@test.example", PASSWORD)):
            with pytest.raises(Refused) as refused:
                await room.sessions.sign_in(email, password, address=HERE)
            assert (refused.value.status, refused.value.code) == (401, "wrong_credentials")
            assert refused.value.message == "E-mail address or password is wrong."
        room.ada.active = False
        with pytest.raises(Refused, match="is wrong"):
            await room.sign_in(room.ada)


@pytest.mark.parametrize("email", ["ada@test.example", "nobody@test.example"])
async def test_ten_failures_lock_an_account_for_a_quarter_of_an_hour_known_or_not(tmp_path: Path, email: str) -> None:
    async with people_room(tmp_path) as room:
        for number in range(FAILURES):
            with pytest.raises(Refused) as wrong:
                await room.sessions.sign_in(email, "wrong password", address=f"10.0.0.{number}")
            assert wrong.value.code == "wrong_credentials"
        with pytest.raises(Refused) as locked:
            await room.sessions.sign_in(email, PASSWORD, address="10.0.1.1")
        assert (locked.value.status, locked.value.code) == (429, "account_locked")
        assert (await room.actions()).count("person.locked") == (email == room.ada.email)
        await room.sign_in(room.bob)
        room.clock.now += LOCKED_S
        if email == room.ada.email:
            await room.sign_in(room.ada)


async def test_an_address_that_tries_many_accounts_is_slowed_down(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        codes = set()
        for number in range(PER_ADDRESS_A_MINUTE + 1):
            with pytest.raises(Refused) as refused:
                await room.sessions.sign_in(f"{number}@test.example", "wrong password", address=HERE)
            codes.add(refused.value.code)
        assert codes == {"wrong_credentials", "too_many_attempts"}
        await room.sessions.sign_in(room.bob.email, PASSWORD, address="10.0.0.1")


async def test_with_several_organizations_one_is_chosen_and_others_are_refused(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        await room.members.create_organization(room.as_admin(room.ada), "Gamma", address=HERE)
        session = await room.sign_in(room.ada)
        assert session.principal is None
        gamma = next(m.organization_id for m in room.identity.memberships_of("usr_ada") if m.organization_id != "org_1")
        chosen = await room.sessions.choose_organization(session, gamma)
        assert chosen.principal is not None and chosen.principal.organization_id == gamma
        again = await reopened(room)
        found = again.sessions.find(session.token)
        assert found is not None and found.principal is not None
        assert found.principal.organization_id == gamma
        for foreign in ("org_2", "org_nothing"):
            with pytest.raises(Refused) as refused:
                await again.sessions.choose_organization(found, foreign)
            assert (refused.value.status, refused.value.code) == (404, "unknown_organization")
        await again.members.set_organization_active(gamma, False, address="127.0.0.1")
        found = again.sessions.find(session.token)
        assert found is not None and found.principal is None
        await again.store.close()


async def test_a_new_password_ends_everything_else(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        other, mine = await room.sign_in(room.ada), await room.sign_in(room.ada)
        connector = await room.tokens.issue(room.ada, "org_1", client="Edge Connector", host="box")
        header = f"Bearer {connector.access_token}".encode()
        assert room.identity.authenticate(header) is not None
        with pytest.raises(Refused) as wrong:
            await room.sessions.change_password(mine, "wrong password", "another long one", address=HERE)
        assert wrong.value.code == "wrong_credentials"
        with pytest.raises(Refused) as short:
            await room.sessions.change_password(mine, PASSWORD, "short", address=HERE)
        assert (short.value.code, "password" in short.value.message) == ("password_length", True)
        assert room.sessions.find(other.token) is not None
        await room.sessions.change_password(mine, PASSWORD, "another long one", address=HERE)
        assert room.sessions.find(mine.token) is not None
        assert room.sessions.find(other.token) is None
        assert room.identity.authenticate(header) is None
        with pytest.raises(Refused):
            await room.tokens.refresh(connector.refresh_token)
        again = await reopened(room)
        assert again.identity.authenticate(header) is None
        with pytest.raises(Refused):
            await again.sign_in(again.ada)
        assert await again.sign_in(again.ada, "another long one")
        await again.store.close()


async def test_a_new_name_holds_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        session = await room.sign_in(room.ada)
        tokens = await room.tokens.issue(room.ada, "org_1", client="Edge Connector", host="box")
        header = f"Bearer {tokens.access_token}".encode()
        assert room.identity.authenticate(header) is not None
        await room.sessions.rename(session, "Countess", address=HERE)
        known = room.identity.authenticate(header)
        assert known is not None and known.name == "Countess"
        assert (await room.actions())[-1] == "person.renamed"
        again = await reopened(room)
        assert again.ada.name == "Countess"
        await again.store.close()


async def test_a_sign_in_with_the_old_password_does_not_outlive_its_change(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        mine = await room.sign_in(room.ada)
        results = await asyncio.gather(
            room.sessions.change_password(mine, PASSWORD, "another long one", address=HERE),
            *(room.sessions.sign_in(room.ada.email, PASSWORD, address=HERE) for _ in range(4)),
            return_exceptions=True,
        )
        assert results[0] is None
        for result in results[1:]:
            assert isinstance(result, Refused | Session)
            if isinstance(result, Session):
                assert room.sessions.find(result.token) is None
        assert len(await room.sessions.overview("usr_ada")) == 1


async def test_an_older_hash_is_made_anew_at_the_next_sign_in(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        weak = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(PASSWORD)
        room.ada.password_hash = weak
        await room.sign_in(room.ada)
        assert room.ada.password_hash != weak
        again = await reopened(room)
        assert again.ada.password_hash == room.ada.password_hash
        await again.sign_in(again.ada)
        await again.store.close()


async def test_each_place_is_listed_and_ended_by_its_person_alone(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        session = await room.sign_in(room.ada)
        tokens = await room.tokens.issue(room.ada, "org_1", client="Edge Connector", host="box")
        await room.tokens.refresh(tokens.refresh_token)
        await room.sign_in(room.bob)
        found = await room.sessions.overview("usr_ada", session)
        browser, connector = sorted(found, key=lambda known: known.kind)
        assert (browser.kind, browser.place, browser.is_current) == ("browser", "Browser", True)
        assert (connector.kind, connector.place) == ("connector", "Edge Connector on box")
        for foreign in (browser.id, connector.id):
            with pytest.raises(Refused) as refused:
                await room.sessions.end("usr_bob", foreign, address=HERE)
            assert refused.value.status == 404
        for own in (browser.id, connector.id):
            await room.sessions.end("usr_ada", own, address=HERE)
        assert await room.sessions.overview("usr_ada") == []
        assert room.sessions.find(session.token) is None
        assert room.identity.authenticate(f"Bearer {tokens.access_token}".encode()) is None


async def test_a_person_has_so_many_browsers_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_BROWSERS", 2)
    async with people_room(tmp_path) as room:
        made = []
        for _ in range(3):
            room.clock.now += 1
            made.append(await room.sessions.open_for(room.ada, "org_1", address=HERE))
        assert [room.sessions.find(session.token) is not None for session in made] == [False, True, True]
