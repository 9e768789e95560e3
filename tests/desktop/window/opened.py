"""The real window over a real runtime, offscreen, on the Qt loop; with a real platform where a test needs one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QPlainTextEdit, QWidget

from edge_connector.config.loading import load
from edge_connector.core.clock import SystemClock
from edge_connector.core.tasks import TaskOwner
from edge_connector.desktop.preferences import PreferenceStore
from edge_connector.desktop.source import HostedSource
from edge_connector.desktop.window.main_window import MainWindow
from edge_connector.desktop.window.surroundings import Surroundings
from edge_connector.desktop.window.tool_form import FieldRow
from edge_connector.runtime.app import ConnectorRuntime
from tests.support.real_connector import environment
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.waiting import eventually

NOWHERE = environment("ws://127.0.0.1:1", "dep_none", "a-secret-of-nobody", EC_SHUTDOWN_GRACE_S="1")

TOOLS = '''
from typing import Annotated, Literal
import msgspec
from edge_connector.tools import ToolError, tool


@tool(risk="write")
def order(
    customer: Annotated[str, msgspec.Meta(description="Who orders.")],
    count: int,
    unit: Literal["piece", "box"] = "piece",
    express: bool = False,
    weight: float | None = None,
    tags: list[str] = [],
    address: dict[str, str] = {},
) -> dict:
    """Order something."""
    return {
        "customer": customer, "count": count, "unit": unit, "express": express,
        "weight": weight, "tags": tags, "address": address,
    }


@tool(risk="read")
def refuses() -> str:
    """Fail with a code."""
    raise ToolError("drawer_locked", "The drawer is locked.")


@tool(risk="read")
def long_text(size: int) -> str:
    """Return much."""
    return "x" * size
'''


@dataclass
class Opened:
    """An open window and what stands behind it."""

    window: MainWindow
    around: Surroundings
    source: HostedSource
    home: Path
    platform: RunningPlatform | None
    deployment: str

    async def until(self, condition: Any, what: str) -> Any:
        """Wait for something on the screen."""
        return await eventually(condition, what=what)

    async def until_state(self, *states: str) -> None:
        """Wait until the window was told one of these states."""
        await eventually(
            lambda: self.window._document.get("state") in states,
            what=f"{states}, was {self.window._document.get('state')}: {self.window._document.get('problems')}",
        )

    async def until_ended(self) -> None:
        """Wait until the window was told that there is no connector any more, not only that it stops."""
        await self.until_state("stopped")
        await eventually(lambda: "process" not in self.window._document, what="the end of the connector")

    def shown_tool(self) -> str:
        """Name of the tool whose form is shown."""
        tool = self.window.tools.detail._tool
        return "" if tool is None else str(tool["name"])

    async def open_tool(self, name: str) -> None:
        """Turn to the page Tools and choose one."""
        self.window.show_page("tools")
        await eventually(lambda: self.window.tools._schemas, what="the schemas")
        self.window.tools.show_tool(name)
        await eventually(lambda: self.shown_tool() == name, what=f"the form of {name}")

    def row(self, field: str) -> FieldRow:
        """A row of the form that is shown."""
        form = self.window.tools.detail.form
        assert form is not None, "no form is shown"
        (found,) = [row for row in form.rows if row.field.name == field]
        return found

    def fill_in(self, **values: str) -> None:
        """Type into the form."""
        for name, text in values.items():
            widget = self.row(name).input
            match widget:
                case QLineEdit():
                    widget.setText(text)
                case QPlainTextEdit():
                    widget.setPlainText(text)
                case QComboBox():
                    widget.setCurrentIndex(widget.findText(text))
                case QCheckBox():
                    widget.setChecked(text == "yes")

    def texts(self, widget: QWidget | None = None) -> list[str]:
        """Every text that is visible now."""
        found = []
        for child in (widget or self.window).findChildren(QWidget):
            text = getattr(child, "text", None)
            if child.isVisible() and callable(text) and text():
                found.append(str(text()))
        return found


@asynccontextmanager
async def opened(home: Path, *, with_platform: bool = False, language: str = "en") -> AsyncIterator[Opened]:
    """The window, shown, and a runtime that has begun; both ended in order."""
    folder = home / "custom-implementations" / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "given.py").write_text(TOOLS)
    if not with_platform:
        async with _opened(home, NOWHERE, None, "", language) as window:
            yield window
        return
    async with running_platform(home.parent) as platform:
        deployment = await platform.deploy("window")
        variables = environment(platform.rpc_url, deployment.id, deployment.secret)
        async with _opened(home, variables, platform, deployment.id, language) as window:
            await window.until_state("working", "working_with_problems")
            yield window


@asynccontextmanager
async def _opened(
    home: Path, variables: dict[str, str], platform: RunningPlatform | None, deployment: str, language: str
) -> AsyncIterator[Opened]:
    source = HostedSource(lambda: ConnectorRuntime(load(home, variables)), home)
    tasks = TaskOwner("window")
    around = Surroundings(
        source=source,
        directory=home,
        preferences=PreferenceStore(home),
        tasks=tasks,
        clock=SystemClock(),
        language=language,
    )
    window = MainWindow(around)

    async def show() -> None:
        async for document in source.watch():
            window.show_document(document)

    running = asyncio.create_task(source.run())
    tasks.spawn(show(), name="show")
    window.show()
    try:
        await eventually(lambda: running.done() or window._document.get("tools"), what="tools")
        if running.done():
            await running
        yield Opened(window, around, source, home, platform, deployment)
    finally:
        source.stop(hard=True)
        await running
        await tasks.close()
        window.retire()
        await asyncio.sleep(0)
