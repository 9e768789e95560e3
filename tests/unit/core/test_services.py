from __future__ import annotations

import asyncio
import logging

import pytest

from edge_connector.core.services import ServiceStack


class Part:
    def __init__(self, name: str, story: list[str], *, fails: str = "", hangs: bool = False) -> None:
        self.name = name
        self._story = story
        self._fails = fails
        self._hangs = hangs

    async def start(self) -> None:
        self._story.append(f"start {self.name}")
        if self._fails == "start":
            raise RuntimeError(f"{self.name} cannot start")

    async def stop(self) -> None:
        self._story.append(f"stop {self.name}")
        if self._fails == "stop":
            raise RuntimeError(f"{self.name} cannot stop")
        if self._hangs:
            await asyncio.Event().wait()


@pytest.fixture
def story() -> list[str]:
    return []


@pytest.fixture
def stack() -> ServiceStack:
    return ServiceStack(stop_budget_s=0.05)


async def test_stops_in_reverse(stack: ServiceStack, story: list[str]) -> None:
    for name in "abc":
        await stack.start(Part(name, story))
    await stack.stop()
    assert story == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


async def test_a_second_stop_does_nothing(stack: ServiceStack, story: list[str]) -> None:
    await stack.start(Part("a", story))
    await stack.stop()
    await stack.stop()
    assert story == ["start a", "stop a"]


async def test_a_half_made_start_is_undone_too(stack: ServiceStack, story: list[str]) -> None:
    await stack.start(Part("a", story))
    with pytest.raises(RuntimeError, match="b cannot start"):
        await stack.start(Part("b", story, fails="start"))
    await stack.stop()
    assert story == ["start a", "start b", "stop b", "stop a"]


async def test_one_that_hangs_is_named_and_the_others_are_stopped(
    stack: ServiceStack, story: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await stack.start(Part("a", story))
    await stack.start(Part("b", story, hangs=True))
    with caplog.at_level(logging.WARNING):
        await stack.stop()
    assert story[-2:] == ["stop b", "stop a"]
    assert "name=b" in caplog.text and "name=a" not in caplog.text


async def test_one_that_fails_is_named_and_the_others_are_stopped(
    stack: ServiceStack, story: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    await stack.start(Part("a", story))
    await stack.start(Part("b", story, fails="stop"))
    await stack.stop()
    assert story[-2:] == ["stop b", "stop a"]
    assert "b cannot stop" in caplog.text
