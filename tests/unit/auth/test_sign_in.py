from __future__ import annotations

import pytest

from edge_connector.auth.sign_in import begin, until_approved
from edge_connector.core.errors import EdgeError
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.oauth import TokenReply
from tests.support.sign_in_server import SignInServer, sign_in_server


class PlayedClock:
    """Moves on only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def asleep(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        if len(self.waits) > 1000:
            raise AssertionError("it never ends")


async def signed_in(server: SignInServer, clock: PlayedClock) -> TokenReply:
    server.clock = clock.monotonic
    async with PlatformClient(server.url, timeout_s=10.0) as client:
        flow = await begin(client, host="workbench", instance_id="i-1", clock=clock)
        return await until_approved(client, flow, clock=clock, sleep=clock.sleep)


async def test_an_approved_sign_in_gives_the_tokens() -> None:
    async with sign_in_server(interval=5.0, answers=["authorization_pending"] * 3) as server:
        server.approve()
        clock = PlayedClock()
        tokens = await signed_in(server, clock)
        assert tokens.access_token.count(".") == 2 and tokens.refresh_token.startswith("ecr_")
        assert clock.waits == [5.0] * 4
        assert server.forms[0] == {
            "client_id": "edge-connector",
            "client_name": "Edge Connector",
            "host": "workbench",
            "instance_id": "i-1",
        }


async def test_told_to_slow_down_it_asks_five_seconds_later_from_then_on() -> None:
    answers = ["slow_down", "authorization_pending", "slow_down", "authorization_pending"]
    async with sign_in_server(interval=5.0, answers=answers) as server:
        server.approve()
        clock = PlayedClock()
        await signed_in(server, clock)
        assert clock.waits == [5.0, 10.0, 10.0, 15.0, 15.0]
        assert server.interval == 15.0, "the server never had to say it again"


async def test_a_platform_that_cannot_answer_is_asked_less_often() -> None:
    async with sign_in_server(interval=5.0, unavailable=3) as server:
        server.approve()
        clock = PlayedClock()
        await signed_in(server, clock)
        assert clock.waits == [5.0, 10.0, 20.0, 40.0]


@pytest.mark.parametrize(
    ("end", "code"), [(SignInServer.deny, "sign_in_denied"), (SignInServer.expire, "sign_in_expired")]
)
async def test_denial_and_expiry_are_ends(end: object, code: str) -> None:
    async with sign_in_server(interval=5.0) as server:
        assert callable(end)
        end(server)
        with pytest.raises(EdgeError) as caught:
            await signed_in(server, PlayedClock())
        assert caught.value.code == code
        assert len(server.asked) == 1


async def test_a_page_that_nobody_approves_ends_when_the_time_is_over() -> None:
    async with sign_in_server(interval=5.0, expires_in=62.0) as server:
        clock = PlayedClock()
        with pytest.raises(EdgeError) as caught:
            await signed_in(server, clock)
        assert caught.value.code == "sign_in_expired"
        assert "closed" in caught.value.message
        assert clock.now == 1062.0 and len(server.asked) == 12


async def test_a_platform_without_this_way_says_so() -> None:
    async with sign_in_server() as server, PlatformClient(f"{server.url}/elsewhere", timeout_s=10.0) as client:
        with pytest.raises(EdgeError) as caught:
            await begin(client, host="h", instance_id="", clock=PlayedClock())
        assert caught.value.code == "not_a_platform"


@pytest.mark.parametrize("address", ["file:///etc/passwd", "javascript:alert(1)", "x-tool:run"])
async def test_only_web_pages_are_opened(address: str) -> None:
    async with sign_in_server(complete_address=address) as server:
        with pytest.raises(EdgeError) as caught:
            await signed_in(server, PlayedClock())
        assert caught.value.code == "not_a_platform"
