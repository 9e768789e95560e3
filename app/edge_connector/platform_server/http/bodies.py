"""Request bodies of the slow operations: read whole, within a bound."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from edge_connector.platform_server.refusals import Refused, invalid_request

MAX_BODY_BYTES = 1024 * 1024


async def read_body(request: Request) -> bytes:
    """The body.

    Raises:
        Refused: larger than `MAX_BODY_BYTES`, or the client went away.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise Refused(413, "body_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    except ClientDisconnect as error:
        raise invalid_request("the body ended early") from error
    return b"".join(parts)
