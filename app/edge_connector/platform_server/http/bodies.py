"""Request bodies of the slow operations: read whole, within a bound."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from edge_connector.platform_server.refusals import Refused, invalid_request

MAX_BODY_BYTES = 1024 * 1024
BODY_S = 60.0


async def read_body(request: Request) -> bytes:
    """The body.

    Raises:
        Refused: larger than `MAX_BODY_BYTES`, slower than `BODY_S`, or the client went away.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise Refused(413, "body_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    except TimeoutError as error:
        raise Refused(408, "body_too_slow", f"The body did not arrive within {BODY_S:.0f} s.") from error
    except ClientDisconnect as error:
        raise invalid_request("the body ended early") from error
    return b"".join(parts)
