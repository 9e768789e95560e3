"""The tool behind `ssh -R`: a plain ASGI application on uvicorn. Argument: port."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn

JSON = (b"content-type", b"application/json")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer every POST with the message of its arguments."""
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            break
    answer = json.dumps({"message": json.loads(body)["arguments"]["message"]}).encode()
    headers = [JSON, (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        application, port=int(sys.argv[1]), http="httptools", loop="uvloop", lifespan="off", log_level="error",
        access_log=False, proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=75,
    )  # fmt: skip
