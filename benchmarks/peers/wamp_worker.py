"""The tool behind WAMP: a procedure registered at a crossbar router with autobahn. Arguments: port, procedure."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

REALM = "bench"


async def join(port: int) -> Any:
    """A session of the realm that is ready for calls."""
    from autobahn.asyncio.wamp import ApplicationSession
    from autobahn.asyncio.websocket import WampWebSocketClientFactory
    from autobahn.wamp.types import ComponentConfig

    loop = asyncio.get_running_loop()
    joined: asyncio.Future[Any] = loop.create_future()

    class Session(ApplicationSession):  # type: ignore[misc]
        async def onJoin(self, details: Any) -> None:
            joined.set_result(self)

    factory = WampWebSocketClientFactory(
        lambda: Session(ComponentConfig(realm=REALM)), url=f"ws://127.0.0.1:{port}/ws", loop=loop
    )
    factory.setProtocolOptions(openHandshakeTimeout=10, tcpNoDelay=True)
    await loop.create_connection(factory, "127.0.0.1", port)
    return await asyncio.wait_for(joined, 10)


async def main(port: int, procedure: str) -> None:
    """Serve until the process is ended."""
    session = await join(port)

    async def repeat_message(message: str) -> dict[str, str]:
        return {"message": message}

    await session.register(repeat_message, procedure)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
