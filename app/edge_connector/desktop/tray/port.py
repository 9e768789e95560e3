"""What the program asks of a tray, whatever draws it. It names no toolkit and decides nothing about words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge_connector.desktop.model import TrayView

OnAction = Callable[[str], None]
OnAvailable = Callable[[bool], None]


class TrayPort(Protocol):
    """One icon with a menu. All methods are called on the Qt loop's thread, and both callbacks arrive there.

    Attributes:
        on_action: gets the action of the menu row that was chosen (`desktop.model`), `open` for a click on the icon.
        on_available: gets True when a panel shows the icon and False when none does, once at `show` and at each change.
    """

    on_action: OnAction
    on_available: OnAvailable

    def show(self) -> None:
        """Appear in the panel, at once or as soon as there is one."""
        ...

    def set_view(self, view: TrayView) -> None:
        """Show this icon, tooltip and menu. An equal view costs nothing."""
        ...

    def notify(self, title: str, text: str) -> None:
        """Tell a person something, where the panel can; silent without one."""
        ...

    def stop(self) -> None:
        """Leave the panel and end everything that was started; idempotent, and nothing can be shown after it."""
        ...


def ignore_action(action: str) -> None:
    """The callback until somebody listens."""


def ignore_available(available: bool) -> None:
    """The callback until somebody listens."""
