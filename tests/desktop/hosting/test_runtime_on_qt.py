"""The integration suite once more, hosted as the desktop hosts the runtime: on the Qt loop, and on a thread."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from edge_connector.core.loops import fastest_loop
from tests.integration import test_connector_and_platform as suite
from tests.support.qt_loop import STORY_S, run_story

Story = Callable[[], Coroutine[Any, Any, None]]

NOT_ON_QT = {
    # Its guard patches the blocking calls of the whole process, and Qt's loop makes some by design.
    "test_nothing_blocks_the_loop_while_calls_are_served",
}


def stories() -> list[Any]:
    """Each case of the suite with its parameters, as a function of a folder."""
    found = []
    for name, function in inspect.getmembers(suite, inspect.iscoroutinefunction):
        if not name.startswith("test_") or name in NOT_ON_QT:
            continue
        marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
        axes = [[(mark.args[0], values) for values in mark.args[1]] for mark in marks]
        for chosen in itertools.product(*axes):
            given: dict[str, Any] = {}
            for names, values in chosen:
                keys = [names] if isinstance(names, str) else list(names)
                given.update(zip(keys, [values] if isinstance(names, str) else values, strict=True))
            label = "-".join([name.removeprefix("test_"), *map(str, given.values())])
            found.append(pytest.param(function, given, id=label))
    return found


@pytest.mark.parametrize(("function", "given"), stories())
def test_on_the_qt_loop(
    function: Callable[..., Coroutine[Any, Any, None]], given: dict[str, Any], tmp_path: Path, qapp: QApplication
) -> None:
    run_story(qapp, lambda: function(tmp_path, **given))


@pytest.mark.parametrize(("function", "given"), stories())
def test_on_a_thread_beside_qt(
    function: Callable[..., Coroutine[Any, Any, None]], given: dict[str, Any], tmp_path: Path, qapp: QApplication
) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=fastest_loop()) as runner:
                runner.run(asyncio.wait_for(function(tmp_path, **given), STORY_S))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, name="runtime beside Qt")
    look = QTimer()
    look.setInterval(10)
    look.timeout.connect(lambda: None if thread.is_alive() else qapp.quit())
    thread.start()
    look.start()
    qapp.exec()
    thread.join()
    look.stop()
    if failures:
        raise failures[0]


def test_the_suite_is_really_run() -> None:
    assert len(stories()) >= 15
