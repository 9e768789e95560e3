"""A real platform for tests: `async with running_platform(tmp_path) as platform`, on free ports, set up, with clients.

async with running_platform(tmp_path) as platform:
    deployment = await platform.deploy("edge")
    ...                                   # run a connector with deployment.id, deployment.secret, platform.rpc_url
    reply = await platform.call("echo", {"text": "hi"})
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from tests.support.waiting import eventually


@dataclass
class RunningPlatform:
    """A started and set-up platform."""

    server: PlatformServer
    config: PlatformConfig
    organization_id: str
    user_id: str
    server_token: str
    session_token: str
    clients: list[PlatformClient] = field(default_factory=list)

    @property
    def api_url(self) -> str:
        return self.server.api_url

    @property
    def rpc_url(self) -> str:
        return self.server.rpc_url

    @property
    def client(self) -> PlatformClient:
        """A client with the server token; closed with the platform."""
        return self.client_with(self.server_token)

    def client_with(self, token: str | None) -> PlatformClient:
        """A client with another token (or a whole `Deployment <id>:<secret>` value); closed with the platform."""
        for known in self.clients:
            if getattr(known, "test_token", ...) == token and known.base_url == self.api_url:
                return known

        async def provide() -> str | None:
            return token

        client = PlatformClient(self.api_url, provide, timeout_s=30.0)
        client.test_token = token  # type: ignore[attr-defined]
        self.clients.append(client)
        return client

    async def deploy(self, name: str = "edge", *, kind: api.ClientType = "SERVER") -> api.NewDeployment:
        """A new deployment with its secret."""
        return await self.client.call(ops.CREATE_DEPLOYMENT, api.DeploymentRequest(name=name, type=kind))

    async def deployment(self, id_or_name: str) -> api.Deployment:
        """A deployment as the API shows it."""
        return await self.client.call(ops.GET_DEPLOYMENT, path={"id": id_or_name})

    async def until_online(self, id_or_name: str) -> api.Deployment:
        """Wait until the deployment's connector has registered its tools."""

        async def probe() -> api.Deployment | None:
            found = await self.deployment(id_or_name)
            tools = await self.client.call(ops.LIST_TOOLS, query=api.ToolQuery(deployment=id_or_name))
            return found if found.active_connectors and tools.tools else None

        found: api.Deployment | None = await eventually(probe, what=f"deployment {id_or_name} is online")
        assert found is not None
        return found

    async def tool_names(self) -> list[str]:
        """Names of all tools that can be called now."""
        return [tool.name for tool in (await self.client.call(ops.LIST_TOOLS)).tools]

    async def call(
        self,
        tool: str,
        arguments: Any = None,
        *,
        deployment: str = "",
        timeout_ms: int = 0,
        wait: bool = True,
        key: str = "",
        client: PlatformClient | None = None,
    ) -> api.Call:
        """Call a tool over HTTP."""
        request = api.CallRequest(
            tool=tool,
            arguments=msgspec.Raw(msgspec.json.encode({} if arguments is None else arguments)),
            deployment=deployment,
            timeout_ms=timeout_ms,
            wait=wait,
        )
        return await (client or self.client).call(ops.CREATE_CALL, request, idempotency_key=key)

    async def restart(self) -> None:
        """Stop and start again on the same data and the same ports."""
        api_port, rpc_port = (int(url.rpartition(":")[2]) for url in (self.api_url, self.rpc_url))
        await self.server.stop()
        self.config = PlatformConfig(
            data=self.config.data, api_port=api_port, rpc_port=rpc_port, drain_s=self.config.drain_s
        )
        self.server = PlatformServer(self.config)
        await self.server.start()

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        await self.server.stop()


@asynccontextmanager
async def running_platform(
    tmp_path: Path,
    *,
    drain_s: float = 1.0,
    data: str = "platform-data",
    heartbeat_s: float = 30.0,
    password: str = "",
) -> AsyncIterator[RunningPlatform]:
    """Start a platform on free ports under `tmp_path`, set it up, and stop it in the end.

    Args:
        password: of the admin; without one she cannot sign in to pages.
    """
    config = PlatformConfig(data=tmp_path / data, api_port=0, rpc_port=0, drain_s=drain_s, heartbeat_s=heartbeat_s)
    server = PlatformServer(config)
    await server.start()
    try:
        async with PlatformClient(server.api_url) as client:
            made = await client.call(
                ops.SETUP,
                api.SetupRequest(
                    code=server.setup_code or "",
                    organization="Test organization",
                    name="Ada",
                    email="ada@example.test",
                    password=password,
                ),
            )
    except BaseException:
        await server.stop()
        raise
    platform = RunningPlatform(
        server=server,
        config=config,
        organization_id=made.organization_id,
        user_id=made.user_id,
        server_token=made.server_token,
        session_token=made.session_token,
    )
    try:
        yield platform
    finally:
        await platform.close()


def result_of(call: api.Call) -> Any:
    """The decoded result of a call that succeeded."""
    assert call.outcome == "succeeded", f"{call.outcome}: {call.error}"
    assert isinstance(call.result, msgspec.Raw)
    return msgspec.json.decode(call.result)
