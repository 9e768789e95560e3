"""Qt's tray in the real panel of Xfce, which speaks StatusNotifier: icon, menu, death and return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edge_connector.core.status import State
from tests.desktop.tray.driver import TrayProgram
from tests.support.displays import PrivateDesktop, Started
from tests.support.waiting import eventually_sync

pytestmark = pytest.mark.tray

PANEL = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="true"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x=640;y=784"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray"/>
  </property>
</channel>
"""
"""One panel at the lower edge with nothing but the icons."""
ICON = (2, 770, 30, 798)
"""Where the first icon is on the screen."""


@pytest.fixture
def settings(desktop: PrivateDesktop) -> None:
    """Xfce's settings service: the private bus starts nothing by itself."""
    folder = Path(desktop.environment["XDG_CONFIG_HOME"]) / "xfce4" / "xfconf" / "xfce-perchannel-xml"
    folder.mkdir(parents=True)
    (folder / "xfce4-panel.xml").write_text(PANEL)
    (service,) = Path("/usr/lib").glob("*/xfce4/xfconf/xfconfd")
    desktop.start(str(service))
    ask = ("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus")
    eventually_sync(
        lambda: "true" in desktop.run(*ask, "org.freedesktop.DBus.NameHasOwner", "string:org.xfce.Xfconf"),
        what="the settings service",
    )


def panel(desktop: PrivateDesktop) -> Started:
    return desktop.start("xfce4-panel", "--disable-wm-check")


def seen(desktop: PrivateDesktop, path: Path) -> Callable[[], bool]:
    """Whether the icon's place shows a mark: its halo is light, the panel dark."""

    def probe() -> bool:
        with Image.open(desktop.screenshot(path)) as shot:
            points = shot.convert("L").crop(ICON).tobytes()
        return sum(point > 120 for point in points) > 40

    return probe


def above_panel(desktop: PrivateDesktop, path: Path) -> int:
    """How many points are painted above the panel, where the screen is black."""
    with Image.open(desktop.screenshot(path)) as shot:
        return sum(point > 0 for point in shot.convert("L").crop((0, 400, 400, 768)).tobytes())


def test_icon_and_menu_in_a_panel_that_comes_late_dies_and_returns(
    desktop: PrivateDesktop, settings: None, tmp_path: Path
) -> None:
    program = TrayProgram(desktop)
    program.until("available", False)
    program.show(State.WORKING)
    first = panel(desktop)
    program.until("available", False, True)
    eventually_sync(seen(desktop, tmp_path / "first.png"), what="the icon", interval_s=0.1)
    first.kill()
    program.until("available", False, True, False)
    panel(desktop)
    program.until("available", False, True, False, True)
    eventually_sync(seen(desktop, tmp_path / "second.png"), what="the icon again", interval_s=0.1)
    desktop.run("xdotool", "mousemove", "16", "784", "click", "1")
    program.until("action", "open")
    desktop.run("xdotool", "mousemove", "16", "784", "click", "3")
    eventually_sync(lambda: above_panel(desktop, tmp_path / "menu.png") > 20_000, what="the menu", interval_s=0.1)
    desktop.run("xdotool", "key", "--delay", "50", "Down", "Down", "Return")
    eventually_sync(lambda: len(program.values("action")) == 2, what="a choice in the menu")
    assert program.values("action")[1] in ("open", "pause_1h")
    program.end()
