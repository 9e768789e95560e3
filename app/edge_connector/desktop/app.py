"""The desktop put together: source, tray, window and the end of all three. It knows no options and starts no loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QApplication

from edge_connector.auth.browser import open_page
from edge_connector.core.clock import SystemClock
from edge_connector.core.errors import EdgeError
from edge_connector.core.problem_words import problem_words
from edge_connector.core.status import State
from edge_connector.core.tasks import TaskOwner
from edge_connector.core.words import WORDS, word
from edge_connector.desktop.host import Closing
from edge_connector.desktop.icons import Ground
from edge_connector.desktop.model import RECENT_PREFIX, RECENT_SHOWN, view_of
from edge_connector.desktop.pixels import icon
from edge_connector.desktop.preferences import PreferenceStore
from edge_connector.desktop.single import SingleDesktop
from edge_connector.desktop.source import ChosenSource, bare_document
from edge_connector.desktop.tray.factory import make_tray
from edge_connector.desktop.window.surroundings import Surroundings

if TYPE_CHECKING:
    from edge_connector.desktop.window.main_window import MainWindow

log = logging.getLogger(__name__)

HOUR_S = 3600
PAINTED_WITHIN_S = 1.0
TRAY_GRACE_S = 10.0
"""A panel may start after the programs of a session; so long a hidden start waits for it before it shows itself."""
TRAY_AGES_S = 5.0
"""How often ages in the tooltip move on without news."""
RECENT_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Launch:
    """How the desktop was started.

    Attributes:
        hidden: no window at the start; the tray is the handle.
        environ: what the tray is chosen by.
    """

    directory: Path
    hidden: bool
    environ: Mapping[str, str]


class DesktopApp:
    """Tray and window over one source.

    return await DesktopApp(launch, source, application, single, closing).run()
    """

    def __init__(
        self, launch: Launch, source: ChosenSource, application: QApplication, single: SingleDesktop, closing: Closing
    ) -> None:
        self._launch = launch
        self._source = source
        self._application = application
        self._single = single
        self._closing = closing
        self._tasks = TaskOwner("desktop")
        self._clock = SystemClock()
        self._preferences = PreferenceStore(launch.directory)
        self._document: dict[str, Any] = bare_document(launch.directory, State.CONNECTING)
        self._taken_at = self._clock.wall()
        self._recent: list[dict[str, Any]] = []
        self._recent_wanted = asyncio.Event()
        self._calls_seen: Any = None
        self._tray_available = False
        self._needed = False
        self._window: MainWindow | None = None
        self._notice = ""
        self._around = Surroundings(
            source=source,
            directory=launch.directory,
            preferences=self._preferences,
            tasks=self._tasks,
            clock=self._clock,
            language=self._preferences.value.language or system_language(),
        )
        self._tray = make_tray(launch.environ)

    async def run(self) -> int:
        """Until somebody wants the end; the connector hosted here has drained by then. Returns the exit code."""
        self._show_front()
        # The icon and the window are painted before the connector's libraries are loaded, and stay alive while.
        await self._until_painted()
        self._single.serve(self._application, self._open)
        await asyncio.to_thread(importlib.import_module, "edge_connector.runtime.app")
        gc.freeze()  # what was loaded stays for good; the collector need not look at it again
        self._closing.on_hard = lambda: self._source.stop(hard=True)
        running = self._tasks.spawn(self._source.run(), name="source")
        closed = self._tasks.spawn(self._closing.wait(), name="closing")
        self._tasks.spawn(self._show_statuses(), name="status")
        self._tasks.spawn(self._move_ages(), name="ages")
        self._tasks.spawn(self._follow_recent(), name="recent")
        try:
            await asyncio.wait({running, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._source.stop(hard=self._closing.is_hard)
            await running
        finally:
            await self._tasks.close()
            self._end_front()
        return 130 if self._closing.is_hard else 0

    # ---- front

    async def _until_painted(self) -> None:
        await asyncio.sleep(0)
        if self._window is None:
            return
        with contextlib.suppress(TimeoutError):  # nobody paints a window that starts minimized
            async with asyncio.timeout(PAINTED_WITHIN_S):
                await self._window.painted.wait()
        # What was painted goes out at the end of this turn of Qt's loop.
        await asyncio.sleep(0)

    def _show_front(self) -> None:
        self._tray.on_action = self._act
        self._tray.on_available = self._on_tray_available
        self._show_tray()
        self._tray.show()
        self._around.notice = self._keep_notice
        if not self._launch.hidden:
            self._window_now().show()

    def _window_now(self) -> MainWindow:
        """The window, made when it is wanted for the first time: hidden at login, it costs nothing."""
        if self._window is None:
            from edge_connector.desktop.window.main_window import MainWindow

            self._application.setWindowIcon(icon(State.WORKING, Ground.TILE))
            window = self._window = MainWindow(self._around)
            window.on_close = self._on_window_closed
            window.on_start_again = self._source.start_again
            window.show_document(self._document, taken_at=self._taken_at)
            window.show_notice(self._notice)
        return self._window

    def _keep_notice(self, text: str) -> None:
        """Until there is a window to show it."""
        self._notice = text

    async def _show_without_tray(self) -> None:
        """Never live on without any visible handle."""
        await asyncio.sleep(TRAY_GRACE_S)
        if not self._tray_available and not self._is_window_shown:
            log.info("no tray: the window is the handle")
            self._window_now().showMinimized()

    @property
    def _is_window_shown(self) -> bool:
        return self._window is not None and self._window.isVisible()

    def _end_front(self) -> None:
        self._single.release()
        if not self._closing.display_gone:
            if self._window is not None:
                self._window.retire()
            self._tray.stop()
        self._preferences.save()

    def _open(self) -> None:
        self._window_now().show_raised()

    def _on_tray_available(self, available: bool) -> None:
        self._tray_available = available
        if not available and not self._is_window_shown:
            # None yet, or the panel died while the window was hidden in it.
            self._tasks.spawn(self._show_without_tray(), name="handle")

    def _on_window_closed(self) -> None:
        if not self._tray_available:
            self._closing.request("the window was closed and there is no tray")

    # ---- status

    async def _show_statuses(self) -> None:
        async for document in self._source.watch():
            if self._closing.display_gone:
                return
            self._document, self._taken_at = document, self._clock.wall()
            calls = (document.get("calls") or {}).get("received"), (document.get("activity") or {}).get("perMinute")
            if calls != self._calls_seen:
                self._calls_seen = calls
                self._recent_wanted.set()
            if self._window is not None:
                self._window.show_document(document)
            self._show_tray()
            self._tell_when_needed(document)

    async def _move_ages(self) -> None:
        while not self._closing.display_gone:
            if not 0 <= self._clock.wall() - self._taken_at < TRAY_AGES_S:  # else a document moved them on
                self._show_tray()
            await asyncio.sleep(TRAY_AGES_S)

    async def _follow_recent(self) -> None:
        while not self._closing.display_gone:
            await self._recent_wanted.wait()
            self._recent_wanted.clear()
            try:
                self._recent = await self._source.request("calls.recent", limit=RECENT_SHOWN)
            except EdgeError as error:
                log.debug("recent calls not to be had code=%s", error.code)
            self._show_tray()
            await asyncio.sleep(RECENT_EVERY_S)

    def _show_tray(self) -> None:
        if self._closing.display_gone:
            return
        view = view_of(
            self._document,
            self._around.language,
            self._clock.wall(),
            taken_at=self._taken_at,
            recent=self._recent,
            hosted=self._source.is_hosted,
        )
        self._tray.set_view(view.tray)

    # ---- menu

    def _act(self, action: str) -> None:
        """A row of the tray's menu was chosen."""
        match action:
            case "open":
                self._open()
            case "pause_1h":
                self._ask("pause", forS=HOUR_S)
            case "pause" | "resume":
                self._ask(action)
            case "sign_in":
                self._tasks.spawn(self._sign_in(), name="sign in")
            case "sign_out":
                self._ask("auth.sign_out")
            case "logs":
                self._around.open_logs()
            case "quit":
                self._closing.request("quit from the tray")
            case _ if action.startswith(RECENT_PREFIX):
                self._open_recent(action.removeprefix(RECENT_PREFIX))

    def _ask(self, method: str, **params: Any) -> None:
        self._tasks.spawn(self._ask_and_tell(method, params), name=method)

    async def _ask_and_tell(self, method: str, params: dict[str, Any]) -> None:
        try:
            await self._source.request(method, **params)
        except EdgeError as error:
            self._tray.notify(word("window.title", self._around.language), self._around.error_text(error))

    async def _sign_in(self) -> None:
        """Begin a sign-in, and open its page from here: the connector may run where there is no screen."""
        language = self._around.language
        try:
            begun = await self._source.request("auth.sign_in")
        except EdgeError as error:
            self._tray.notify(word("window.title", language), self._around.error_text(error))
            return
        address, code = str(begun["address"]), str(begun["userCode"])
        if not await asyncio.to_thread(open_page, address):
            text = word("sign_in.open_page", language, address=address, code=code)
            self._tray.notify(word("window.title", language), text)

    def _tell_when_needed(self, document: dict[str, Any]) -> None:
        """A person who sees no window hears once that the connector needs somebody, and why."""
        needs_you = document.get("state") == State.NEEDS_YOU
        if needs_you and not self._needed and not self._is_window_shown and (problems := document.get("problems")):
            language = self._around.language
            sentence, fix = problem_words(problems[0]["code"], problems[0]["sentence"], problems[0]["fix"], language)
            self._tray.notify(word("window.title", language), f"{sentence} {fix}")
        self._needed = needs_you

    def _open_recent(self, call_id: str) -> None:
        tool = next((str(call["tool"]) for call in self._recent if call["id"] == call_id), "")
        window = self._window_now()
        window.show_raised()
        window.show_page("tools")
        window.tools.show_tool(tool)

    def notice(self, key: str, **words: str) -> None:
        """Show a sentence of the catalogue on top of the window."""
        self._around.notice(self._around.word(key, **words))


def system_language() -> str:
    """The language of the session where the catalogue has it, else English."""
    language = QLocale.system().name().partition("_")[0]
    return language if language in WORDS else "en"
