"""Qt's tray on a real StatusNotifier host on a private bus: what a panel of KDE, Xfce or GNOME's extension gets."""

from __future__ import annotations

import asyncio

import pytest

from edge_connector.core.status import State
from edge_connector.desktop.icon_drawing import draw
from edge_connector.desktop.icons import INK_LIGHT, Ground
from tests.desktop.tray.driver import TrayProgram, XembedScreen
from tests.support.displays import PrivateDesktop
from tests.support.status_notifier import Item, StatusNotifierHost, status_notifier_host
from tests.support.waiting import eventually
from tests.unit.desktop.samples import call

pytestmark = pytest.mark.tray


def address(desktop: PrivateDesktop) -> str:
    return desktop.environment["DBUS_SESSION_BUS_ADDRESS"]


async def until(program: TrayProgram, key: str, *values: object) -> None:
    """Off the loop: the host has to answer the program meanwhile."""
    await asyncio.to_thread(program.until, key, *values)


async def show(program: TrayProgram, state: State, **facts: object) -> None:
    await asyncio.to_thread(program.show, state, **facts)  # type: ignore[arg-type]


async def end(program: TrayProgram) -> None:
    await asyncio.to_thread(program.end)


async def test_item_shows_icon_tooltip_and_menu(desktop: PrivateDesktop) -> None:
    async with status_notifier_host(address(desktop)) as host:
        program = TrayProgram(desktop)
        item = await host.item()
        await until(program, "available", True)
        await show(program, State.WORKING, recent=[call(7)])

        async def told() -> bool:
            return "Working · proven 12 s ago" in await item.tooltip()

        await eventually(told, what="the tooltip")
        pictures = await item.pictures()
        assert {16, 22, 24, 32, 48, 64} <= pictures.keys(), "the panel chooses the size for its own scaling"
        assert look(pictures[22]) == drawn(State.WORKING, 22)
        rows = await item.menu()
        assert [row.label for row in rows if not row.separator] == [
            "Working · proven 12 s ago",
            "Open",
            "Pause for 1 hour",
            "Pause until resumed",
            "Resume",
            "Sign in…",
            "Sign out",
            "Recent calls",
            "Open logs folder",
            "Quit and stop the connector",
        ]
        assert [row.label for row in rows if not row.enabled] == ["Working · proven 12 s ago", "Resume", "Sign out"]
        expected: list[str] = []
        for label, inside, action in (
            ("Open", "", "open"),
            ("Pause until", "", "pause"),
            ("echo", "Recent calls", "recent:call-7"),
        ):
            await item.click(label, inside=inside)
            expected.append(action)
            await until(program, "action", *expected)
        await item.activate()
        await until(program, "action", *expected, "open")
        await end(program)
        await host.no_item()


async def test_menu_and_icon_follow_the_state(desktop: PrivateDesktop) -> None:
    async with status_notifier_host(address(desktop)) as host:
        program = TrayProgram(desktop)
        item = await host.item()
        await show(program, State.WORKING)
        paused = {"until": "", "since": "2027-01-15T08:00:00.000Z"}
        await show(program, State.PAUSED, paused=paused, language="de")

        async def switched() -> bool:
            return next(row.label for row in await item.menu() if row.label) == "Pausiert bis zum Fortsetzen"

        await eventually(switched, what="the German menu")
        assert look((await item.pictures())[22]) == drawn(State.PAUSED, 22)
        await item.click("Fortsetzen")
        await until(program, "action", "resume")
        await end(program)


async def test_connecting_pulses_and_rests_afterwards(desktop: PrivateDesktop) -> None:
    async with status_notifier_host(address(desktop)) as host:
        program = TrayProgram(desktop)
        item = await host.item()
        await show(program, State.CONNECTING)
        seen: set[tuple[bytes, bytes]] = set()

        async def all_places() -> bool:
            seen.add(look((await item.pictures())[22]))
            return seen >= {drawn(State.CONNECTING, 22, frame) for frame in range(3)}

        await eventually(all_places, what="the dot in all its places", interval_s=0.1)
        await show(program, State.WORKING)

        async def rests() -> bool:
            return look((await item.pictures())[22]) == drawn(State.WORKING, 22)

        await eventually(rests, what="the bar")
        await end(program)


async def test_late_host_is_picked_up_dies_and_returns(desktop: PrivateDesktop) -> None:
    program = TrayProgram(desktop)
    await until(program, "available", False)
    await show(program, State.NEEDS_YOU)
    async with status_notifier_host(address(desktop)) as host:
        await used(host, program, "open")
        await until(program, "available", False, True)
    await until(program, "available", False, True, False)
    async with status_notifier_host(address(desktop)) as host:
        await used(host, program, "open", "open")
        await until(program, "available", False, True, False, True)
        await end(program)


async def test_xembed_panel_takes_over_from_a_dead_host_and_back(desktop: PrivateDesktop) -> None:
    screen = XembedScreen(desktop)
    async with status_notifier_host(address(desktop)) as host:
        program = TrayProgram(desktop)
        await host.item()
        await show(program, State.WORKING)
    await until(program, "available", True, False)
    desktop.start("trayer", "--edge", "bottom", "--align", "right", "--height", "32", "--widthtype", "request")
    await asyncio.to_thread(screen.press, 1)
    await until(program, "action", "open")
    async with status_notifier_host(address(desktop)) as host:
        await used(host, program, "open", "open")
        await asyncio.to_thread(screen.gone)
        await end(program)


async def test_host_that_is_replaced_at_once_keeps_the_icon(desktop: PrivateDesktop) -> None:
    async with status_notifier_host(address(desktop)) as first:
        program = TrayProgram(desktop)
        await first.item()
        await show(program, State.WORKING)
    async with status_notifier_host(address(desktop)) as second:
        await used(second, program, "open")
        await end(program)


async def test_without_a_session_bus_there_is_no_tray_and_no_harm(desktop: PrivateDesktop) -> None:
    program = TrayProgram(desktop, DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
    await until(program, "available", False)
    await show(program, State.WORKING)
    await end(program)


@pytest.mark.parametrize("variables", [{"EC_TRAY_BACKEND": "none"}, {"EC_DISABLE_TRAY": "1"}])
async def test_tray_switched_off(desktop: PrivateDesktop, variables: dict[str, str]) -> None:
    async with status_notifier_host(address(desktop)) as host:
        program = TrayProgram(desktop, **variables)
        await until(program, "available", False)
        await show(program, State.WORKING)
        assert program.values("backend") == ["NoTray"]
        assert host.items == []
        await end(program)


async def used(host: StatusNotifierHost, program: TrayProgram, *actions: str) -> Item:
    """The icon is there, has its menu, and a click arrives."""
    item = await host.item()

    async def has_menu() -> bool:
        return any(row.label == "Open" for row in await item.menu())

    await eventually(has_menu, what="the menu")
    await item.click("Open")
    await until(program, "action", *actions)
    return item


def look(argb: bytes) -> tuple[bytes, bytes]:
    """What a picture on the bus looks like: its shape, and the colour of its first solid point."""
    shape = argb[::4]
    first = shape.index(255) * 4
    return shape, argb[first + 1 : first + 4]


def drawn(state: State, size: int, frame: int = 0) -> tuple[bytes, bytes]:
    """What it should look like: the mark for a light panel."""
    return draw(state, size, Ground.PANEL_LIGHT, frame=frame).getchannel("A").tobytes(), bytes(INK_LIGHT)
