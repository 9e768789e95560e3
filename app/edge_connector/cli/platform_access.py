"""How commands reach the platform: its typed client with a server token, or with the saved token of the person."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_connector.auth.credentials import ApiToken, TokenCredentials, find_api_access
from edge_connector.auth.refresh import renewed
from edge_connector.auth.session import sign_in_client
from edge_connector.auth.vault import Vault
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.clock import SystemClock
from edge_connector.core.errors import NeedsLogin, NotConnected
from edge_connector.net.tls import client_context
from edge_connector.platform_api.client import PlatformClient

log = logging.getLogger(__name__)


async def _access(loaded: LoadedConfig) -> ApiToken | TokenCredentials:
    """The API token, else the saved one, exchanged for a new one where its time is nearly over or over."""
    if loaded.settings.api_token is None:
        clock, vault = SystemClock(), Vault(loaded, may_ask=True)
        try:
            await renewed(loaded, lambda: sign_in_client(loaded, timeout_s=10.0), clock=clock, vault=vault)
        except (NotConnected, NeedsLogin) as error:
            log.info("token not renewed code=%s", error.code)  # what is left of it is looked at next
    return await asyncio.to_thread(find_api_access, loaded, now=time.time())


@asynccontextmanager
async def platform_client(loaded: LoadedConfig, *, timeout_s: float = 30.0) -> AsyncIterator[PlatformClient]:
    """A client that presents `EC_API_TOKEN`, else the saved token.

    Raises:
        NeedsLogin: there is neither.
        UserError: the address or the CA file cannot be used.
    """
    settings = loaded.settings
    token = (await _access(loaded)).token
    context = None
    if settings.platform_api_url.startswith("https:"):
        context = await asyncio.to_thread(client_context, settings.ca_file)

    async def provide() -> str:
        return token

    async with PlatformClient(settings.platform_api_url, provide, ssl=context, timeout_s=timeout_s) as client:
        yield client
