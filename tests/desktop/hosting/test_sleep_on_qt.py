"""Suspend and resume, hosted as the desktop hosts the runtime: D-Bus on the Qt loop and on uvloop."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from edge_connector.core.loops import fastest_loop
from tests.integration.test_liveness import (
    test_a_pause_outlasts_a_sleep as pause_outlasts_a_sleep,
)
from tests.integration.test_liveness import (
    test_a_suspend_is_told_calls_end_at_once_and_what_ran_is_delivered_after_the_wake_up as suspend_is_told,
)
from tests.support.qt_loop import STORY_S, run_story
from tests.support.system_bus import private_system_bus

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("dbus-daemon") is None, reason="needs dbus-daemon"
)


def test_on_the_qt_loop(tmp_path: Path, qapp: QApplication) -> None:
    with private_system_bus(tmp_path) as bus:
        run_story(qapp, lambda: suspend_is_told(tmp_path / "suspend", bus))
        run_story(qapp, lambda: pause_outlasts_a_sleep(tmp_path / "paused", bus))


def test_on_the_fastest_loop(tmp_path: Path) -> None:
    with private_system_bus(tmp_path) as bus, asyncio.Runner(loop_factory=fastest_loop()) as runner:
        runner.run(asyncio.wait_for(suspend_is_told(tmp_path / "suspend", bus), STORY_S))
