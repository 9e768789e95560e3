"""Refresh tokens: rotation, the grace for a lost answer, reuse, revocation, expiry."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_connector.platform_server.people.tokens import GRACE_S, REFRESH_S, TokenPair
from edge_connector.platform_server.refusals import Refused
from tests.support.people import HERE, Room, people_room, reopened


def is_good(room: Room, pair: TokenPair) -> bool:
    return room.identity.authenticate(f"Bearer {pair.access_token}".encode()) is not None


async def refusal(room: Room, token: str) -> str:
    with pytest.raises(Refused) as refused:
        await room.tokens.refresh(token)
    assert (refused.value.status, refused.value.code) == (400, "invalid_grant")
    return refused.value.message


async def test_each_use_gives_a_new_pair_and_the_ninety_days_slide(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        pair = await room.tokens.issue(room.ada, "org_1", client="c", host="h")
        for _ in range(3):
            room.clock.now += REFRESH_S - 60
            # The clock is ahead of the JWT library's: only the refresh tokens are looked at here.
            pair = await room.tokens.refresh(pair.refresh_token)
            assert pair.refresh_token.encode() not in (tmp_path / "platform.db").read_bytes()
        room.clock.now += REFRESH_S
        assert "expired" in await refusal(room, pair.refresh_token)


async def test_a_lost_answer_is_asked_for_again_but_later_reuse_revokes_the_family(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        first = await room.tokens.issue(room.ada, "org_1", client="c", host="h")
        other = await room.tokens.issue(room.ada, "org_1", client="c", host="h")
        lost = await room.tokens.refresh(first.refresh_token)
        room.clock.now += GRACE_S - 1
        again = await room.tokens.refresh(first.refresh_token)
        assert again.refresh_token != lost.refresh_token
        ended: list[tuple[str, str]] = []
        room.identity.on_change.append(lambda *change: ended.append(change))
        room.clock.now += 2
        assert "used before" in await refusal(room, first.refresh_token)
        assert ended == [("org_1", "a used refresh token came again")]
        for pair in (first, lost, again):
            assert not is_good(room, pair)
            assert "revoked" in await refusal(room, pair.refresh_token)
        assert is_good(room, other), "another sign-in of the person is another family"
        assert "tokens.reused" in await room.actions()
        room = await reopened(room)
        room.identity.forget_revoked(room.clock.now - 1)
        assert not is_good(room, again)
        assert is_good(room, other)
        room.identity.forget_revoked(room.clock.now + 1)
        assert room.identity.revoked_families == {}
        await room.store.close()


@pytest.mark.parametrize("which", ["refresh", "access"])
async def test_revoking_either_token_ends_both_and_an_unknown_one_is_no_error(tmp_path: Path, which: str) -> None:
    async with people_room(tmp_path) as room:
        pair = await room.tokens.issue(room.ada, "org_1", client="c", host="h")
        for unknown in ("ecr_unknown", "a.b.c", ""):
            await room.tokens.revoke(unknown)
        assert is_good(room, pair)
        await room.tokens.revoke(pair.refresh_token if which == "refresh" else pair.access_token)
        assert not is_good(room, pair)
        assert "revoked" in await refusal(room, pair.refresh_token)
        await room.tokens.revoke(pair.refresh_token)
        assert (await room.actions()).count("connector.signed_out") == 1


async def test_tokens_end_with_the_membership_and_do_not_come_back_with_it(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        room.clock.now -= 600  # the JWT library looks at the real clock
        pair = await room.tokens.issue(room.bob, "org_1", client="c", host="h")
        assert is_good(room, pair)
        admin = room.as_admin(room.ada)
        await room.members.remove(admin, "usr_bob", address=HERE)
        assert not is_good(room, pair)
        assert "revoked" in await refusal(room, pair.refresh_token)
        room.clock.now += 5
        _, code = await room.members.invite(admin, "member", address=HERE)
        await room.members.accept_invite(await room.sign_in(room.bob), code, address=HERE)
        assert not is_good(room, pair)
        assert is_good(room, await room.tokens.issue(room.bob, "org_1", client="c", host="h"))


async def test_a_deactivated_organization_refreshes_nothing(tmp_path: Path) -> None:
    async with people_room(tmp_path) as room:
        pair = await room.tokens.issue(room.ada, "org_1", client="c", host="h")
        await room.members.set_organization_active("org_1", False, address="127.0.0.1")
        assert not is_good(room, pair)
        assert "deactivated" in await refusal(room, pair.refresh_token)
        await room.members.set_organization_active("org_1", True, address="127.0.0.1")
        assert is_good(room, pair)
        assert is_good(room, await room.tokens.refresh(pair.refresh_token))
