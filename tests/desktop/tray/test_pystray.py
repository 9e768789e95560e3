"""pystray's AppIndicator backend on a real StatusNotifier host, inside a Qt program.

PyGObject is Debian's (python3-gi), lent to this interpreter: pip has no built one. It fits because both are of the same
Python version; where they are not, these tests fail and say so.
"""

from __future__ import annotations

import asyncio
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from edge_connector.core.status import State
from tests.desktop.tray.driver import TrayProgram
from tests.desktop.tray.test_status_notifier import address, end, show, until
from tests.support.displays import PrivateDesktop
from tests.support.status_notifier import status_notifier_host
from tests.support.waiting import eventually
from tests.unit.desktop.samples import call

pytestmark = pytest.mark.tray

GI = Path("/usr/lib/python3/dist-packages/gi")
DISPATCHERS = [{}, {"QT_NO_GLIB": "1"}]
"""Qt turns GLib's loop itself, or the tray's thread does."""


@pytest.fixture
def gi_folder(tmp_path: Path) -> str:
    """A folder with PyGObject and nothing else of the system's Python."""
    built = GI / f"_gi{sysconfig.get_config_var('EXT_SUFFIX')}"
    assert built.exists(), f"python3-gi is missing, or not for Python {sys.version_info[:2]}: no {built}"
    folder = tmp_path / "gi-folder"
    folder.mkdir()
    (folder / "gi").symlink_to(GI)
    return str(folder)


@pytest.mark.parametrize("dispatcher", DISPATCHERS, ids=["qt-glib", "own-thread"])
async def test_icon_menu_actions_and_stop(desktop: PrivateDesktop, gi_folder: str, dispatcher: dict[str, str]) -> None:
    async with status_notifier_host(address(desktop)) as host:
        program = TrayProgram(desktop, EC_TRAY_BACKEND="pystray", GI_FOLDER=gi_folder, **dispatcher)
        item = await host.item()
        await until(program, "available", True)
        assert program.values("backend") == ["WatchedPystrayTray"]
        await show(program, State.WORKING, recent=[call(7)])

        async def title() -> str:
            return str(await item.get("Title"))

        await eventually(lambda: shows(title, "Working · proven 12 s ago"), what="the title")

        async def labels() -> str:
            return "\n".join(row.label for row in await item.menu())

        await eventually(lambda: shows(labels, "Quit and stop the connector"), what="the menu")
        assert [row.label for row in await item.menu() if not row.enabled] == [
            "Working · proven 12 s ago",
            "Resume",
            "Sign out",
        ]
        await item.click("Open")
        await until(program, "action", "open")
        await item.click("echo", inside="Recent calls")
        await until(program, "action", "open", "recent:call-7")
        assert {fact["thread"] for fact in program.facts if "action" in fact} == {"MainThread"}
        await show(program, State.PAUSED, paused={"until": "", "since": "2027-01-15T08:00:00.000Z"}, language="de")
        await eventually(lambda: shows(labels, "Pausiert bis zum Fortsetzen"), what="the German menu")
        with Image.open(str(await item.get("IconName"))) as picture:
            assert picture.size == (48, 48)
        program.tell(stop=True)
        await eventually(lambda: program.values("stopped"), what="the end of the tray")
        assert program.values("stopped")[0] < 2.0
        assert program.values("threads") == [["MainThread"]]
        # The library leaves the item on the bus until the process ends; panels hide a passive one.
        await eventually(lambda: not host.items or item.announced == "Passive", what="the icon gone")
        await end(program)


async def test_late_host_is_picked_up_dies_and_returns(desktop: PrivateDesktop, gi_folder: str) -> None:
    program = TrayProgram(desktop, EC_TRAY_BACKEND="pystray", GI_FOLDER=gi_folder)
    await until(program, "available", False)
    await show(program, State.WORKING)
    for known in ([False, True], [False, True, False, True]):
        async with status_notifier_host(address(desktop)) as host:
            item = await host.item()
            await eventually(item.menu, what="the menu")
            await until(program, "available", *known)
        await until(program, "available", *known, False)
    await end(program)


async def test_auto_takes_it_only_where_qt_finds_no_panel(desktop: PrivateDesktop, gi_folder: str) -> None:
    alone = TrayProgram(desktop, GI_FOLDER=gi_folder)
    await until(alone, "backend", "WatchedPystrayTray")
    await end(alone)
    async with status_notifier_host(address(desktop)):
        hosted = TrayProgram(desktop, GI_FOLDER=gi_folder)
        await until(hosted, "backend", "QtTray")
        await end(hosted)


async def test_without_typelibs_auto_waits_with_qt_and_asking_by_name_is_refused(desktop: PrivateDesktop) -> None:
    program = TrayProgram(desktop)
    await until(program, "backend", "QtTray")
    assert "pystray has no usable backend here" in program.log
    await end(program)
    asked = TrayProgram(desktop, EC_TRAY_BACKEND="pystray")
    await eventually(lambda: "tray_backend_unusable" in asked.log or "UserError" in asked.log, what="the refusal")
    assert await asyncio.to_thread(asked.wait) == 1


async def shows(read: object, text: str) -> bool:
    assert callable(read)
    return text in await read()
