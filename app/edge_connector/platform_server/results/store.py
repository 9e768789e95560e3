"""Results that came over HTTP, on disk until their reference comes over the session: bounded, and for minutes only.

Nothing here survives a restart: the connector still has the result then, and brings it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from edge_connector.core.clock import Clock
from edge_connector.core.files import explain_os_error
from edge_connector.platform_server.refusals import Refused, invalid_request

log = logging.getLogger(__name__)

KEEP_S = 600.0
"""From the first byte; a reference follows its upload at once."""
MAX_BYTES = 256 * 1024 * 1024
"""Of all results together, those that are arriving included."""
WRITE_BYTES = 256 * 1024


@dataclass(slots=True)
class _Kept:
    file: Path
    size: int
    sha256: str
    expires_at: float


class ResultStore:
    """One process's results. Only the deployment that brought a result can refer to it."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}
        self.bytes = 0
        """What is kept or reserved."""

    async def open(self) -> None:
        """Make the directory and remove what an earlier process left.

        Raises:
            UserError: the directory cannot be written.
        """
        await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        with explain_os_error(self._directory):
            if self._directory.exists():
                shutil.rmtree(self._directory)
            self._directory.mkdir(mode=0o700)

    async def keep(
        self, deployment_id: str, call_id: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str
    ) -> None:
        """Write a result of exactly `size` bytes down; one of the same call is replaced.

        Raises:
            Refused: there is no room, the bytes are not those that were announced, or they come too slowly.
            UserError: the disk is full.
        """
        self.expire()
        if self.bytes + size > MAX_BYTES:
            raise Refused(507, "results_full", "Too many large results wait here.", hint="Send it over the session.")
        self.bytes += size
        file = self._directory / secrets.token_hex(16)
        expires_at = self._clock.monotonic() + KEEP_S
        try:
            async with asyncio.timeout(KEEP_S):
                digest = await self._write(file, chunks, size)
            if not secrets.compare_digest(digest, sha256):
                raise invalid_request("the body does not have the SHA-256 that was announced")
        except BaseException as error:
            self.bytes -= size
            await asyncio.shield(asyncio.to_thread(file.unlink, True))
            if isinstance(error, TimeoutError):
                raise invalid_request(f"the body did not come within {KEEP_S:.0f} s") from error
            raise
        self._drop((deployment_id, call_id))
        self._kept[deployment_id, call_id] = _Kept(file, size, sha256, expires_at)

    async def _write(self, file: Path, chunks: AsyncIterator[bytes], size: int) -> str:
        digest = hashlib.sha256()
        written = 0
        waiting = bytearray()

        def write(data: bytes) -> None:
            digest.update(data)
            with explain_os_error(file), file.open("ab") as out:
                out.write(data)

        async for chunk in chunks:
            waiting += chunk
            written += len(chunk)
            if written > size:
                raise invalid_request(f"the body has more than the announced {size} bytes")
            if len(waiting) >= WRITE_BYTES:
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
        if written < size:
            raise invalid_request(f"the body ended after {written} of {size} bytes")
        await asyncio.to_thread(write, bytes(waiting))
        return digest.hexdigest()

    async def take(self, deployment_id: str, call_id: str, sha256: str) -> bytes | None:
        """The result, which is not kept any longer; None when there is none with this SHA-256."""
        self.expire()
        kept = self._kept.get((deployment_id, call_id))
        if kept is None or kept.sha256 != sha256:
            return None
        del self._kept[deployment_id, call_id]
        self.bytes -= kept.size
        try:
            return await asyncio.to_thread(_read_and_remove, kept.file)
        except OSError as error:
            log.warning("result could not be read call=%s error=%s", call_id, error)
            return None

    def expire(self) -> None:
        """Remove what nobody referred to in time."""
        now = self._clock.monotonic()
        for key in [key for key, kept in self._kept.items() if kept.expires_at <= now]:
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.bytes -= kept.size
            kept.file.unlink(missing_ok=True)


def _read_and_remove(file: Path) -> bytes:
    data = file.read_bytes()
    file.unlink()
    return data
