"""A platform process as its users see it: set up once, then reached with a server token over HTTP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.client import PlatformClient
from tests.support.commands import clean_environment
from tests.support.connector_process import ConnectorProcess, running_connector
from tests.support.processes import PlatformProcess
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Served:
    """Where a set-up platform is and how to get in."""

    api_url: str
    rpc_url: str
    server_token: str


async def set_up(platform: PlatformProcess) -> Served:
    """Use the one-time code of a platform's first start."""
    async with PlatformClient(platform.api_url) as client:
        request = api.SetupRequest(
            code=platform.setup_code, organization="End to end", name="Ada", email="ada@example.test"
        )
        made = await client.call(ops.SETUP, request)
    return Served(platform.api_url, platform.rpc_url, made.server_token)


class Access:
    """What a person with a server token does."""

    def __init__(self, served: Served, client: PlatformClient) -> None:
        self.served = served
        self.client = client

    async def deploy(self, name: str) -> api.NewDeployment:
        """A new deployment; its name gets a random tail, because tests share the platform."""
        request = api.DeploymentRequest(name=f"{name} {os.urandom(3).hex()}")
        return await self.client.call(ops.CREATE_DEPLOYMENT, request)

    def environment(self, deployment: api.NewDeployment | None = None, **more: Any) -> dict[str, str]:
        """The variables of a connector that serves `deployment`."""
        pair = {} if deployment is None else {"DEPLOYMENT_ID": deployment.id, "DEPLOYMENT_SECRET": deployment.secret}
        return clean_environment(
            **{
                "TOOL_RPC_URL": self.served.rpc_url,
                "PLATFORM_API_URL": self.served.api_url,
                **pair,
                **more,
            }
        )

    @asynccontextmanager
    async def connector(self, directory: Path, *options: str, **more: Any) -> AsyncIterator[Fixed]:
        """A connector of a new deployment, once it works."""
        deployment = await self.deploy(directory.name)
        async with running_connector(directory, self.environment(deployment, **more), *options) as process:
            await process.until_state("working", "working_with_problems")
            yield Fixed(process, deployment, self)

    async def call(self, tool: str, arguments: Any = None, *, deployment: str, timeout_ms: int = 20_000) -> api.Call:
        """Call a tool and wait for its outcome."""
        return await self.client.call(ops.CREATE_CALL, _request(tool, arguments, deployment, timeout_ms, wait=True))

    async def begin(self, tool: str, arguments: Any = None, *, deployment: str, timeout_ms: int = 20_000) -> str:
        """Start a call; returns its id."""
        request = _request(tool, arguments, deployment, timeout_ms, wait=False)
        return (await self.client.call(ops.CREATE_CALL, request)).id

    async def cancel(self, call_id: str) -> None:
        """Ask for the end of a call."""
        await self.client.call(ops.CANCEL_CALL, path={"id": call_id})

    async def look(self, call_id: str) -> api.Call:
        """A call as it is now."""
        return await self.client.call(ops.GET_CALL, path={"id": call_id})

    async def ended(self, call_id: str, *, deadline_s: float = 20.0) -> api.Call:
        """The call once it has an outcome."""

        async def probe() -> api.Call | None:
            found = await self.look(call_id)
            return found if found.outcome is not None else None

        call: api.Call | None = await eventually(
            probe, what=f"an outcome of {call_id}", deadline_s=deadline_s, interval_s=0.03
        )
        assert call is not None
        return call

    async def deployment(self, id_: str) -> api.Deployment:
        """A deployment as the API shows it."""
        return await self.client.call(ops.GET_DEPLOYMENT, path={"id": id_})

    async def tool_names(self, deployment: str) -> list[str]:
        """Names of the tools that a deployment offers now."""
        found = await self.client.call(ops.LIST_TOOLS, query=api.ToolQuery(deployment=deployment))
        return [tool.name for tool in found.tools]


@dataclass(frozen=True)
class Fixed:
    """A connector that works, and its deployment."""

    process: ConnectorProcess
    deployment: api.NewDeployment
    access: Access

    async def call(self, tool: str, arguments: Any = None, *, timeout_ms: int = 20_000) -> api.Call:
        """Call one of its tools through the platform."""
        return await self.access.call(tool, arguments, deployment=self.deployment.id, timeout_ms=timeout_ms)

    async def begin(self, tool: str, arguments: Any = None, *, timeout_ms: int = 20_000) -> str:
        """Start a call of one of its tools; returns the call's id."""
        return await self.access.begin(tool, arguments, deployment=self.deployment.id, timeout_ms=timeout_ms)

    async def begin_hold(self, gate: Path, *, timeout_ms: int = 20_000, tool: str = "hold") -> str:
        """Start a call that runs until `gate` exists, and wait until it runs."""
        call_id = await self.begin(tool, {"path": str(gate)}, timeout_ms=timeout_ms)
        await eventually(lambda: gate.with_suffix(".started").exists(), what="the tool to run")
        return call_id


@asynccontextmanager
async def access_to(served: Served) -> AsyncIterator[Access]:
    """Use a platform for one test."""

    async def provide() -> str:
        return served.server_token

    async with PlatformClient(served.api_url, provide, timeout_s=30.0) as client:
        yield Access(served, client)
    # aiohttp closes its transports in the next turn of the loop.
    await asyncio.sleep(0)


@asynccontextmanager
async def own_platform(data: Path) -> AsyncIterator[PlatformProcess]:
    """A platform process for one test that stops or kills it."""
    platform = PlatformProcess(data)
    try:
        await platform.until_serving()
        yield platform
    finally:
        await platform.close()


def result_of(call: api.Call) -> Any:
    """The decoded result of a call that succeeded."""
    assert call.outcome == "succeeded", f"{call.outcome}: {call.error}"
    assert isinstance(call.result, msgspec.Raw)
    return msgspec.json.decode(call.result)


def _request(tool: str, arguments: Any, deployment: str, timeout_ms: int, *, wait: bool) -> api.CallRequest:
    encoded = msgspec.Raw(msgspec.json.encode({} if arguments is None else arguments))
    return api.CallRequest(tool=tool, arguments=encoded, deployment=deployment, timeout_ms=timeout_ms, wait=wait)
