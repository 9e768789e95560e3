"""A caller's session on the `websockets` library, for measurements that keep a steady rate instead of a full load."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

MESSAGE = "x" * 256


class CallerConnection:
    """One WebSocket session of role caller that carries all calls of a run."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._number = 0
        self._unsent: list[Any] = []

    async def open(self) -> None:
        """Connect and shake hands."""
        from msgspec import Raw
        from websockets.asyncio.client import connect

        from edge_connector.wire import messages as m
        from edge_connector.wire.session import CallerSession

        self._m = m
        self._socket = await connect(
            self._url, compression=None, ping_interval=None, subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {self._token}"},
        )  # fmt: skip
        self._session = CallerSession(m.Hello(versions=[1], role=m.Role.CALLER), now=time.monotonic())
        await self._flush()
        self._session.receive(await self._socket.recv(decode=False), now=time.monotonic())
        self._arguments = Raw(json.dumps({"message": MESSAGE}).encode())
        self._reader = asyncio.create_task(self._read())

    async def _flush(self) -> None:
        for frame in self._session.frames_to_send():
            await self._socket.send(frame, text=True)

    async def _read(self) -> None:
        while True:
            frame = await self._socket.recv(decode=False)
            for message in self._session.receive(frame, now=time.monotonic()):
                if isinstance(message, self._m.Result):
                    self._waiting.pop(message.id).set_result(None)

    async def call(self) -> None:
        """One call and its result."""
        self._number += 1
        call_id = str(self._number)
        self._waiting[call_id] = future = asyncio.get_running_loop().create_future()
        first = not self._session.has_output
        self._session.send(self._m.Call(id=call_id, tool="echo", arguments=self._arguments))
        if first:
            await asyncio.sleep(0)
            await self._flush()
        await future

    async def close(self) -> None:
        """Hang up."""
        self._reader.cancel()
        await self._socket.close()
