from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from edge_connector.core.feed import Feed


async def next_of(watch: AsyncIterator[int]) -> int:
    return await asyncio.wait_for(anext(watch), 5)


async def test_a_watcher_gets_the_current_value_at_once_and_then_each_change() -> None:
    feed = Feed(1)
    watch = feed.watch()
    assert await next_of(watch) == 1
    feed.publish(2)
    assert await next_of(watch) == 2
    waiting = asyncio.create_task(next_of(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.publish(3)
    assert await waiting == 3
    assert feed.value == 3


async def test_an_equal_value_is_a_change_too() -> None:
    feed = Feed(1)
    watch = feed.watch()
    await next_of(watch)
    feed.publish(1)
    assert await next_of(watch) == 1


async def test_a_slow_watcher_skips_to_the_newest() -> None:
    feed = Feed(0)
    watch = feed.watch()
    assert await next_of(watch) == 0
    for value in range(1, 1000):
        feed.publish(value)
    assert await next_of(watch) == 999


async def test_every_watcher_is_woken() -> None:
    feed = Feed(0)
    watches = [feed.watch() for _ in range(5)]
    for watch in watches:
        await next_of(watch)
    waiting = [asyncio.create_task(next_of(watch)) for watch in watches]
    await asyncio.sleep(0)
    feed.publish(7)
    assert await asyncio.gather(*waiting) == [7] * 5


async def test_a_watcher_that_leaves_disturbs_nobody() -> None:
    feed = Feed(0)
    leaving, staying = feed.watch(), feed.watch()
    await next_of(leaving), await next_of(staying)
    gone = asyncio.create_task(next_of(leaving))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    feed.publish(1)
    assert await next_of(staying) == 1


async def test_it_knows_whether_anybody_watches() -> None:
    feed = Feed(0)
    watch = feed.watch()
    seen = [feed.is_watched]
    await next_of(watch)
    seen.append(feed.is_watched)
    gone = asyncio.create_task(next_of(watch))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    assert [*seen, feed.is_watched] == [False, True, False]


async def test_a_refreshed_value_wakes_nobody_and_is_what_the_next_one_gets() -> None:
    feed = Feed(0)
    first = feed.watch()
    await next_of(first)
    waiting = asyncio.create_task(next_of(first))
    feed.refresh(1)
    assert await next_of(feed.watch()) == 1
    assert not waiting.done()
    feed.publish(2)
    assert await waiting == 2
