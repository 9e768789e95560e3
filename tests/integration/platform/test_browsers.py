"""What a page in a browser can do to a platform on this machine: nothing, whatever name it gives the address."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from edge_connector.core.errors import UserError
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from edge_connector.wire.messages import SUBPROTOCOL
from tests.support.peers import pair
from tests.support.real_platform import RunningPlatform, running_platform


async def raw(url: str, *lines: str, body: str = "") -> tuple[int, str]:
    """One request exactly as written; status and body of the answer."""
    host, _, port = url.partition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    text = "\r\n".join((*lines, "Connection: close", f"Content-Length: {len(body)}", "", body))
    writer.write(text.encode("latin-1"))
    async with asyncio.timeout(10):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split(" ")[1]), answer.partition("\r\n\r\n")[2]


def code(body: str) -> str:
    found: str = json.loads(body)["error"]["code"]
    return found


async def test_requests_as_browsers_and_proxies_send_them(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        own = platform.api_url.partition("//")[2]
        bearer = f"Authorization: Bearer {platform.server_token}"
        call = json.dumps({"tool": "none", "arguments": {}})
        # Without a Host: no browser. HTTP/1.0 is what small probes speak.
        for start in ("GET /api/v1/whoami HTTP/1.1", "GET /api/v1/whoami HTTP/1.0"):
            assert (await raw(platform.api_url, start, bearer))[0] == 200
        for lines in (
            ["Host: evil.example"],
            ["Host: evil.example", "X-Forwarded-Host: localhost"],
            [f"Host: {own}", "Host: evil.example"],
            [f"Host: {own}", f"Host: {own}"],
            ["Host: [::1]evil.example"],
        ):
            for start in (
                "GET / HTTP/1.1",
                "GET /setup HTTP/1.1",
                "POST /setup HTTP/1.1",
                "GET /api/v1/whoami HTTP/1.1",
            ):
                status, body = await raw(platform.api_url, start, *lines, bearer)
                assert (status, code(body)) == (421, "wrong_host"), (start, lines)
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            for start in (
                "POST /api/v1/calls HTTP/1.1",
                "POST /setup HTTP/1.1",
                "DELETE /api/v1/deployments/x HTTP/1.1",
            ):
                status, body = await raw(
                    platform.api_url, start, f"Host: {own}", f"Origin: {origin}", bearer, body=call
                )
                assert (status, code(body)) == (403, "wrong_origin"), (start, origin)
        # Origin and host are in order; no connector is there.
        status, body = await raw(
            platform.api_url, "POST /api/v1/calls HTTP/1.1", f"Host: {own}", f"Origin: http://{own}", bearer, body=call
        )
        assert (status, code(body)) == (503, "connector_unavailable")


async def test_answers_allow_no_other_origin_to_read_them(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        own = platform.api_url.partition("//")[2]
        host, _, port = own.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"OPTIONS /api/v1/calls HTTP/1.1\r\nHost: {own}\r\nOrigin: https://evil.example\r\n"
            f"Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n".encode()
        )
        answer = (await reader.read()).lower()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"http/1.1 405") and b"access-control" not in answer


async def refused_upgrade(platform: RunningPlatform, header: str, **headers: str) -> int:
    with pytest.raises(InvalidStatus) as error:
        await websockets.connect(
            platform.rpc_url,
            subprotocols=[websockets.Subprotocol(SUBPROTOCOL)],
            additional_headers={"Authorization": header, **headers},
            compression=None,
        )
    return error.value.response.status_code


async def test_no_page_opens_a_tool_rpc_session(tmp_path: Path) -> None:
    async with running_platform(tmp_path) as platform:
        edge = await platform.deploy()
        header = pair(edge.id, edge.secret)
        assert await refused_upgrade(platform, header, Origin="https://evil.example") == 403
        assert await refused_upgrade(platform, header, Origin="null") == 403
        # websockets itself sends one Host; a second one makes the request ambiguous.
        assert await refused_upgrade(platform, header, Host="evil.example") == 421


async def test_operators_name_further_hosts(tmp_path: Path) -> None:
    config = PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0, allowed_hosts=("Platform.Internal.",))
    server = PlatformServer(config)
    await server.start()
    try:
        for name, status in (("platform.internal:3000", 200), ("evil.internal", 421)):
            assert (await raw(server.api_url, "GET / HTTP/1.1", f"Host: {name}"))[0] == status
    finally:
        await server.stop()
    for name in ("", "http://x", "x:1", "[::1]", "a b"):
        server = PlatformServer(replace(config, allowed_hosts=(name,)))
        with pytest.raises(UserError) as error:
            await server.start()
        await server.stop()
        assert error.value.code == "bad_allowed_host"
