"""The other end of the command socket, for the command line and the desktop."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_connector.control.address import is_trusted_owner, possible_addresses
from edge_connector.control.lock import LOCK_FILE, read_lock
from edge_connector.control.patch import apply_patch
from edge_connector.control.peer import peer_of
from edge_connector.control.server import MAX_LINE_BYTES, VERSION
from edge_connector.core.errors import EdgeError, NotConnected, UserError

CONNECT_TIMEOUT_S = 3.0


class _ForeignListener(Exception):
    """Another user's process answers where the connector should."""


class ControlClient:
    """Talks to the connector of one installation directory.

    async with ControlClient(directory) as client:
        status = await client.request("status")
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._number = 0
        self.hello: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            NotConnected: no connector runs for this directory.
            UserError: it speaks another control version.
        """
        refused: EdgeError | None = None
        for path in self._addresses():
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._connect(path)
                return self
            except TimeoutError as error:
                raise NotConnected(
                    "no_answer",
                    f"The connector of {self._directory} runs, but did not answer within {CONNECT_TIMEOUT_S:.0f} s.",
                    hint="Its process may be stopped or very busy; look at its log.",
                ) from error
            except OSError:
                continue
            except _ForeignListener as error:
                refused = UserError(
                    "foreign_socket",
                    f"A process of another user listens at {path}.",
                    hint="Run this command as the user who runs the connector.",
                )
                refused.__cause__ = error
        raise refused or NotConnected(
            "not_running",
            f"No connector runs for {self._directory}.",
            hint="Start one with `edge-connector run`, or name its directory with --dir.",
        )

    def _addresses(self) -> list[Path]:
        """Where it may listen: the address we would use, then the one that its lock file names, then the others."""
        first, *others = possible_addresses(self._directory)
        named = (read_lock(self._directory / LOCK_FILE) or {}).get("control")
        found = [first, *([Path(named)] if isinstance(named, str) else []), *others]
        return list(dict.fromkeys(found))

    async def _connect(self, path: Path) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(os.fspath(path), limit=MAX_LINE_BYTES)
        try:
            listener = peer_of(self._writer.get_extra_info("socket"))
            if listener is not None and not is_trusted_owner(listener.uid, self._directory):
                raise _ForeignListener
            await self._greet()
        except BaseException:
            self._writer.close()
            raise

    async def _greet(self) -> None:
        self.hello = (await self._read()).get("hello", {})
        if self.hello.get("version") != VERSION:
            raise UserError(
                "control_version",
                f"The running connector speaks control version {self.hello.get('version')}, this program {VERSION}.",
                hint="Restart the connector with the same release as this program.",
            )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass

    async def request(self, method: str, *, timeout_s: float | None = 30.0, **params: Any) -> Any:
        """Send one request and return its result.

        Raises:
            EdgeError: what the connector answered.
            NotConnected: it went away, or did not answer within `timeout_s` seconds.
        """
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._read()
        except TimeoutError as error:
            raise NotConnected(
                "no_answer",
                f"The connector did not answer `{method}` within {timeout_s:.0f} s.",
                hint="Look at its log.",
            ) from error
        if "error" in answer:
            problem = answer["error"]
            raise EdgeError(problem["code"], problem["message"], hint=problem.get("hint", ""))
        return answer.get("result")

    async def watch(self) -> AsyncIterator[dict[str, Any]]:
        """The status document now and after each change, until the connector goes away."""
        self._number += 1
        self._send({"id": self._number, "method": "watch"})
        document: dict[str, Any] = {}
        while True:
            event = await self._read()
            data = event.get("data", {})
            document = data if event.get("event") == "snapshot" else apply_patch(document, data)
            yield document

    def _send(self, document: dict[str, Any]) -> None:
        self._writer.write(json.dumps(document).encode() + b"\n")

    async def _read(self) -> dict[str, Any]:
        try:
            line = await self._reader.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise NotConnected("went_away", "The connector went away.", hint="Look at its log, or start it again.")
        document: dict[str, Any] = json.loads(line)
        return document
