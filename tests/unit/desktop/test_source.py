"""Sources: a runtime on this loop, in a thread, in another process; the choice between them, and what it shows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_connector.config.loading import load
from edge_connector.core.errors import EdgeError, NotConnected, UserError
from edge_connector.core.loops import fastest_loop
from edge_connector.core.status import State
from edge_connector.core.tasks import TaskOwner
from edge_connector.desktop.source import (
    AttachedSource,
    ChosenSource,
    HostedSource,
    StatusSource,
    ThreadSource,
    bare_document,
)
from edge_connector.runtime.app import ConnectorRuntime
from tests.support.qt_loop import OnQt
from tests.support.real_connector import environment, running_connector
from tests.support.waiting import eventually

NOWHERE = environment("ws://127.0.0.1:1", "dep_none", "a-secret-of-nobody", EC_SHUTDOWN_GRACE_S="1")
Hosting = HostedSource | ThreadSource


def make_source(kind: str, home: Path, variables: dict[str, str] = NOWHERE) -> Hosting:
    def make() -> ConnectorRuntime:
        return ConnectorRuntime(load(home, variables), stay_without_credentials=True)

    return HostedSource(make, home) if kind == "hosted" else ThreadSource(make, home, loop_factory=fastest_loop())


class Watcher:
    """Keeps every document of a source."""

    def __init__(self, source: StatusSource, tasks: TaskOwner) -> None:
        self.documents: list[dict[str, Any]] = []
        self._source = source
        tasks.spawn(self._watch(), name="watcher")

    async def _watch(self) -> None:
        async for document in self._source.watch():
            self.documents.append(document)

    @property
    def last(self) -> dict[str, Any]:
        return self.documents[-1] if self.documents else {}

    async def until_tools(self) -> None:
        await eventually(lambda: self.last.get("tools"), what="tools in the status")

    async def until_stopped(self) -> None:
        """Stopped for good: a connector that still drains tells of its process."""
        await eventually(lambda: self.last.get("state") == "stopped" and "process" not in self.last, what="stopped")


@asynccontextmanager
async def task_owner() -> AsyncIterator[TaskOwner]:
    tasks = TaskOwner("test")
    try:
        yield tasks
    finally:
        await tasks.close()


@pytest.mark.parametrize("kind", ["hosted", "thread"])
def test_a_hosted_runtime_from_start_to_end(on_qt: OnQt, tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        source = make_source(kind, tmp_path)
        assert source.is_hosted
        with pytest.raises(NotConnected):
            await source.request("status")
        async with task_owner() as tasks:
            watcher = Watcher(source, tasks)
            await eventually(lambda: watcher.last, what="a document before the start")
            assert watcher.last["state"] == "connecting"
            running = tasks.spawn(source.run(), name="run")
            await watcher.until_tools()
            assert {tool["name"] for tool in await source.request("tools")} >= {"echo"}
            answer = await source.request("call", tool="echo", arguments={"message": "hello"})
            assert answer["outcome"] == "succeeded"
            with pytest.raises(UserError, match="no request `fly`"):
                await source.request("fly")
            await source.request("pause", forS=60)
            await eventually(lambda: watcher.last["state"] == "paused", what="paused")
            source.stop()
            await running
            await watcher.until_stopped()
        with pytest.raises(NotConnected):
            await source.request("status")

    on_qt(story)


@pytest.mark.parametrize("kind", ["hosted", "thread"])
def test_a_stop_before_the_start_counts(on_qt: OnQt, tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        source = make_source(kind, tmp_path)
        source.stop(hard=True)
        await asyncio.wait_for(source.run(), 20)

    on_qt(story)


def test_the_thread_goes_on_while_qt_is_stalled_and_brings_one_document(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        source = make_source("thread", tmp_path)
        assert isinstance(source, ThreadSource)
        async with task_owner() as tasks:
            watcher = Watcher(source, tasks)
            running = tasks.spawn(source.run(), name="run")
            await watcher.until_tools()
            loop, runtime = source._loop, source._runtime
            assert loop is not None and runtime is not None
            moved = threading.Event()
            before = len(watcher.documents)

            def change(times: int) -> None:
                runtime.board.raise_problem("configuration", detail=f"change {times}")
                if times:
                    loop.call_later(0.25, change, times - 1)
                else:
                    moved.set()

            loop.call_soon_threadsafe(change, 3)
            assert moved.wait(10), "the runtime stood still with the window"
            time.sleep(0.3)  # the stall itself: the last change is published 0.2 s after it was made
            await eventually(lambda: len(watcher.documents) > before, what="the newest document")
            assert [problem["sentence"] for problem in watcher.last["problems"]].count("change 0") == 1
            assert len(watcher.documents) - before <= 2
            source.stop(hard=True)
            await running

    on_qt(story)


def test_a_thread_whose_front_end_is_cancelled_still_drains(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        source = make_source("thread", tmp_path)
        async with task_owner() as tasks:
            watcher = Watcher(source, tasks)
            running = tasks.spawn(source.run(), name="run")
            await watcher.until_tools()
            running.cancel()
            await asyncio.wait({running}, timeout=20)
            assert running.cancelled()
        assert not (tmp_path / "edge-runtime.lock").exists()
        assert not [thread for thread in threading.enumerate() if thread.name == "runtime"]

    on_qt(story)


@pytest.mark.parametrize("kind", ["hosted", "thread"])
def test_what_keeps_it_from_starting_is_raised(on_qt: OnQt, tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        with pytest.raises(UserError, match="healthHost"):
            await make_source(kind, tmp_path, {**NOWHERE, "HEALTH_HOST": "192.0.2.1"}).run()

    on_qt(story)


async def test_attached_it_shows_stopped_until_there_is_one_and_again_after_its_end(tmp_path: Path) -> None:
    source = AttachedSource(tmp_path, again_s=0.02)
    assert not source.is_hosted
    async with task_owner() as tasks:
        watcher = Watcher(source, tasks)
        await watcher.until_stopped()
        with pytest.raises(NotConnected):
            await source.request("status")
        for _ in range(2):
            async with running_connector(tmp_path, NOWHERE, until_working=False):
                await watcher.until_tools()
                assert watcher.last["process"]["directory"] == str(tmp_path)
                assert (await source.request("call", tool="echo", arguments={"message": "x"}))["outcome"] == "succeeded"
                with pytest.raises(EdgeError, match="no request `fly`"):
                    await source.request("fly")
            await watcher.until_stopped()
    assert [document["state"] for document in watcher.documents].count("stopped") >= 3


async def test_chosen_it_hosts_when_nobody_does(tmp_path: Path) -> None:
    source = ChosenSource(make_source("hosted", tmp_path), tmp_path)
    async with task_owner() as tasks:
        watcher = Watcher(source, tasks)
        running = tasks.spawn(source.run(), name="run")
        await watcher.until_tools()
        assert source.is_hosted
        # Whoever stops the connector over its socket ends the program that hosts it.
        await source.request("stop")
        await asyncio.wait_for(running, 20)
        await watcher.until_stopped()


async def test_chosen_it_attaches_to_the_one_that_runs_and_hosts_after_its_end(tmp_path: Path) -> None:
    heard: list[str] = []

    def recover(error: EdgeError) -> bool:
        heard.append(error.code)
        return False

    source = ChosenSource(make_source("hosted", tmp_path), tmp_path, recover=recover)
    async with task_owner() as tasks:
        watcher = Watcher(source, tasks)
        async with running_connector(tmp_path, NOWHERE, until_working=False):
            running = tasks.spawn(source.run(), name="run")
            await watcher.until_tools()
            assert [source.is_hosted] == [False]
        await watcher.until_stopped()
        assert heard == ["runtime_already_running"]
        source.start_again()
        await watcher.until_tools()
        assert [source.is_hosted] == [True]
        source.stop(hard=True)
        await asyncio.wait_for(running, 20)


async def test_attached_a_stop_leaves_the_other_process_alone(tmp_path: Path) -> None:
    source = ChosenSource(make_source("hosted", tmp_path), tmp_path)
    async with task_owner() as tasks, running_connector(tmp_path, NOWHERE, until_working=False) as runtime:
        watcher = Watcher(source, tasks)
        running = tasks.spawn(source.run(), name="run")
        await watcher.until_tools()
        source.stop()
        await asyncio.wait_for(running, 20)
        assert (await AttachedSource(tmp_path).request("status"))["state"] == str(runtime.board.state)


async def test_a_failed_start_is_shown_with_its_cure_and_can_be_tried_again(tmp_path: Path) -> None:
    variables = {**NOWHERE, "HEALTH_HOST": "192.0.2.1"}

    def make() -> ConnectorRuntime:
        return ConnectorRuntime(load(tmp_path, variables), stay_without_credentials=True)

    source = ChosenSource(HostedSource(make, tmp_path), tmp_path)
    async with task_owner() as tasks:
        watcher = Watcher(source, tasks)
        running = tasks.spawn(source.run(), name="run")
        await eventually(lambda: watcher.last.get("problems"), what="the problem")
        assert watcher.last["state"] == "stopped"
        problem = watcher.last["problems"][0]
        assert (problem["code"], problem["severity"]) == ("health_host_unusable", "person")
        assert "HEALTH_HOST" in problem["fix"]
        variables["HEALTH_HOST"] = "127.0.0.1"
        source.start_again()
        await watcher.until_tools()
        source.stop(hard=True)
        await asyncio.wait_for(running, 20)


async def test_a_cure_starts_it_at_once(tmp_path: Path) -> None:
    variables = {**NOWHERE, "HEALTH_HOST": "192.0.2.1"}

    def make() -> ConnectorRuntime:
        return ConnectorRuntime(load(tmp_path, variables), stay_without_credentials=True)

    def recover(error: EdgeError) -> bool:
        variables["HEALTH_HOST"] = "127.0.0.1"
        return error.code == "health_host_unusable"

    source = ChosenSource(HostedSource(make, tmp_path), tmp_path, recover=recover)
    async with task_owner() as tasks:
        watcher = Watcher(source, tasks)
        running = tasks.spawn(source.run(), name="run")
        await watcher.until_tools()
        assert not any(document["problems"] for document in watcher.documents if not document.get("tools"))
        source.stop(hard=True)
        await asyncio.wait_for(running, 20)


def test_a_bare_document_claims_nothing(tmp_path: Path) -> None:
    stopped = bare_document(tmp_path, State.STOPPED, UserError("some_code", "A sentence.", hint="A cure."))
    assert "process" not in stopped
    assert [problem["sentence"] for problem in stopped["problems"]] == ["A sentence."]
    starting = bare_document(tmp_path, State.CONNECTING)
    assert starting["process"]["pid"] and "proven" not in starting
