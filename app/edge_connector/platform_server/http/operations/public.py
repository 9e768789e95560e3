"""Operations that need no credentials, and the platform's metrics."""

from __future__ import annotations

import asyncio
from typing import Any

from edge_connector.core.metrics import exposition
from edge_connector.platform_api import models as api
from edge_connector.platform_api.openapi import openapi_document
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.metrics import collect
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import Refused, too_many_attempts


class PublicOperations:
    """Health, metrics, keys, the API's description and the first set-up."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._openapi = openapi_document(parts.api_url)

    async def livez(self, request: ApiRequest) -> api.Health:
        return api.Health()

    async def healthz(self, request: ApiRequest) -> api.Health:
        if self._parts.router.is_stopping:
            raise Refused(503, "platform_stopping", "The platform is stopping.")
        return api.Health()

    async def metrics(self, request: ApiRequest) -> bytes:
        # In a thread: the first answer loads the library.
        return await asyncio.to_thread(exposition, collect(self._parts))

    async def openapi(self, request: ApiRequest) -> dict[str, Any]:
        return self._openapi

    async def jwks(self, request: ApiRequest) -> api.Jwks:
        return self._parts.key.jwks()

    async def setup(self, request: ApiRequest) -> api.SetupReply:
        try:
            return await self._parts.first_start.set_up(request.body, address=request.address)
        except Refused as error:
            if error.status == 403 and not self._parts.identity.count_failure(request.address):
                raise too_many_attempts() from error
            raise
