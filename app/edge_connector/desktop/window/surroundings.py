"""What every page of the window is given: words, the source, tasks, the clock; and what a page is.

It shows nothing itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QLabel, QWidget

from edge_connector.config.paths import InstallationPaths
from edge_connector.core.clock import Clock
from edge_connector.core.errors import EdgeError
from edge_connector.core.tasks import TaskOwner
from edge_connector.core.words import word
from edge_connector.desktop.model import ViewModel
from edge_connector.desktop.preferences import PreferenceStore
from edge_connector.desktop.source import StatusSource

log = logging.getLogger(__name__)


@dataclass
class Surroundings:
    """What pages share.

    Attributes:
        language: `en` or `de`; pages are told to translate themselves again when it changes.
        set_language: changes it everywhere at once.
        notice: shows one sentence on top of every page until it is closed or replaced.
    """

    source: StatusSource
    directory: Path
    preferences: PreferenceStore
    tasks: TaskOwner
    clock: Clock
    language: str
    set_language: Callable[[str], None] = lambda language: None
    notice: Callable[[str], None] = lambda text: None

    def word(self, key: str, **values: str) -> str:
        """The catalogue's words in the language of the window."""
        return word(key, self.language, **values)

    def error_text(self, error: EdgeError) -> str:
        """What an error says, with its next step."""
        return self.word("window.error", message=error.message, hint=error.hint).strip()

    def start(self, work: Callable[..., Awaitable[Any]], *arguments: Any, name: str) -> None:
        """Run what a click asked for beside the window; what goes wrong is shown on top of it."""
        self.tasks.spawn(self._tell_failure(work, arguments), name=name)

    async def _tell_failure(self, work: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        try:
            await work(*arguments)
        except EdgeError as error:
            self.notice(self.error_text(error))

    @property
    def log_file(self) -> Path:
        """Where the connector writes its log."""
        return InstallationPaths(self.directory).log_file

    def open_logs(self) -> None:
        """Open the folder of the logs in the file manager."""
        folder = str(self.log_file.parent)
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(folder)):
            self.notice(self.word("diagnostics.no_folder", path=folder))

    def copy(self, text: str) -> None:
        """Put text on the clipboard."""
        QGuiApplication.clipboard().setText(text)


class Page(QWidget):
    """One page of the window. `key` is its name in the preferences and the catalogue (`window.<key>`)."""

    key = ""

    def __init__(self, around: Surroundings) -> None:
        super().__init__()
        self.around = around
        self.setObjectName(f"page.{self.key}")

    def translate(self) -> None:
        """Say everything in the language of the moment."""

    def show_view(self, view: ViewModel, document: dict[str, Any]) -> None:
        """Show a status; called at each change and, for the page that is seen, each second."""

    def entered(self) -> None:
        """The page became the one that is seen, or the window was shown again."""

    def left(self) -> None:
        """The page is not seen any more."""


def heading() -> QLabel:
    """A label for the head of a section."""
    label = QLabel()
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label
