"""`PUT /api/v1/calls/{id}/result`: who may bring a result, and of which call."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from edge_connector.platform_api import models as api
from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.refusals import Refused, forbidden, invalid_request, not_found
from edge_connector.platform_server.results.store import ResultStore
from edge_connector.platform_server.tool_rpc.calls import CallRouter

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ResultUpload:
    """Takes results of open calls from the deployments that run them."""

    def __init__(self, router: CallRouter, store: ResultStore, max_result_bytes: int) -> None:
        self._router = router
        self._store = store
        self._max_result_bytes = max_result_bytes

    async def take(self, caller: Principal, call_id: str, sha256: str, request: Request) -> api.StoredResult:
        """Store the request's body as the result of `call_id`.

        Raises:
            Refused: not a deployment, not its call, too large, or not what was announced.
        """
        if caller.kind != "deployment":
            raise forbidden("Only a deployment's credentials bring results.")
        if not self._router.expects(caller.id, call_id):
            raise not_found("call", call_id)
        if not _SHA256.fullmatch(sha256):
            raise invalid_request("query parameter: sha256 has 64 hexadecimal digits in lower case")
        length = request.headers.get("content-length", "")
        if not length.isascii() or not length.isdecimal() or int(length) == 0:
            raise Refused(
                411, "length_required", "The request has no Content-Length.", hint="Say how long the body is."
            )
        size = int(length)
        if size > self._max_result_bytes:
            text = f"The result has {size} bytes, the platform takes {self._max_result_bytes}."
            raise Refused(413, "result_too_large", text, hint="Let the tool return less.")
        await self._store.keep(caller.id, call_id, _chunks(request), size=size, sha256=sha256)
        return api.StoredResult(size=size, sha256=sha256)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise invalid_request("the body ended early") from error
