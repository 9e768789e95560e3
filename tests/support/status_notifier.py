"""A StatusNotifier watcher and host for tests: what a panel is on the bus, without the panel.

    async with status_notifier_host(desktop.environment["DBUS_SESSION_BUS_ADDRESS"]) as host:
        item = await host.item()
        await item.click("Open")

It takes org.kde.StatusNotifierWatcher on the bus, so one at a time. Leaving the block is a panel that dies: its
connection is gone without a word. Specifications: freedesktop.org StatusNotifierItem, com.canonical.dbusmenu.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dbus_fast import Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

from tests.support.waiting import eventually

WATCHER = "org.kde.StatusNotifierWatcher"
WATCHER_PATH = "/StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
PROPERTIES = "org.freedesktop.DBus.Properties"
REPLY_S = 5.0


@dataclass(frozen=True)
class MenuRow:
    """One row of an item's menu as the host sees it."""

    id: int
    label: str
    enabled: bool
    separator: bool
    children: list[MenuRow] = field(default_factory=list)


class Item:
    """One registered icon."""

    def __init__(self, bus: MessageBus, service: str, path: str) -> None:
        self._bus, self.service, self.path = bus, service, path
        self.announced = ""
        """The status it told last by signal: `Active`, `Passive`; empty when it told none."""

    async def get(self, name: str) -> Any:
        """A property, e.g. `Title`, `ToolTip`, `IconPixmap`, `Status`."""
        return await self._get(ITEM, self.path, name)

    async def tooltip(self) -> str:
        """Title and text of the tooltip in lines."""
        _, _, title, text = await self.get("ToolTip")
        return "\n".join(part for part in (title, text) if part)

    async def pictures(self) -> dict[int, bytes]:
        """Width and ARGB bytes of each picture it offers."""
        return {width: bytes(data) for width, _, data in await self.get("IconPixmap")}

    async def activate(self) -> None:
        """What a left click does."""
        await self._call(ITEM, self.path, "Activate", "ii", [0, 0])

    async def menu(self) -> list[MenuRow]:
        """The rows of the menu, after telling the item that it is about to be shown, as panels do."""
        path = await self.get("Menu")
        await self._call(MENU, path, "AboutToShow", "i", [0])
        reply = await self._call(MENU, path, "GetLayout", "iias", [0, -1, []])
        return _row(reply[1]).children

    async def click(self, label: str, *, inside: str = "") -> None:
        """Choose the row whose label starts with `label`; `inside` a submenu."""
        rows = await self.menu()
        if inside:
            rows = next(row for row in rows if row.label.startswith(inside)).children
        row = next(row for row in rows if row.label.startswith(label))
        arguments = [row.id, "clicked", Variant("s", ""), 0]
        await self._call(MENU, await self.get("Menu"), "Event", "isvu", arguments)

    async def _get(self, interface: str, path: str, name: str) -> Any:
        reply = await self._call(PROPERTIES, path, "Get", "ss", [interface, name])
        return reply[0].value

    async def _call(self, interface: str, path: str, member: str, signature: str, body: list[Any]) -> list[Any]:
        return await _call(self._bus, self.service, path, interface, member, signature, body)


def _row(layout: Any) -> MenuRow:
    number, properties, children = layout
    values = {name: variant.value for name, variant in properties.items()}
    return MenuRow(
        id=number,
        label=str(values.get("label", "")).replace("__", "\0").replace("_", "").replace("\0", "_"),
        enabled=bool(values.get("enabled", True)),
        separator=values.get("type") == "separator",
        children=[_row(child.value) for child in children],
    )


async def _call(
    bus: MessageBus, service: str, path: str, interface: str, member: str, signature: str, body: list[Any]
) -> list[Any]:
    message = Message(
        destination=service, path=path, interface=interface, member=member, signature=signature, body=body
    )
    async with asyncio.timeout(REPLY_S):
        reply = await bus.call(message)
    assert reply is not None
    assert reply.message_type is not MessageType.ERROR, f"{interface}.{member}: {reply.error_name} {reply.body}"
    return list(reply.body)


class StatusNotifierHost:
    """The watcher's name, the list of items, and what a panel asks of them."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self.items: list[Item] = []

    async def start(self) -> None:
        """Take the name and serve it."""
        self._bus.add_message_handler(self._handle)
        for member in ("NameOwnerChanged", "NewStatus"):
            await _call(
                self._bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s",
                [f"type='signal',member='{member}'"],
            )  # fmt: skip
        reply = await self._bus.request_name(WATCHER)
        assert reply is RequestNameReply.PRIMARY_OWNER, reply
        await self._bus.send(Message.new_signal(WATCHER_PATH, WATCHER, "StatusNotifierHostRegistered"))

    async def item(self) -> Item:
        """The one item, as soon as it is there."""
        await eventually(lambda: self.items, what="an icon on the StatusNotifier host")
        assert len(self.items) == 1, [item.service for item in self.items]
        return self.items[0]

    async def no_item(self) -> None:
        """Wait until every item is gone."""
        await eventually(lambda: not self.items, what="no icon on the StatusNotifier host")

    def _handle(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, owner = message.body
            if not owner:
                self.items = [item for item in self.items if item.service != name]
            return None
        if message.message_type is MessageType.SIGNAL and message.member == "NewStatus":
            for item in self.items:
                if item.path == message.path:
                    item.announced = message.body[0]
            return None
        if message.message_type is not MessageType.METHOD_CALL or message.path != WATCHER_PATH:
            return None
        match message.interface, message.member:
            case _, "RegisterStatusNotifierItem":
                self._register(message)
                return Message.new_method_return(message)
            case _, "RegisterStatusNotifierHost":
                return Message.new_method_return(message)
            case "org.freedesktop.DBus.Properties", "Get":
                return Message.new_method_return(message, "v", [self._properties()[message.body[1]]])
            case "org.freedesktop.DBus.Properties", "GetAll":
                return Message.new_method_return(message, "a{sv}", [self._properties()])
        return None

    def _register(self, message: Message) -> None:
        """The argument is a bus name (as Qt says it) or the path of the sender's item (as libayatana does)."""
        named = str(message.body[0])
        sender = message.sender or ""
        service, path = (sender, named) if named.startswith("/") else (named, "/StatusNotifierItem")
        # Items say it again when a host registers.
        if not any((item.service, item.path) == (service, path) for item in self.items):
            self.items.append(Item(self._bus, service, path))

    def _properties(self) -> dict[str, Variant]:
        return {
            "RegisteredStatusNotifierItems": Variant("as", [item.service + item.path for item in self.items]),
            "IsStatusNotifierHostRegistered": Variant("b", True),
            "ProtocolVersion": Variant("i", 0),
        }


@asynccontextmanager
async def status_notifier_host(address: str) -> AsyncIterator[StatusNotifierHost]:
    """A host on the bus; on leaving, its connection is dropped."""
    bus = await MessageBus(bus_address=address).connect()
    try:
        host = StatusNotifierHost(bus)
        await host.start()
        yield host
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
