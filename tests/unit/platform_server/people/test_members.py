"""Members, roles and invite links."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_connector.platform_api.operations import Scope
from edge_connector.platform_server.people import members
from edge_connector.platform_server.people.members import INVITE_S
from edge_connector.platform_server.refusals import Refused
from tests.support.people import HERE, PASSWORD, people_room, reopened


async def test_a_role_holds_for_the_next_request_and_the_last_admin_stays(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        admin = room.as_admin(room.ada)
        pair = await room.tokens.issue(room.bob, "org_1", client="c", host="h")
        header = f"Bearer {pair.access_token}".encode()

        def manages() -> bool:
            principal = room.identity.authenticate(header)
            assert principal is not None
            return Scope.MANAGE in principal.scopes

        assert not manages()
        for change in (
            room.members.set_role(admin, "usr_ada", "member", address=HERE),
            room.members.remove(admin, "usr_ada", address=HERE),
        ):
            with pytest.raises(Refused) as last:
                await change
            assert (last.value.status, last.value.code) == (409, "last_admin")
        await room.members.set_role(admin, "usr_bob", "admin", address=HERE)
        assert manages()
        await room.members.set_role(admin, "usr_ada", "member", address=HERE)
        assert room.identity.role_of("usr_ada", "org_1") == "member"
        for foreign in ("usr_eve", "usr_nothing"):
            with pytest.raises(Refused) as unknown:
                await room.members.remove(admin, foreign, address=HERE)
            assert (unknown.value.status, unknown.value.code) == (404, "unknown_member")
        assert await room.actions() == ["member.role_changed", "member.role_changed"]
        again = await reopened(room)
        assert again.identity.role_of("usr_bob", "org_1") == "admin"
        await again.store.close()


async def test_a_removed_member_has_no_session_in_the_organization(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        session = await room.sign_in(room.bob)
        assert session.principal is not None
        await room.members.remove(room.as_admin(room.ada), "usr_bob", address=HERE)
        found = room.sessions.find(session.token)
        assert found is not None and found.principal is None
        assert room.identity.memberships_of("usr_bob") == []


async def test_an_invite_link_makes_one_new_person_a_member(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        admin = room.as_admin(room.ada)
        row, code = await room.members.invite(admin, "member", address=HERE)
        assert [known.id for known in await room.members.invites("org_1")] == [row.id]
        assert await room.members.invites("org_2") == []
        looked = await room.members.look_at_invite(code)
        assert (looked.organization.name, looked.needs, looked.user) == ("Acme", "new_person", None)
        with pytest.raises(Refused) as short:
            await room.members.accept_invite_as_new(code, email="c@x.test", name="C", password="short", address=HERE)
        assert short.value.code == "password_length"
        _, user = await room.members.accept_invite_as_new(
            code, email="cy@x.test", name="Cy", password=PASSWORD, address=HERE
        )
        assert room.identity.role_of(user.id, "org_1") == "member"
        session = await room.sign_in(user)
        assert session.principal is not None
        with pytest.raises(Refused) as again:
            await room.members.accept_invite_as_new(code, email="d@x.test", name="D", password=PASSWORD, address=HERE)
        assert (again.value.status, again.value.code) == (410, "invite_over")
        assert await room.members.invites("org_1") == []
        assert "invite.accepted" in await room.actions()


@pytest.mark.parametrize("email", ["", "nobody", "a b@x.test", "a@b@c", f"{'x' * 260}@x.test"])
async def test_a_new_person_needs_an_address(tmp_path: Path, email: str) -> None:
    async with people_room(tmp_path) as room:
        _, code = await room.members.invite(room.as_admin(room.ada), "member", address=HERE)
        with pytest.raises(Refused) as refused:
            await room.members.accept_invite_as_new(code, email=email, name="N", password=PASSWORD, address=HERE)
        assert (refused.value.status, "email" in refused.value.message) == (400, True)


async def test_two_links_opened_at_once_make_one_person(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        admin = room.as_admin(room.ada)
        codes = [(await room.members.invite(admin, "member", address=HERE))[1] for _ in range(2)]
        results = await asyncio.gather(
            *(
                room.members.accept_invite_as_new(code, email="cy@x.test", name="", password=PASSWORD, address=HERE)
                for code in codes
            ),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, Refused)]
        assert [error.code for error in refused] == ["sign_in_first"]
        cy = room.identity.user_by_email("cy@x.test")
        assert cy is not None and cy.name == "cy@x.test"
        assert len(await room.members.invites("org_1")) == 1


async def test_a_known_person_signs_in_first_and_keeps_the_role(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        admin = room.as_admin(room.ada)
        _, code = await room.members.invite(admin, "admin", email=room.eve.email, address=HERE)
        assert (await room.members.look_at_invite(code)).needs == "sign_in"
        with pytest.raises(Refused) as taken:
            await room.members.accept_invite_as_new(
                code, email=room.eve.email, name="Not Eve", password="something else", address=HERE
            )
        assert taken.value.code == "sign_in_first"
        with pytest.raises(Refused) as other:
            await room.members.accept_invite(await room.sign_in(room.bob), code, address=HERE)
        assert (other.value.status, room.eve.email in other.value.message) == (403, True)
        await room.members.accept_invite(await room.sign_in(room.eve), code, address=HERE)
        assert room.identity.role_of("usr_eve", "org_1") == "admin"
        _, again = await room.members.invite(admin, "member", address=HERE)
        eve = await room.sign_in(room.eve)
        await room.members.accept_invite(eve, again, address=HERE)
        assert room.identity.role_of("usr_eve", "org_1") == "admin"
        with pytest.raises(Refused) as member:
            await room.members.invite(admin, "member", email=room.eve.email.upper(), address=HERE)
        assert member.value.code == "already_member"


async def test_an_invite_gives_a_first_password_only_to_its_own_people(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        room.ada.password_hash = room.eve.password_hash = ""
        _, own = await room.members.invite(room.as_admin(room.ada), "admin", email=room.ada.email, address=HERE)
        assert (await room.members.look_at_invite(own)).needs == "new_person"
        await room.members.accept_invite_as_new(own, email=room.ada.email, name="Ada", password=PASSWORD, address=HERE)
        assert (await room.sign_in(room.ada)).principal is not None
        _, foreign = await room.members.invite(room.as_admin(room.ada), "admin", email=room.eve.email, address=HERE)
        with pytest.raises(Refused) as overtaken:
            await room.members.accept_invite_as_new(
                foreign, email=room.eve.email, name="Not Eve", password=PASSWORD, address=HERE
            )
        assert overtaken.value.code == "sign_in_first"
        room.ada.password_hash, room.ada.oidc_subject = "", "somebody elsewhere"
        _, elsewhere = await room.members.invite(room.as_admin(room.ada), "member", email="x@x.test", address=HERE)
        assert (await room.members.look_at_invite(elsewhere)).needs == "new_person"
        with pytest.raises(Refused) as has_account:
            await room.members.invite(room.as_admin(room.ada), "member", email=room.ada.email, address=HERE)
        assert has_account.value.code == "already_member"
        _, anybody = await room.members.invite(room.as_admin(room.ada), "admin", address=HERE)
        room.bob.password_hash = ""
        with pytest.raises(Refused):
            await room.members.accept_invite_as_new(
                anybody, email=room.bob.email, name="Not Bob", password=PASSWORD, address=HERE
            )


async def test_links_that_are_no_longer_good(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        admin = room.as_admin(room.ada)
        row, revoked = await room.members.invite(admin, "member", address=HERE)
        with pytest.raises(Refused) as foreign:
            await room.members.revoke_invite(room.as_admin(room.eve, "org_2"), row.id, address=HERE)
        assert foreign.value.status == 404
        await room.members.revoke_invite(admin, row.id, address=HERE)
        _, late = await room.members.invite(admin, "member", address=HERE)
        for code, status in (("eci_unknown", 404), (revoked, 404)):
            with pytest.raises(Refused) as refused:
                await room.members.look_at_invite(code)
            assert refused.value.status == status
        await room.members.set_organization_active("org_1", False, address="127.0.0.1")
        with pytest.raises(Refused):
            await room.members.look_at_invite(late)
        await room.members.set_organization_active("org_1", True, address="127.0.0.1")
        room.clock.now += INVITE_S
        with pytest.raises(Refused) as expired:
            await room.members.look_at_invite(late)
        assert (expired.value.status, "expired" in expired.value.message) == (410, True)
        assert await room.members.invites("org_1") == []


async def test_a_person_makes_so_many_organizations_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MAX_ORGANIZATIONS", 3)
    async with people_room(tmp_path) as room:
        for name in ("Two", "Three"):
            made = await room.members.create_organization(room.as_admin(room.ada), name, address=HERE)
            assert room.identity.role_of("usr_ada", made.id) == "admin"
            assert await room.actions(made.id) == ["organization.created"]
        with pytest.raises(Refused) as many:
            await room.members.create_organization(room.as_admin(room.ada), "Four", address=HERE)
        assert (many.value.status, many.value.code) == (409, "too_many_organizations")
        again = await reopened(room)
        assert len(again.identity.memberships_of("usr_ada")) == 3
        await again.store.close()
