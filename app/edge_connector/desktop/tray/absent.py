"""A tray that is not there: by wish, so that the window is the only handle."""

from __future__ import annotations

from edge_connector.desktop.model import TrayView
from edge_connector.desktop.tray.port import OnAction, OnAvailable, ignore_action, ignore_available


class NoTray:
    """Shows nothing and says so."""

    def __init__(self) -> None:
        self.on_action: OnAction = ignore_action
        self.on_available: OnAvailable = ignore_available

    def show(self) -> None:
        self.on_available(False)

    def set_view(self, view: TrayView) -> None:
        pass

    def notify(self, title: str, text: str) -> None:
        pass

    def stop(self) -> None:
        pass
