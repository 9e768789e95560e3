"""The single steps of an outgoing connection, each to be looked at alone: name, socket, proxy tunnel, TLS, HTTP answer.

For diagnosis: programs that only want to talk use `aiohttp` or the link.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from edge_connector.core.errors import NotConnected

MAX_HEAD_BYTES = 64 * 1024
_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads."""

    host: str
    port: int
    secure: bool
    path: str = "/"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """An HTTP proxy on the way; `user` and `password` are empty when it wants none."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status line and headers of an HTTP answer; header names in lower case, of repeated ones the first."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class TunnelRefused(Exception):
    """The proxy did not open a tunnel; `status` is its HTTP status, 0 when it spoke no HTTP."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def address_of(url: str) -> Address:
    """Host, port and path of a checked ws, wss, http or https URL."""
    parts = urlsplit(url)
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    return Address(parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme in ("wss", "https"), path)


@asynccontextmanager
async def connected(
    to: Address, proxy: ProxyAddress | None, tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `to`, through `proxy` when there is one, with TLS when `tls` is given.

    Raises:
        OSError: the socket or the TLS handshake (`ssl.SSLError`) failed.
        TunnelRefused: the proxy refused.
    """
    first = proxy if proxy is not None else to
    reader, writer = await asyncio.open_connection(
        first.host,
        first.port,
        ssl=tls if proxy is None else None,
        server_hostname=to.host if tls and not proxy else None,
    )
    try:
        if proxy is not None:
            await _open_tunnel(reader, writer, to, proxy)
            if tls is not None:
                await writer.start_tls(tls, server_hostname=to.host)
        yield reader, writer
    finally:
        writer.transport.abort()


async def _open_tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Address, proxy: ProxyAddress
) -> None:
    lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}"]
    if proxy.user:
        pair = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {pair}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        answer = await _read_head(reader)
    except NotConnected as error:
        raise TunnelRefused(0, "it gave no HTTP answer") from error
    if not 200 <= answer.status < 300:
        raise TunnelRefused(answer.status, f"HTTP {answer.status}")


async def ask(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to: Address,
    headers: Mapping[str, str],
    *,
    path: str = "",
    body_bytes: int = 0,
) -> HttpAnswer:
    """Send one GET and read the head of the answer, and up to `body_bytes` of its body.

    Raises:
        NotConnected: the peer closed or spoke no HTTP (`no_http`).
        OSError: the connection broke.
    """
    default = 443 if to.secure else 80
    host = str(to).removesuffix(f":{default}") if to.port == default else str(to)
    lines = [
        f"GET {path or to.path} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await _read_head(reader)
    if not body_bytes:
        return answer
    length = answer.headers.get("content-length", "")
    wanted = min(int(length), body_bytes) if length.isdigit() else 0
    try:
        body = await reader.readexactly(wanted)
    except asyncio.IncompleteReadError as error:
        body = error.partial
    return HttpAnswer(answer.status, answer.headers, body)


async def _read_head(reader: asyncio.StreamReader) -> HttpAnswer:
    def no_http(why: str) -> NotConnected:
        return NotConnected("no_http", f"The peer gave no HTTP answer: {why}.", hint="Check the address and the port.")

    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise no_http("it closed the connection" if not error.partial else "it sent something else") from error
    except asyncio.LimitOverrunError as error:
        raise no_http("its head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/") or not status.isdigit():
        raise no_http("it sent something else")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return HttpAnswer(int(status), headers)
