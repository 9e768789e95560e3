"""A browser for tests: BROWSER names a program that notes the address it is to open, and opens nothing."""

from __future__ import annotations

from pathlib import Path


class NotingBrowser:
    """What BROWSER names."""

    def __init__(self, folder: Path) -> None:
        self._visits = folder / "visits"
        self.program = folder / "browser"
        self.program.write_text(f'#!/bin/sh\necho "$1" >> {self._visits}\n')
        self.program.chmod(0o755)

    @property
    def visits(self) -> list[str]:
        """Every address that was to be opened."""
        return self._visits.read_text().split() if self._visits.exists() else []
