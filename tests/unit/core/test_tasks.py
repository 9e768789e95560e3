from __future__ import annotations

import asyncio
import logging

import pytest

from edge_connector.core.tasks import TaskOwner


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_has_the_name_of_its_owner_and_gives_its_value() -> None:
    async def answer() -> int:
        return 42

    owner = TaskOwner("owner")
    task = owner.spawn(answer(), name="answer")
    assert task.get_name() == "owner.answer"
    assert await task == 42
    await owner.close()


async def test_close_ends_what_runs_and_waits_for_it() -> None:
    ended = []

    async def work(number: int) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    owner = TaskOwner("owner")
    tasks = [owner.spawn(work(number), name=f"work{number}") for number in range(3)]
    await asyncio.sleep(0)
    await owner.close()
    assert sorted(ended) == [0, 1, 2]
    assert all(task.cancelled() for task in tasks)
    await owner.close()


async def test_a_failure_is_logged_at_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("the cable is cut")

    owner = TaskOwner("owner")
    task = owner.spawn(fail(), name="fail")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info
    assert "name=owner.fail" in caplog.text and "the cable is cut" in caplog.text


async def test_a_cancelled_task_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    owner = TaskOwner("owner")
    owner.spawn(forever(), name="forever")
    await owner.close()
    assert not caplog.records


async def test_a_task_may_close_its_own_owner() -> None:
    owner = TaskOwner("owner")
    other = owner.spawn(forever(), name="other")

    async def closing() -> str:
        await owner.close()
        return "closed"

    assert await asyncio.wait_for(owner.spawn(closing(), name="closing"), 5) == "closed"
    assert other.cancelled()


async def test_a_task_that_ignores_its_cancellation_is_named(caplog: pytest.LogCaptureFixture) -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    owner = TaskOwner("owner")
    task = owner.spawn(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    await owner.close(timeout_s=0.05)
    assert "name=owner.stubborn" in caplog.text
    release.set()
    await asyncio.wait_for(task, 5)
