"""Drives `tray_program` on a private desktop, and finds its icon the way a person does: on the screen."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_connector.core.status import State
from tests.support.displays import PrivateDesktop
from tests.support.waiting import eventually_sync
from tests.unit.desktop.samples import status

ROOT = Path(__file__).parent.parent.parent.parent
CLASS = "tray-program"
MENU_WIDTH = 100
WARNINGS = ("Traceback", "QObject::", "QBasicTimer", "Gtk-CRITICAL", "GLib-CRITICAL", "QSystemTrayIcon:")


class TrayProgram:
    """One running `tray_program`."""

    def __init__(self, desktop: PrivateDesktop, **variables: str) -> None:
        self._desktop = desktop
        self._started = desktop.start(
            sys.executable, "-m", "tests.desktop.tray.tray_program",
            listens=True, variables={"PYTHONPATH": str(ROOT), **variables},
        )  # fmt: skip
        self.pid = self._started.pid

    @property
    def log(self) -> str:
        return self._started.log

    @property
    def facts(self) -> list[dict[str, Any]]:
        """All it said so far."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def values(self, key: str) -> list[Any]:
        """All it said under `key`."""
        return [fact[key] for fact in self.facts if key in fact]

    def until(self, key: str, *values: Any) -> None:
        """Wait until the values it said under `key` are exactly these."""

        def probe() -> bool:
            assert self._started.is_running, f"it ended:\n{self.log}"
            return self.values(key) == list(values)

        eventually_sync(probe, what=f"{key}={list(values)} in:\n{self._started.log_file}", deadline_s=15)

    def tell(self, **command: Any) -> None:
        self._started.tell(json.dumps(command))

    def show(self, state: State, *, recent: Sequence[dict[str, Any]] = (), language: str = "en", **parts: Any) -> None:
        """Have it show this state, and wait until it did."""
        before = len(self.values("viewed"))
        document = status(state, now=time.time(), **parts)
        self.tell(status=document, recent=list(recent), language=language)
        eventually_sync(lambda: len(self.values("viewed")) > before, what=f"the view shown:\n{self.log}")

    def wait(self) -> int:
        """Wait for its own end; returns the exit code."""
        return self._started.wait(deadline_s=10)

    def end(self) -> None:
        """Have it end, and check that it did so in order and complained of nothing."""
        self.tell(quit=True)
        assert self._started.wait(deadline_s=10) == 0, self.log
        complaints = [line for line in self.log.splitlines() if any(word in line for word in WARNINGS)]
        assert not complaints, complaints


class XembedScreen:
    """What of the program can be seen and touched on the X display."""

    def __init__(self, desktop: PrivateDesktop, *, program: str = CLASS) -> None:
        """`program` is the name that its windows carry as their class."""
        self._desktop = desktop
        self._program = program

    def windows(self, *, least: int = 10) -> dict[int, tuple[int, int, int, int]]:
        """The program's visible windows with x, y, width, height."""
        found = self._desktop.run("xdotool", "search", "--onlyvisible", "--class", self._program, check=False).split()
        boxes = {}
        for number in map(int, found):
            shape = self._desktop.run("xdotool", "getwindowgeometry", "--shell", str(number), check=False)
            facts = dict(line.split("=") for line in shape.splitlines())
            if facts and int(facts["WIDTH"]) >= least:
                boxes[number] = tuple(int(facts[key]) for key in ("X", "Y", "WIDTH", "HEIGHT"))
        return boxes  # type: ignore[return-value]

    def icon(self) -> tuple[int, int, int, int]:
        """Where the icon is, as soon as it is there."""
        boxes = eventually_sync(self.windows, what="an icon in the panel", deadline_s=15, interval_s=0.05)
        return min(boxes.values(), key=lambda box: box[2])

    def gone(self) -> None:
        """Wait until nothing of it is visible."""
        eventually_sync(lambda: not self.windows(), what="no icon in the panel", deadline_s=15, interval_s=0.05)

    def press(self, button: int) -> None:
        """Click the middle of the icon."""
        x, y, width, height = self.icon()
        self._desktop.run("xdotool", "mousemove", str(x + width // 2), str(y + height // 2), "click", str(button))

    def menu(self) -> tuple[int, int, int, int]:
        """Where the menu is, after a right click."""
        eventually_sync(lambda: not self.windows(least=MENU_WIDTH), what="no menu open", deadline_s=10)
        pressed_at = -math.inf

        def probe() -> tuple[int, int, int, int] | None:
            nonlocal pressed_at
            if boxes := self.windows(least=MENU_WIDTH):
                return next(iter(boxes.values()))
            # Two clicks in a breath are a double click, which opens no menu: try again a moment later.
            if time.monotonic() - pressed_at > 1.0:
                self.press(3)
                pressed_at = time.monotonic()
            return None

        box = eventually_sync(probe, what="the menu", deadline_s=10, interval_s=0.05)
        assert box is not None
        return box

    def keys(self, *names: str) -> None:
        """Type keys into what has the keyboard."""
        self._desktop.run("xdotool", "key", "--delay", "30", *names)
