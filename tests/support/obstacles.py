"""What stands in the way of a connector: silent ports, other servers, proxies, certificates that do not fit."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme

from edge_connector.platform_server.app import PlatformConfig, PlatformServer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def answering(answer: Callable[[bytes], bytes] | None) -> AsyncIterator[int]:
    """A server that gives one answer to each request; None: it stays silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await reader.read()
            return
        writer.write(answer(head))
        await writer.drain()

    async with serving(serve) as port:
        yield port


@asynccontextmanager
async def proxy_without_upgrade(rpc_url: str) -> AsyncIterator[int]:
    """A reverse proxy that drops hop-by-hop headers, as RFC 9110 wants of one that does not know the upgrade."""
    host, _, port = rpc_url.removeprefix("ws://").partition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith((b"upgrade:", b"connection:"))]
        there_reader, there = await asyncio.open_connection(host, int(port))
        try:
            there.write(b"\r\n".join(kept))
            writer.write(await there_reader.readuntil(b"\r\n\r\n"))
            writer.write(await there_reader.read(4096))
            await writer.drain()
        finally:
            there.close()
            await there.wait_closed()

    async with serving(serve) as listening:
        yield listening


@asynccontextmanager
async def tunnelling_proxy() -> AsyncIterator[int]:
    """An HTTP proxy that does what CONNECT asks."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().rpartition(":")
        there_reader, there = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pump(reader, there), pump(there_reader, writer), return_exceptions=True)
        finally:
            there.close()

    async with serving(serve) as listening:
        yield listening


@asynccontextmanager
async def platform_with(authority: trustme.CA, name: str, **terms: Any) -> AsyncIterator[str]:
    """A platform whose certificate is for `name`; yields its address at localhost."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        certificate = authority.issue_cert(name, **terms)
        for number, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(data / "cert.pem", append=number > 0)
        certificate.private_key_pem.write_to_path(data / "key.pem")
        server = PlatformServer(
            PlatformConfig(
                data=data / "data", api_port=0, rpc_port=0, tls_cert=data / "cert.pem", tls_key=data / "key.pem"
            )
        )
        await server.start()
        try:
            yield f"wss://localhost:{server.rpc_url.rpartition(':')[2]}"
        finally:
            await server.stop()
