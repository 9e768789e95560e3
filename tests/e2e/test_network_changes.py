"""A connector process on a machine of its own whose network changes under it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.commands import clean_environment
from tests.support.connector_process import ConnectorProcess, running_connector
from tests.support.networks import connect, ip, listening_in, machines
from tests.support.scripted_platform import ScriptedPlatform
from tests.support.waiting import eventually

LOOKED = "the network was told to have changed"
REDIALLED = "dialling again now reason=the network changed"


class Place:
    """A connector on the machine `edge`, its platform on `outside`, and a cable between them."""

    def __init__(self, edge: str, outside: str, platform: ScriptedPlatform, connector: ConnectorProcess) -> None:
        self.edge = edge
        self.outside = outside
        self.platform = platform
        self.connector = connector

    def ip(self, *words: str) -> None:
        """Change the network of the connector's machine."""
        ip("-n", self.edge, *words)

    async def until_redialled(self, times: int, because: str = "") -> None:
        """Wait until it dialled because the network changed."""
        await self.connector.until_log(f"{REDIALLED}{because}", times=times)


@asynccontextmanager
async def linked(home: Path) -> AsyncIterator[Place]:
    with machines("edge", "outside") as (edge, outside):
        connect(edge, "192.0.2.1/24", outside, "192.0.2.2/24", cable="cable0")
        async with ScriptedPlatform(listening_in(outside, "192.0.2.2")) as platform:
            variables = clean_environment(
                TOOL_RPC_URL=platform.url,
                DEPLOYMENT_ID="dep_test",
                DEPLOYMENT_SECRET="sec_test",
                EC_LOG_LEVEL="debug",
            )
            async with running_connector(home, variables, network=edge) as connector:
                await platform.open_session()
                await connector.until_state("working", "working_with_problems")
                yield Place(edge, outside, platform, connector)


async def test_an_address_that_vanishes_redials_and_what_is_not_the_way_does_not(home: Path) -> None:
    async with linked(home) as place:
        place.ip("link", "add", "other0", "type", "veth", "peer", "name", "other1")
        place.ip("address", "add", "198.51.100.1/24", "dev", "other0")
        place.ip("link", "set", "other0", "up")
        place.ip("address", "add", "192.0.2.3/24", "dev", "cable0")
        await place.connector.until_log(LOOKED)
        assert REDIALLED not in place.connector.log
        assert len(place.platform.dials) == 1
        # The old lease is gone, as in another network with the same router.
        place.ip("address", "del", "192.0.2.1/24", "dev", "cable0")
        place.ip("address", "replace", "192.0.2.3/24", "dev", "cable0")
        await place.until_redialled(1, ": the local address 192.0.2.1 is gone")
        second = await place.platform.open_session(2)
        await place.connector.until_state("working", "working_with_problems")
        assert second.socket.remote_address[0] == "192.0.2.3"


async def test_another_way_to_the_platform_redials_over_it(home: Path) -> None:
    async with linked(home) as place:
        connect(place.edge, "198.51.100.1/24", place.outside, "198.51.100.2/24", cable="cable1")
        place.ip("route", "add", "192.0.2.2/32", "via", "198.51.100.2", "src", "198.51.100.1")
        await place.until_redialled(1, ": the way to the platform starts at 198.51.100.1 now")
        second = await place.platform.open_session(2)
        assert second.socket.remote_address[0] == "198.51.100.1"


async def test_a_cable_that_is_pulled_is_told_at_once_and_work_goes_on_when_it_is_back(home: Path) -> None:
    async with linked(home) as place:
        place.ip("link", "set", "cable0", "down")
        await place.until_redialled(1, ": there is no route to the platform any more")
        status = await place.connector.until_problem("no_route")
        assert status["state"] == "connecting"
        assert status["link"]["nextAttemptInS"] is not None
        place.ip("link", "set", "cable0", "up")
        # At once, and not when the delay is over.
        await place.until_redialled(2)
        await place.platform.open_session(2)
        status = await place.connector.until_state("working", "working_with_problems")
        assert [code["code"] for code in status["problems"]] == ["local_proof_only"]
        await eventually(lambda: len(place.platform.dials) == 2, what="two dials that came through")
