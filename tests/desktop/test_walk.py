"""Whole walks through the real program with mouse and keys: tray, window, and what each click did to the connector."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat

from edge_connector.autostart.entry import entry_name
from tests.desktop import test_main
from tests.desktop.test_main import WORKING, Place
from tests.desktop.tray.driver import ROOT, XembedScreen
from tests.support.desktop_process import DesktopProcess, ending
from tests.support.displays import PrivateDesktop, private_desktop
from tests.support.status_notifier import Item, status_notifier_host
from tests.support.waiting import eventually

pytestmark = pytest.mark.tray

place = test_main.place
MENU_SAYS = ("Quit", "Beenden")
CLICK_AGAIN_S = 1.5
OPENER = """#!/bin/sh
echo "$@" >> "$HOME/opened"
"""


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[PrivateDesktop]:
    """A display where "open this folder" is written down."""
    with private_desktop(tmp_path / "desktop") as opened:
        programs = tmp_path / "programs"
        programs.mkdir()
        opener = programs / "xdg-open"
        opener.write_text(OPENER)
        opener.chmod(0o755)
        opened.environment["PATH"] = f"{programs}:{opened.environment['PATH']}"
        yield opened


class WalkedDesktop(DesktopProcess):
    """The program with a person in front of it."""

    command = (sys.executable, "-m", "tests.desktop.walked_program")
    listens = True
    _numbers = itertools.count(1)

    def __init__(self, desktop: PrivateDesktop, place: Place, *options: str) -> None:
        super().__init__(desktop, place.home, {**place.variables, "PYTHONPATH": str(ROOT)}, *options)

    async def find(self, words: str, *, enabled: bool = True) -> dict[str, Any]:
        """Where something that begins with these words is seen, as soon as it stands still."""
        last: dict[str, Any] = {}

        async def probe() -> dict[str, Any] | None:
            nonlocal last
            before, last = last, await self._ask(words)
            still = before.get("x") is not None and {**before, "answer": 0} == {**last, "answer": 0}
            return last if still and (last["enabled"] or not enabled) else None

        found = await eventually(probe, what=f"{words!r} on the screen:\n{self.log[-2000:]}", interval_s=0.05)
        assert found is not None
        return dict(found)

    async def open_menu(self, screen: XembedScreen) -> None:
        """Click the icon with the right button until the menu is there: two clicks in a breath open none."""
        clicked_at = -math.inf

        async def probe() -> bool:
            nonlocal clicked_at
            if any([await self.sees(words) for words in MENU_SAYS]):
                return True
            if time.monotonic() - clicked_at > CLICK_AGAIN_S:
                await asyncio.to_thread(screen.press, 3)
                clicked_at = time.monotonic()
            return False

        await eventually(probe, what="the menu", interval_s=0.05)

    async def brightness(self) -> int:
        """The grey of most of the window, 0 to 255."""
        picture = await asyncio.to_thread(self.desktop.screenshot, self.home.parent / "screen.png")
        with Image.open(picture) as shot:
            window = await self.until_window()
            shape = self.desktop.run("xdotool", "getwindowgeometry", "--shell", window)
            facts = {key: int(value) for key, value in (line.split("=") for line in shape.splitlines())}
            left, top = facts["X"], facts["Y"]
            return int(ImageStat.Stat(shot.convert("L").crop((left, top, left + 700, top + 500))).median[0])

    async def sees(self, words: str) -> bool:
        """Whether something that begins with these words is seen now."""
        return (await self._ask(words))["x"] is not None

    async def click(self, words: str) -> str:
        """Click it; returns all it says."""
        spot = await self.find(words)
        self.desktop.run("xdotool", "mousemove", str(spot["x"]), str(spot["y"]), "click", "1")
        return str(spot["text"])

    async def write(self, words: str, text: str) -> None:
        """Click into an input and replace what it holds."""
        await self.click(words)
        self.desktop.run("xdotool", "key", "ctrl+a")
        self.desktop.run("xdotool", "type", "--delay", "10", text)

    async def _ask(self, words: str) -> dict[str, Any]:
        number = next(self._numbers)
        self.process.tell(json.dumps({"ask": number, "where": words}))

        def answer() -> dict[str, Any] | None:
            assert self.process.is_running, f"it ended:\n{self.log}"
            lines = [line for line in self.log.splitlines() if line.startswith(f'{{"answer": {number},')]
            found: dict[str, Any] | None = json.loads(lines[0]) if lines else None
            return found

        answered = await eventually(answer, what="an answer")
        assert answered is not None
        return answered


def opened_folders(desktop: PrivateDesktop) -> str:
    written = Path(desktop.environment["HOME"]) / "opened"
    return written.read_text() if written.exists() else ""


def entry_of(desktop: PrivateDesktop, home: Path) -> Path:
    return Path(desktop.environment["XDG_CONFIG_HOME"]) / "autostart" / f"{entry_name(home)}.desktop"


async def test_through_the_menu_of_an_xembed_panel(desktop: PrivateDesktop, place: Place) -> None:
    desktop.start("trayer", "--edge", "bottom", "--align", "right", "--height", "32", "--widthtype", "request")
    screen = XembedScreen(desktop, program="edge-connector")
    async with ending(WalkedDesktop(desktop, place, "--hidden")) as program:
        await program.until_state(*WORKING)
        assert (await place.platform.call("twice", {"text": "ab"}, deployment=place.deployment.id)).outcome

        async def choose(words: str) -> None:
            await program.open_menu(screen)
            await program.click(words)

        await choose("Pause for 1 hour")
        paused = (await program.until_state("paused"))["paused"]
        assert paused["until"] > paused["since"]
        await choose("Resume")
        await program.until_state(*WORKING)
        await choose("Pause until resumed")
        assert (await program.until_state("paused"))["paused"]["until"] == ""
        await choose("Resume")
        await program.until_state(*WORKING)

        await choose("Open logs folder")
        await eventually(lambda: str(place.home / "logs") in opened_folders(desktop), what="the folder opened")
        assert program.windows() == [], "nothing of this shows the window"
        await choose("Recent calls")
        assert "finished" in await program.click("twice · ")
        await program.until_window()
        assert await program.sees("Run"), "a recent call opens its tool"

        await choose("Quit and stop the connector")
        assert await program.wait() == 0


async def test_through_the_window(desktop: PrivateDesktop, place: Place) -> None:
    desktop.start("trayer", "--edge", "bottom", "--align", "right", "--height", "32", "--widthtype", "request")
    screen = XembedScreen(desktop, program="edge-connector")
    async with ending(WalkedDesktop(desktop, place, "--hidden")) as program:
        await program.until_state(*WORKING)
        await program.open_menu(screen)
        await program.click("Open")
        await program.until_window()

        await program.click("Tools")
        await program.write("Filter tools", "twice")
        await program.click("twice")
        await program.write("text", "ab")
        await program.click("Run")
        assert "abab" in (await program.find("Result="))["text"]
        recent = await program.request("calls.recent", limit=1)
        assert (recent[0]["tool"], recent[0]["outcome"]) == ("twice", "succeeded")

        entry = entry_of(desktop, place.home)
        assert not entry.exists()
        await program.click("Settings")
        await program.click("Start with the session")
        await eventually(entry.exists, what="the autostart entry")
        assert str(place.home) in entry.read_text() and "--hidden" in entry.read_text()
        await program.click("Start with the session")
        await eventually(lambda: not entry.exists(), what="no autostart entry")

        await program.click("Language")
        await program.click("Deutsch")
        for words in ("Übersicht", "Werkzeuge", "Einstellungen", "Diagnose", "Mit der Sitzung starten"):
            await program.find(words)
        await program.open_menu(screen)
        await program.click("Beenden und den Connector anhalten")
        assert await program.wait() == 0
    assert json.loads((place.home / "desktop.json").read_text())["language"] == "de"


async def test_through_the_menu_of_a_status_notifier_panel(desktop: PrivateDesktop, place: Place) -> None:
    address = desktop.environment["DBUS_SESSION_BUS_ADDRESS"]
    async with status_notifier_host(address) as host, ending(WalkedDesktop(desktop, place, "--hidden")) as program:
        item = await host.item()
        await program.until_state(*WORKING)
        await row(item, "Pause for 1 hour")
        await item.click("Pause for 1 hour")
        assert (await program.until_state("paused"))["paused"]["until"]
        await eventually(lambda: tooltip_says(item, "Paused until"), what="the tooltip of the pause")
        await row(item, "Resume")
        await item.click("Resume")
        await program.until_state(*WORKING)
        await item.click("Open logs folder")
        await eventually(lambda: str(place.home / "logs") in opened_folders(desktop), what="the folder opened")
        await item.activate()
        await program.until_window()
        await eventually(lambda: tooltip_says(item, "Working"), what="the tooltip of work")

        gate = place.home.parent / "gate"
        call = await place.begin_hold(gate)
        await row(item, "Quit, stop the connector and 1 running call")
        await item.click("Quit, stop the connector and 1 running call")
        await eventually(lambda: "waiting for running calls" in program.log, what="the drain")
        gate.touch()
        assert (await call).outcome == "succeeded"
        assert await program.wait() == 0
        await host.no_item()


@pytest.mark.parametrize("loop", ["qt", "thread"])
async def test_another_theme_and_a_signal_while_it_runs(desktop: PrivateDesktop, place: Place, loop: str) -> None:
    place.variables["EC_RUNTIME_LOOP"] = loop
    async with ending(WalkedDesktop(desktop, place)) as program:
        await program.until_window()
        await program.until_state(*WORKING)
        for ground, is_right in (("#202326", lambda grey: grey < 80), ("#eff0f1", lambda grey: grey > 200)):
            program.process.tell(json.dumps({"ground": ground}))

            async def follows(is_right: Callable[[int], bool] = is_right) -> bool:
                return is_right(await program.brightness())

            await eventually(follows, what=f"the window on {ground}", interval_s=0.1)
        gate = place.home.parent / "gate"
        call = await place.begin_hold(gate)
        program.process._process.send_signal(signal.SIGHUP)
        await eventually(lambda: "waiting for running calls" in program.log, what="the drain")
        gate.touch()
        assert (await call).outcome == "succeeded"
        assert await program.wait() == 0


async def row(item: Item, words: str) -> None:
    """Wait until the menu has a row that begins so and can be chosen."""

    async def probe() -> bool:
        return any(found.label.startswith(words) and found.enabled for found in await item.menu())

    await eventually(probe, what=f"the row {words!r}", interval_s=0.05)


async def tooltip_says(item: Item, words: str) -> bool:
    return words in await item.tooltip()
