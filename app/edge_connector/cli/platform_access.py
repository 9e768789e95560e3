"""How commands reach the platform: its typed client with a server token, or with the saved token of the person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_connector.auth.credentials import find_api_access
from edge_connector.config.loading import LoadedConfig
from edge_connector.net.tls import client_context
from edge_connector.platform_api.client import PlatformClient


@asynccontextmanager
async def platform_client(loaded: LoadedConfig, *, timeout_s: float = 30.0) -> AsyncIterator[PlatformClient]:
    """A client that presents `EC_API_TOKEN`, else the saved token.

    Raises:
        NeedsLogin: there is neither.
        UserError: the address or the CA file cannot be used.
    """
    settings = loaded.settings
    token = find_api_access(loaded, now=time.time()).token
    context = None
    if settings.platform_api_url.startswith("https:"):
        context = await asyncio.to_thread(client_context, settings.ca_file)

    async def provide() -> str:
        return token

    async with PlatformClient(settings.platform_api_url, provide, ssl=context, timeout_s=timeout_s) as client:
        yield client
