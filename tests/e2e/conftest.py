"""One platform process for all end-to-end tests that do not stop it, and the folder of tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.access import Access, Served, access_to, set_up
from tests.e2e.tool_folder import write_tools
from tests.support.processes import PlatformProcess


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, _runtime_folder: Path) -> Iterator[Served]:
    """A platform process that lives as long as the suite."""
    platform = PlatformProcess(tmp_path_factory.mktemp("platform") / "data")

    async def start() -> Served:
        await platform.until_serving()
        return await set_up(platform)

    try:
        yield asyncio.run(start())
    except BaseException:
        platform.destroy()
        raise
    asyncio.run(platform.close())


@pytest.fixture
async def access(served: Served) -> AsyncIterator[Access]:
    """The shared platform, with a server token."""
    async with access_to(served) as opened:
        yield opened


@pytest.fixture(scope="session")
def tool_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tools of `tool_folder.py` as files."""
    return write_tools(tmp_path_factory.mktemp("tools"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation directory that is not there yet."""
    return tmp_path / "home"
