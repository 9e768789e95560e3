"""Qt's tray in a real XEmbed panel (trayer), seen on the screen and used with mouse and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from edge_connector.core.status import State
from tests.desktop.tray.driver import TrayProgram, XembedScreen
from tests.support.displays import PrivateDesktop, Started
from tests.support.waiting import eventually_sync
from tests.unit.desktop.samples import call

pytestmark = pytest.mark.tray


def panel(desktop: PrivateDesktop) -> Started:
    return desktop.start("trayer", "--edge", "bottom", "--align", "right", "--height", "32", "--widthtype", "request")


def picture(desktop: PrivateDesktop, screen: XembedScreen, folder: Path) -> Image.Image:
    """What the icon's place on the screen shows, in grey."""
    x, y, width, height = screen.icon()
    with Image.open(desktop.screenshot(folder / "screen.png")) as shot:
        return shot.convert("L").crop((x, y, x + width, y + height))


def painted(image: Image.Image) -> int:
    """How many pixels differ from the ground."""
    points = image.tobytes()
    return sum(abs(point - points[0]) > 60 for point in points)


def test_each_state_is_a_picture_of_its_own(desktop: PrivateDesktop, tmp_path: Path) -> None:
    panel(desktop)
    program, screen = TrayProgram(desktop), XembedScreen(desktop)
    program.until("available", True)
    seen: dict[State, bytes] = {}
    for state in State:
        program.show(state)

        def differs(state: State = state) -> bool:
            image = picture(desktop, screen, tmp_path)
            seen[state] = image.tobytes()
            return painted(image) > 20 and all(seen[state] != seen[other] for other in seen if other is not state)

        eventually_sync(differs, what=f"a picture of its own for {state}", deadline_s=10, interval_s=0.05)
    assert len(seen) == 7
    program.end()
    screen.gone()


def test_click_opens_the_window_and_the_menu_sends_actions(desktop: PrivateDesktop) -> None:
    panel(desktop)
    program, screen = TrayProgram(desktop), XembedScreen(desktop)
    program.until("available", True)
    program.show(State.WORKING, recent=[call(7)])
    screen.press(1)
    program.until("action", "open")
    # The state row is disabled, so the first key stands on "Open".
    screen.menu()
    screen.keys("Down", "Down", "Return")
    program.until("action", "open", "pause_1h")
    screen.menu()
    screen.keys("Up", "Return")
    program.until("action", "open", "pause_1h", "quit")
    assert {fact["thread"] for fact in program.facts if "action" in fact} == {"MainThread"}
    program.end()


def test_mouse_chooses_in_the_menu(desktop: PrivateDesktop) -> None:
    panel(desktop)
    program, screen = TrayProgram(desktop), XembedScreen(desktop)
    program.until("available", True)
    program.show(State.PAUSED, paused={"until": "", "since": "2027-01-15T08:00:00.000Z"})
    x, y, width, height = screen.menu()
    # The lowest row is "Quit".
    desktop.run("xdotool", "mousemove", str(x + width // 2), str(y + height - 12), "click", "1")
    program.until("action", "quit")
    program.end()


def test_panel_that_comes_late_dies_and_returns(desktop: PrivateDesktop) -> None:
    program, screen = TrayProgram(desktop), XembedScreen(desktop)
    program.until("available", False)
    program.show(State.WORKING)
    first = panel(desktop)
    screen.icon()
    program.until("available", False, True)
    first.kill()
    screen.gone()
    program.until("available", False, True, False)
    panel(desktop)
    screen.press(1)
    program.until("action", "open")
    program.until("available", False, True, False, True)
    program.end()


def test_dark_and_light_panel_are_followed_live(desktop: PrivateDesktop, tmp_path: Path) -> None:
    panel(desktop)
    program, screen = TrayProgram(desktop), XembedScreen(desktop)
    program.until("available", True)
    program.show(State.WORKING)

    def darkest_and_lightest() -> tuple[int, int]:
        points = picture(desktop, screen, tmp_path).tobytes()
        return min(points), max(points)

    program.tell(scheme="light")
    eventually_sync(lambda: darkest_and_lightest()[0] < 80, what="a dark mark for a light panel", deadline_s=10)
    program.tell(scheme="dark")
    eventually_sync(lambda: darkest_and_lightest()[1] > 235, what="a light mark for a dark panel", deadline_s=10)
    program.end()


def test_stop_takes_the_icon_away_and_later_calls_do_nothing(desktop: PrivateDesktop) -> None:
    panel(desktop)
    program, screen = TrayProgram(desktop), XembedScreen(desktop)
    program.until("available", True)
    screen.icon()
    program.tell(stop=True)
    screen.gone()
    program.tell(stop=True)
    program.show(State.CONNECTING)
    program.tell(notify=["Edge Connector", "nobody sees this"])
    program.end()
    assert len(program.values("stopped")) == 2
