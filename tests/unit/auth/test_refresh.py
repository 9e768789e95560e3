from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edge_connector.auth.credentials import SignInEnded, TokenCredentials, find_token, save_token
from edge_connector.auth.refresh import renewed
from edge_connector.auth.signature import check_signature
from edge_connector.config.loading import load
from edge_connector.core.clock import SystemClock
from edge_connector.core.errors import NeedsLogin, NotConnected
from edge_connector.platform_api.client import PlatformClient
from tests.support.sign_in_server import SignInServer, sign_in_server


class LaterClock(SystemClock):
    """The machine's clock, put forward."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def wall(self) -> float:
        return super().wall() + self.ahead_s


def sign_in(server: SignInServer, home: Path) -> TokenCredentials:
    tokens = server.tokens()
    now = SystemClock().wall()
    return save_token(load(home, {}), tokens["access_token"], now=now, refresh_token=tokens.get("refresh_token", ""))


async def ask(
    server: SignInServer, home: Path, clock: SystemClock, *, at_once: bool = False
) -> TokenCredentials | None:
    return await renewed(
        load(home, {}), lambda: PlatformClient(server.url, timeout_s=10.0), clock=clock, at_once=at_once
    )


async def test_a_token_is_exchanged_when_four_fifths_of_its_life_are_over(tmp_path: Path) -> None:
    async with sign_in_server() as server:
        first = sign_in(server, tmp_path)
        assert await ask(server, tmp_path, LaterClock(2800)) == first
        assert server.refreshed == 0
        clock = LaterClock(2900)
        server.wall = clock.wall
        second = await ask(server, tmp_path, clock)
        assert second is not None and server.refreshed == 1
        assert second.token != first.token and second.refresh_token != first.refresh_token
        assert find_token(load(tmp_path, {}), now=clock.wall()) == second
        document = json.loads((tmp_path / "auth-token.json").read_text())
        assert set(document) == {"token", "refreshToken", "expiresAt"}


async def test_an_expired_token_is_exchanged_too(tmp_path: Path) -> None:
    async with sign_in_server() as server:
        sign_in(server, tmp_path)
        clock = LaterClock(30 * 86_400)
        server.wall = clock.wall
        renewed_token = await ask(server, tmp_path, clock)
        assert renewed_token is not None and renewed_token.info.expires_at == pytest.approx(clock.wall() + 3600, abs=60)


async def test_many_who_want_it_at_once_exchange_it_once(tmp_path: Path) -> None:
    async with sign_in_server() as server:
        sign_in(server, tmp_path)
        clock = LaterClock(3000)
        server.wall = clock.wall
        tokens = await asyncio.gather(*(ask(server, tmp_path, clock) for _ in range(8)))
        assert server.refreshed == 1
        assert len({token.token for token in tokens if token is not None}) == 1


async def test_a_refused_exchange_is_final_and_not_tried_again(tmp_path: Path) -> None:
    async with sign_in_server(refuse_refresh="invalid_grant") as server:
        first = sign_in(server, tmp_path)
        with pytest.raises(SignInEnded) as caught:
            await ask(server, tmp_path, LaterClock(3000))
        assert caught.value.exit_code == 3 and "Token validation failed" in caught.value.message
        left = await ask(server, tmp_path, LaterClock(3000))
        assert left is not None and left.token == first.token, "it is good until its end"
        assert left.refresh_token == ""
        assert len(server.forms) == 1
        with pytest.raises(NeedsLogin) as ended:
            await ask(server, tmp_path, LaterClock(4000))
        assert ended.value.code == "token_expired"


@pytest.mark.parametrize(
    "trouble",
    [
        {"unavailable": 1},
        {"refuse_refresh": "server_error"},
        {"refuse_refresh": "temporarily_unavailable"},
        {"url": "/portal"},
    ],
    ids=str,
)
async def test_a_platform_that_is_away_leaves_everything_as_it_is(tmp_path: Path, trouble: dict[str, Any]) -> None:
    async with sign_in_server() as server:
        first = sign_in(server, tmp_path)
        for name, value in trouble.items():
            setattr(server, name, server.url + value if name == "url" else value)
        with pytest.raises(NotConnected):
            await ask(server, tmp_path, LaterClock(3000))
        assert find_token(load(tmp_path, {}), now=SystemClock().wall()) == first


async def test_without_a_refresh_token_nothing_is_asked(tmp_path: Path) -> None:
    async with sign_in_server(with_refresh=False) as server:
        first = sign_in(server, tmp_path)
        assert await ask(server, tmp_path, LaterClock(3000), at_once=True) == first
        assert server.forms == []


async def test_a_new_token_that_seems_old_means_a_wrong_clock(tmp_path: Path) -> None:
    async with sign_in_server() as server:
        sign_in(server, tmp_path)
        with pytest.raises(NeedsLogin) as caught:
            await ask(server, tmp_path, LaterClock(86_400))
        assert caught.value.code == "clock_skew" and "clock" in caught.value.hint


async def test_the_signature_is_checked_by_the_platforms_keys() -> None:
    async with sign_in_server() as server, sign_in_server() as other:
        async with PlatformClient(server.url, timeout_s=10.0) as client:
            assert await check_signature(server.token(), client)
            with pytest.raises(NeedsLogin) as caught:
                await check_signature(other.token(), client)
            assert caught.value.code == "token_invalid" and "signature" in caught.value.message
        async with PlatformClient(f"{server.url}/elsewhere", timeout_s=10.0) as client:
            assert not await check_signature(other.token(), client), "no keys to be had"
