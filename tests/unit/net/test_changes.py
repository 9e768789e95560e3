"""How often a change of the network is told."""

from __future__ import annotations

import asyncio
import itertools
import socket

from edge_connector.net.changes import NetworkChanges
from tests.support.waiting import eventually


async def test_without_a_kernel_that_tells_it_looks_now_and_then() -> None:
    told: list[float] = []
    loop = asyncio.get_running_loop()
    changes = NetworkChanges(lambda: told.append(loop.time()), poll_s=0.05, use_kernel=False)
    await changes.start()
    try:
        await eventually(lambda: len(told) >= 3, what="three looks")
    finally:
        await changes.stop()
    assert all(after - before >= 0.04 for before, after in itertools.pairwise(told))


async def test_a_storm_of_messages_is_told_once_and_then_after_the_quiet_time() -> None:
    told: list[float] = []
    loop = asyncio.get_running_loop()
    changes = NetworkChanges(lambda: told.append(loop.time()), settle_s=0.05, quiet_s=0.3)
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    ours.setblocking(False)
    try:
        for _ in range(50):
            theirs.send(b"a route")
            changes._read(ours)
        await eventually(lambda: told, what="the news")
        theirs.send(b"an address")
        changes._read(ours)
        await eventually(lambda: len(told) == 2, what="the news of what came after")
        assert told[1] - told[0] >= 0.29
        theirs.send(b"a link")
        changes._read(ours)
        await changes.stop()
        await asyncio.sleep(0.4)
        assert len(told) == 2, "nothing is told after the end"
    finally:
        ours.close()
        theirs.close()
