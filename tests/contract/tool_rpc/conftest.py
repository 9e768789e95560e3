"""Fixtures of the contract suite: each test gets a platform to play and a connector to judge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contract.tool_rpc.connectors import CONNECTORS, Connector, Running
from tests.support.scripted_platform import ScriptedPlatform

DEPLOYMENT = "dep_abc123"
SECRET = "sec_xyz789:with-colon"


@pytest.fixture(params=CONNECTORS, ids=lambda connector: connector.name)
def connector(request: pytest.FixtureRequest) -> Connector:
    """The connector under test."""
    found = request.param
    assert isinstance(found, Connector)
    return found


@pytest.fixture
async def platform() -> AsyncIterator[ScriptedPlatform]:
    """A platform that behaves well until the test tells it otherwise."""
    async with ScriptedPlatform() as platform:
        yield platform


@dataclass
class Bench:
    """Starts the connector under test against a platform."""

    connector: Connector
    folder: Path
    started: int = field(default=0)

    def start(self, platform: ScriptedPlatform) -> AbstractAsyncContextManager[Running]:
        """The connector, dialling `platform`, in a folder of its own."""
        self.started += 1
        folder = self.folder / f"connector-{self.started}"
        folder.mkdir()
        return self.connector.start(platform.url, DEPLOYMENT, SECRET, folder)


@pytest.fixture
def bench(connector: Connector, tmp_path: Path) -> Bench:
    """See `Bench`."""
    return Bench(connector, tmp_path)
