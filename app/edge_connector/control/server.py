"""The command socket of a running connector: JSON lines for programs of the same user (docs/control.md).

It carries requests to the runtime and its status to whoever watches. Access is by file permission: the socket has mode
0600 and lies in a folder of mode 0700; where the kernel names the client's user, only this one and root are served.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edge_connector.control.address import prepare_folder
from edge_connector.control.patch import merge_patch
from edge_connector.control.peer import peer_of
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.files import explain_os_error
from edge_connector.core.tasks import TaskOwner

log = logging.getLogger(__name__)

VERSION = 1
MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_CLIENTS = 32


class ControlTarget(Protocol):
    """What the socket gives access to."""

    async def handle(self, method: str, params: dict[str, Any]) -> Any:
        """Answer one request with something JSON can carry.

        Raises:
            EdgeError: sent to the client as the request's error.
        """
        ...

    def watch_status(self) -> AsyncIterator[dict[str, Any]]:
        """The status document now and after each change."""
        ...


class ControlServer:
    """Listens on the command socket. A `core.services.Service`."""

    name = "control"

    def __init__(self, address: Path, target: ControlTarget, *, hello: dict[str, Any]) -> None:
        self._address = address
        self._target = target
        self._hello = {"version": VERSION, **hello}
        self._server: asyncio.Server | None = None
        self._tasks = TaskOwner("control")
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Bind the socket; one left by a crash is replaced (the caller holds the runtime lock).

        Raises:
            UserError: the folder cannot be used.
        """
        with explain_os_error(self._address):
            prepare_folder(self._address.parent)
            self._address.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(os.fspath(self._address))
            # Nobody can connect before it listens, so this comes early enough; the umask has no say.
            self._address.chmod(0o600)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_LINE_BYTES)

    async def stop(self) -> None:
        """Close the socket and every client, and remove the file."""
        if self._server is None:
            return
        self._server.close()
        writers = list(self._clients)
        await self._tasks.close()
        for writer in writers:
            writer.close()
        # Their sockets are closed a turn of the loop later, and this may be its last.
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
        await self._server.wait_closed()
        self._server = None
        self._address.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = peer_of(writer.get_extra_info("socket"))
        if client is not None and client.uid not in (os.getuid(), 0):
            log.warning("a process of another user was turned away pid=%d uid=%d", client.pid, client.uid)
            writer.close()
            return
        if len(self._clients) >= MAX_CLIENTS:
            writer.close()
            return
        self._clients.add(writer)
        self._tasks.spawn(self._serve(reader, writer), name="client")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests = TaskOwner("control.client")
        try:
            await _write(writer, {"hello": self._hello})
            while line := await reader.readline():
                request = _parse(line)
                if request is None:
                    error = UserError("bad_request", "A request is one JSON object a line with `id` and `method`.")
                    await _write(writer, {"id": None, **error.to_document()})
                    return
                requests.spawn(self._answer(request, writer), name=str(request.get("method")))
        except (ConnectionError, ValueError):
            # The client left, or sent a line beyond the limit: either way there is nobody to answer.
            pass
        finally:
            await requests.close()
            writer.close()
            self._clients.discard(writer)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        number, method = request.get("id"), request.get("method")
        try:
            if method == "watch":
                await self._stream_status(number, writer)
                return
            params = request.get("params", {})
            if not isinstance(method, str) or not isinstance(params, dict):
                raise UserError("bad_request", "`method` must be a string and `params` an object.")
            result = await self._target.handle(method, params)
            await _write(writer, {"id": number, "result": result})
        except EdgeError as error:
            await _write(writer, {"id": number, **error.to_document()})
        except ConnectionError:
            pass
        except Exception:
            # A bug; whoever asked hears of it instead of waiting.
            log.exception("request failed method=%s", str(method)[:80])
            bug = EdgeError("internal_error", "The connector failed on this request.", hint="Look at its log.")
            await _write(writer, {"id": number, **bug.to_document()})

    async def _stream_status(self, number: Any, writer: asyncio.StreamWriter) -> None:
        previous: dict[str, Any] | None = None
        async for status in self._target.watch_status():
            if previous is None:
                await _write(writer, {"id": number, "event": "snapshot", "data": status})
            elif patch := merge_patch(previous, status):
                await _write(writer, {"id": number, "event": "delta", "data": patch})
            previous = status


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        # Stricter than `json`, which lets NaN and half surrogate pairs through to where they cannot be written again.
        request = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) and "method" in request else None


async def _write(writer: asyncio.StreamWriter, document: dict[str, Any]) -> None:
    writer.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
    await writer.drain()
