"""Brings large results to the platform's HTTP API with the connector's own credentials."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from edge_connector.auth.credentials import DeploymentCredentials, find_credentials
from edge_connector.config.loading import LoadedConfig, OriginKind
from edge_connector.core.clock import Clock
from edge_connector.core.errors import NotConnected
from edge_connector.net.tls import client_context
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.models import UploadQuery
from edge_connector.platform_api.operations import UPLOAD_RESULT

UPLOAD_S = 300.0


class HttpCourier:
    """A `large_results.Courier` over HTTP."""

    def __init__(self, loaded: LoadedConfig, clock: Clock, context: ssl.SSLContext | None) -> None:
        self._loaded = loaded
        self._clock = clock
        self._client = PlatformClient(loaded.settings.platform_api_url, self._authorization, ssl=context)

    @classmethod
    async def make(cls, loaded: LoadedConfig, clock: Clock) -> HttpCourier:
        """A courier; nothing is sent yet.

        Raises:
            NotConnected: the credentials may not be sent to that address.
            UserError: the address or the CA file cannot be used.
        """
        settings = loaded.settings
        if doubt := doubt_about(loaded):
            raise NotConnected("no_api_url", doubt, hint="Set PLATFORM_API_URL to the platform's HTTP API.")
        context = None
        if settings.platform_api_url.startswith("https:"):
            context = await asyncio.to_thread(client_context, settings.ca_file)
        return cls(loaded, clock, context)

    async def bring(self, call_id: str, data: bytes, sha256: str) -> None:
        """As of `Courier`."""
        await self._client.call(
            UPLOAD_RESULT, content=data, path={"id": call_id}, query=UploadQuery(sha256=sha256), timeout_s=UPLOAD_S
        )

    async def close(self) -> None:
        """As of `Courier`."""
        await self._client.close()

    async def _authorization(self) -> str | None:
        credentials = await asyncio.to_thread(find_credentials, self._loaded, now=self._clock.wall())
        return credentials.authorization_header if isinstance(credentials, DeploymentCredentials) else None


def doubt_about(loaded: LoadedConfig) -> str:
    """Why the credentials are not sent to `PLATFORM_API_URL`; empty when they may be."""
    settings = loaded.settings
    rpc, api = urlsplit(settings.tool_rpc_url), urlsplit(settings.platform_api_url)
    if loaded.origins["platform_api_url"].kind is OriginKind.DEFAULT and api.hostname != rpc.hostname:
        return "PLATFORM_API_URL is not set, and its default is not where TOOL_RPC_URL leads."
    if rpc.scheme == "wss" and api.scheme != "https":
        return "PLATFORM_API_URL is not encrypted as TOOL_RPC_URL is."
    return ""
