"""A real connector and a real platform in this process, with a misbehaving proxy between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge_connector.cli.drill.proxy import FaultProxy
from edge_connector.core.status import LinkPhase, RuntimeStatus, State
from edge_connector.platform_api import models as api
from edge_connector.runtime.app import ConnectorRuntime
from tests.support.real_connector import environment, running_connector
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.waiting import eventually


@dataclass
class Trio:
    """The three, and the deployment that the connector serves."""

    platform: RunningPlatform
    proxy: FaultProxy
    runtime: ConnectorRuntime
    deployment: api.NewDeployment

    @property
    def status(self) -> RuntimeStatus:
        """The connector's status now."""
        return self.runtime.board.snapshot()

    @property
    def problems(self) -> dict[str, str]:
        """Code and sentence of the connector's problems."""
        return {problem.code: problem.sentence for problem in self.status.problems}

    async def call(self, tool: str, arguments: Any = None, **options: Any) -> api.Call:
        """Call a tool of this connector."""
        return await self.platform.call(tool, arguments, deployment=self.deployment.id, **options)

    async def until_down(self, *, attempt: int = 1) -> RuntimeStatus:
        """Wait until the link waits for its next attempt; returns the status of that moment."""
        phases = (LinkPhase.WAITING, LinkPhase.REFUSED)

        def probe() -> RuntimeStatus | None:
            status = self.status
            return status if status.link.phase in phases and status.link.attempt >= attempt else None

        found: RuntimeStatus | None = await eventually(probe, what="the link to be down")
        assert found is not None
        return found

    async def again(self) -> None:
        """Let it dial now instead of waiting, until a call proved that it works."""
        proven_at = self.status.proven.at
        self.runtime.redial("test")
        await eventually(
            lambda: self.status.state is State.WORKING and self.status.proven.at != proven_at,
            what="it to work again, with a new proof",
        )
        assert self.problems == {}


@asynccontextmanager
async def behind_proxy(tmp_path: Path, *, heartbeat_s: float = 30.0, tools: str = "") -> AsyncIterator[Trio]:
    """All three, once the connector works; nothing is left at the end."""
    async with running_platform(tmp_path / "platform", heartbeat_s=heartbeat_s) as platform:
        edge = await platform.deploy()
        address = urlsplit(platform.rpc_url)
        proxy = FaultProxy(address.hostname or "", address.port or 0)
        await proxy.start()
        try:
            given = environment(f"ws://127.0.0.1:{proxy.port}", edge.id, edge.secret)
            async with running_connector(tmp_path / "connector", given, tools=tools) as runtime:
                yield Trio(platform, proxy, runtime, edge)
                proxy.lift()
        finally:
            await proxy.stop()
            await asyncio.sleep(0)
