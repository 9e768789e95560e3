"""A desktop of its own for every tray test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.displays import PrivateDesktop, private_desktop


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[PrivateDesktop]:
    """X server, window manager and session bus."""
    with private_desktop(tmp_path / "desktop") as running:
        yield running
