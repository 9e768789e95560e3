"""The status window: the rail of pages, the state line on top, and the clock that lets ages move while it is seen.

It decides nothing: it computes the view of the last status document and hands it to its pages.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QEvent, QSize, Qt, QTimer
from PySide6.QtGui import (
    QCloseEvent,
    QGuiApplication,
    QHideEvent,
    QKeySequence,
    QPaintEvent,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from edge_connector.core.status import State
from edge_connector.desktop.icon_store import MARKS_PX
from edge_connector.desktop.icons import Ground
from edge_connector.desktop.model import view_of
from edge_connector.desktop.pixels import pixmap
from edge_connector.desktop.window.colours import is_dark, paint_text, state_colour
from edge_connector.desktop.window.surroundings import Page, Surroundings

if TYPE_CHECKING:
    from edge_connector.desktop.window.diagnostics import DiagnosticsPage
    from edge_connector.desktop.window.overview import OverviewPage
    from edge_connector.desktop.window.settings import SettingsPage
    from edge_connector.desktop.window.tools import ToolsPage

PAGES = ("overview", "tools", "settings", "diagnostics")
"""Their keys, in the order of the rail; each is an attribute of the window, made when it is wanted first."""
MINIMUM = QSize(760, 520)
TICK_MS = 1000
LARGE = 1.7
"""The state line on the page Overview, against the others."""


P = TypeVar("P", bound=Page)


class MainWindow(QMainWindow):
    """The window.

    Attributes:
        on_close: called when a person closes the window; it decides whether that hides or quits.
        on_start_again: called by the button that starts a stopped connector.
        painted: set when it is painted for the first time.
    """

    def __init__(self, around: Surroundings) -> None:
        super().__init__()
        self._around = around
        self.on_close: Callable[[], None] = lambda: None
        self.on_start_again: Callable[[], None] = lambda: None
        self._document: dict[str, Any] = {}
        self._taken_at = around.clock.wall()
        self._retired = False
        self.painted = asyncio.Event()
        self._mark_shown: tuple[State, bool, int, float] | None = None
        around.set_language = self.set_language
        around.notice = self.show_notice

        self._made: list[Page] = []
        self.rail = QListWidget()
        self.rail.setObjectName("rail")
        self.rail.setFrameShape(QFrame.Shape.NoFrame)
        self.rail.setViewportMargins(8, 8, 8, 8)
        self.rail.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.rail.currentRowChanged.connect(self._page_changed)
        self.stack = QStackedWidget()
        self.rail.addItems([""] * len(PAGES))
        self._build()
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self._refresh)
        for number in range(len(PAGES)):
            QShortcut(QKeySequence(f"Ctrl+{number + 1}"), self, lambda row=number: self.rail.setCurrentRow(row))
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)

        self.setMinimumSize(MINIMUM)
        self.resize(*self._remembered_size())
        self.translate()
        remembered = around.preferences.value.page
        self.rail.setCurrentRow(PAGES.index(remembered) if remembered in PAGES else 0)

    def _build(self) -> None:
        self._mark, self._line = QLabel(), QLabel()
        self._line.setObjectName("state.line")
        self._line.setTextFormat(Qt.TextFormat.PlainText)
        self._line.setWordWrap(True)
        self.start_again = QPushButton()
        self.start_again.clicked.connect(lambda: self.on_start_again())
        top = QHBoxLayout()
        top.setContentsMargins(16, 10, 16, 10)
        top.addWidget(self._mark)
        top.addSpacing(8)
        top.addWidget(self._line, 1)
        top.addWidget(self.start_again)
        self._notice = QLabel()
        self._notice.setWordWrap(True)
        self._notice.setTextFormat(Qt.TextFormat.PlainText)
        self._notice.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._notice_close = QPushButton("✕")
        self._notice_close.setFlat(True)
        self._notice_close.setFixedWidth(32)
        self._notice_close.clicked.connect(lambda: self.show_notice(""))
        self._notice_bar = QFrame()
        self._notice_bar.setFrameShape(QFrame.Shape.StyledPanel)
        notice = QHBoxLayout(self._notice_bar)
        notice.setContentsMargins(12, 4, 4, 4)
        notice.addWidget(self._notice, 1)
        notice.addWidget(self._notice_close)
        self._notice_bar.hide()

        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFrameShadow(QFrame.Shadow.Sunken)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top)
        column.addWidget(line)
        column.addWidget(self._notice_bar)
        column.addWidget(self.stack, 1)
        central = QWidget()
        row = QHBoxLayout(central)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addWidget(right, 1)
        self.setCentralWidget(central)

    # ---- pages

    @cached_property
    def overview(self) -> OverviewPage:
        """The page Overview."""
        from edge_connector.desktop.window.overview import OverviewPage

        return self._add(OverviewPage(self._around))

    @cached_property
    def tools(self) -> ToolsPage:
        """The page Tools."""
        from edge_connector.desktop.window.tools import ToolsPage

        return self._add(ToolsPage(self._around))

    @cached_property
    def settings(self) -> SettingsPage:
        """The page Settings."""
        from edge_connector.desktop.window.settings import SettingsPage

        return self._add(SettingsPage(self._around))

    @cached_property
    def diagnostics(self) -> DiagnosticsPage:
        """The page Diagnostics."""
        from edge_connector.desktop.window.diagnostics import DiagnosticsPage

        return self._add(DiagnosticsPage(self._around))

    def _add(self, page: P) -> P:
        self._made.append(page)
        self.stack.addWidget(page)
        page.setAccessibleName(self._around.word(f"window.{page.key}"))
        page.translate()
        return page

    async def _make_pages(self) -> None:
        """Make the other pages, one a turn, so that turning to them takes no longer than a frame."""
        await self.painted.wait()
        for key in PAGES:
            if self._retired or not self.isVisible():
                return
            # On this thread, since it makes classes of Qt's; a turn for the module, another for the page.
            importlib.import_module(f"{__package__}.{key}")
            await asyncio.sleep(0)
            getattr(self, key)
            await asyncio.sleep(0)

    @property
    def page(self) -> Page:
        """The page that is open."""
        page: Page = getattr(self, PAGES[max(self.rail.currentRow(), 0)])
        return page

    # ---- what it is told

    def show_document(self, document: dict[str, Any], *, taken_at: float | None = None) -> None:
        """Show a status document, received now or at `taken_at` (wall clock); while hidden it is only kept."""
        self._document = document
        self._taken_at = self._around.clock.wall() if taken_at is None else taken_at
        self._refresh()

    def show_notice(self, text: str) -> None:
        """Show one sentence on top of every page until it is closed or replaced; empty takes it away."""
        self._notice.setText(text)
        self._notice_bar.setVisible(bool(text))

    def set_language(self, language: str) -> None:
        """Say everything in another language, at once and from now on."""
        self._around.language = language
        self.remember(language=language)
        self.translate()
        self._refresh()

    def translate(self) -> None:
        """Say everything in the language of the moment."""
        word = self._around.word
        self.setWindowTitle(word("window.title"))
        self.rail.setAccessibleName(word("window.pages"))
        for number, key in enumerate(PAGES):
            item = self.rail.item(number)
            item.setText(word(f"window.{key}"))
            item.setToolTip(f"Ctrl+{number + 1}")
        for page in self._made:
            page.setAccessibleName(word(f"window.{page.key}"))
            page.translate()
        self._fit_rail()
        self.start_again.setText(word("window.start_again"))

    def show_raised(self) -> None:
        """Be in front of the person, from wherever it was: hidden, minimized or behind others."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def show_page(self, key: str) -> None:
        """Turn to a page."""
        self.rail.setCurrentRow(PAGES.index(key))

    def remember(self, **changes: Any) -> None:
        """Keep a preference; the disk is written beside the window."""
        if self._around.preferences.change(**changes):
            self._around.start(asyncio.to_thread, self._around.preferences.save, name="preferences")

    def retire(self) -> None:
        """Go for good; its tasks have ended, and whoever calls this saves the preferences."""
        self._retired = True
        self.hide()
        self.deleteLater()

    def _remember_size(self) -> None:
        """Keep the size of the moment, unless it is the screen's."""
        if not self.isMaximized() and not self.isFullScreen():
            self._around.preferences.change(width=self.width(), height=self.height())

    # ---- what happens to it

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._tick.start()
        self._refresh()
        self.page.entered()
        if len(self._made) < len(PAGES):
            self._around.start(self._make_pages, name="pages")

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.painted.set()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._tick.stop()
        self.page.left()
        self._remember_size()
        if not self._retired:
            self.remember()

    def closeEvent(self, event: QCloseEvent) -> None:
        # Accepted, so that the end of a session is not held up; it is hidden and not destroyed.
        event.accept()
        if event.spontaneous() or self.isVisible():
            self.on_close()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.ThemeChange, QEvent.Type.FontChange):
            QTimer.singleShot(0, self, self._palette_changed)

    def _palette_changed(self) -> None:
        self._mark_shown = None
        self._fit_rail()
        # Coloured words were painted for the other ground.
        self._refresh()
        for page in self._made:
            page.translate()

    def _page_changed(self, row: int) -> None:
        before = self.stack.currentWidget()
        self.stack.setCurrentWidget(self.page)
        if self.isVisible():
            if isinstance(before, Page) and before is not self.page:
                before.left()
            self._refresh()
            self.page.entered()
        self.remember(page=self.page.key)

    def _refresh(self) -> None:
        """Compute the view of this moment and show it, while there is anybody to see it."""
        if not self.isVisible() or self.isMinimized():
            return
        now = self._around.clock.wall()
        hosted = self._around.source.is_hosted
        view = view_of(self._document, self._around.language, now, taken_at=self._taken_at, hosted=hosted)
        self._line.setText(view.line)
        paint_text(self._line, state_colour(view.state, self.palette()))
        self.start_again.setVisible(view.state is State.STOPPED)
        self._show_mark(view.state)
        self.page.show_view(view, self._document)

    def _show_mark(self, state: State) -> None:
        ratio = self.devicePixelRatioF()
        points = MARKS_PX[self.page.key == "overview"]
        shown = (state, is_dark(self.palette()), points, ratio)
        if shown == self._mark_shown:
            return
        self._mark_shown = shown
        ground = Ground.WINDOW_DARK if shown[1] else Ground.WINDOW_LIGHT
        picture = pixmap(state, round(points * ratio), ground)
        picture.setDevicePixelRatio(ratio)
        self._mark.setPixmap(picture)
        font = self.font()
        font.setBold(True)
        if self.page.key == "overview":
            font.setPointSizeF(font.pointSizeF() * LARGE)
        self._line.setFont(font)

    def _fit_rail(self) -> None:
        metrics = self.rail.fontMetrics()
        widest = max(metrics.horizontalAdvance(self.rail.item(row).text()) for row in range(self.rail.count()))
        for row in range(self.rail.count()):
            self.rail.item(row).setSizeHint(QSize(0, metrics.height() + 16))
        self.rail.setFixedWidth(widest + 48)

    def _remembered_size(self) -> tuple[int, int]:
        """What was remembered, no larger than the screen of today."""
        value, screen = self._around.preferences.value, QGuiApplication.primaryScreen().availableSize()
        width = max(min(value.width, screen.width()), MINIMUM.width())
        return width, max(min(value.height, screen.height()), MINIMUM.height())
