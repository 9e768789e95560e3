"""The tool behind NATS: a subscriber of nats-py that answers requests. Arguments: port, subject."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def main(port: int, subject: str) -> None:
    """Serve until the process is ended."""
    import nats

    connection = await nats.connect(f"nats://127.0.0.1:{port}")

    async def answer(message: Any) -> None:
        arguments = json.loads(message.data)
        await message.respond(json.dumps({"message": arguments["message"]}).encode())

    await connection.subscribe(subject, cb=answer)
    await connection.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
