"""Runs a test's coroutine on the Qt loop that the desktop uses, in the test's own process and offscreen.

The tests are plain functions: pytest-asyncio keeps its own loop for coroutine tests, and two running loops do not mix.

    def test_it(on_qt: OnQt) -> None:
        async def story() -> None: ...
        on_qt(story)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

# Before the first QApplication of the process; windows on real displays are tested as processes of their own.
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.setdefault("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")

import pytest
from PySide6.QtWidgets import QApplication

from edge_connector.desktop.loop import DesktopLoop

STORY_S = 50.0

Story = Callable[[], Coroutine[Any, Any, None]]
OnQt = Callable[[Story], None]


def run_story(application: QApplication, story: Story) -> None:
    """Run it to its end and check that it left no task."""

    async def bounded() -> None:
        async with asyncio.timeout(STORY_S):
            await story()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left: {sorted(task.get_name() for task in left)}"

    with asyncio.Runner(loop_factory=lambda: DesktopLoop(application)) as runner:
        runner.run(bounded())


@pytest.fixture
def on_qt(qapp: QApplication) -> OnQt:
    """Runs a coroutine function on the Qt loop."""
    return lambda story: run_story(qapp, story)
