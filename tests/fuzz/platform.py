"""The platform's HTTP application without sockets: one request in, status and body out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from edge_connector.platform_api.models import SetupRequest
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from edge_connector.platform_server.http.application import HttpApplication
from edge_connector.platform_server.http.hosts import HostCheck


@dataclass
class WirelessPlatform:
    """A set-up platform that listens nowhere."""

    application: HttpApplication
    server: PlatformServer
    token: str

    @classmethod
    async def open(cls, data: Path) -> WirelessPlatform:
        """Make one with its store below `data`."""
        data.mkdir(parents=True, exist_ok=True)
        server = PlatformServer(PlatformConfig(data=data))
        parts = await server._assemble("http://localhost:3000", "ws://localhost:3001", HostCheck())
        server._parts = parts
        made = await parts.first_start.set_up(
            SetupRequest(code=parts.first_start.code or "", organization="O", name="N", email="e@example.test")
        )
        return cls(HttpApplication(parts), server, made.server_token)

    async def close(self) -> None:
        """Stop its threads and close its store."""
        await self.server.stop()

    async def request(self, data: bytes) -> tuple[int, bytes]:
        """Send `METHOD target`, a line of headers (`name: value`, separated by tabs), then the body.

        A request without an `Authorization` header gets the server token's.
        """
        start, _, rest = data.partition(b"\n")
        line, _, body = rest.partition(b"\n")
        method, _, target = start.partition(b" ")
        raw_path, _, query = target.partition(b"?")
        headers = [(b"host", b"localhost:3000")]
        for item in line.split(b"\t"):
            name, colon, value = item.partition(b":")
            if colon and name.strip().lower() not in (b"content-length", b""):
                headers.append((name.strip().lower(), value.strip(b" \r")))
        if not any(name == b"authorization" for name, _ in headers):
            headers.append((b"authorization", b"Bearer " + self.token.encode()))
        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
            "method": method.decode("latin-1").upper(), "path": unquote_to_bytes(raw_path).decode(errors="replace"),
            "raw_path": raw_path, "query_string": query, "headers": headers, "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 3000),
        }  # fmt: skip
        pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                return {"type": "http.disconnect"}
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], answer
