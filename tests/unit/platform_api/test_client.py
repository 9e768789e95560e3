"""Every way a platform can fail to answer becomes one error with a code; met with real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge_connector.core.errors import EdgeError, NeedsLogin, NotConnected, RetryLater, UserError
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.models import CallQuery
from edge_connector.platform_api.oauth import REFRESH_GRANT, TokenRequest
from edge_connector.platform_api.operations import GET_CALL, LIST_CALLS, LIVEZ, OAUTH_TOKEN, WHOAMI


@asynccontextmanager
async def web_server(reply: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives one raw answer to whatever comes."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


def response(status: str, body: str, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (response("401 No", '{"error":{"code":"c1","message":"m"}}'), NeedsLogin, "c1"),
        (response("403 No", '{"error":{"code":"c2","message":"m"}}'), UserError, "c2"),
        (response("404 No", '{"error":{"code":"c3","message":"m"}}'), UserError, "c3"),
        (response("429 No", '{"error":{"code":"c4","message":"m"}}'), RetryLater, "c4"),
        (response("503 No", '{"error":{"code":"c5","message":"m"}}'), NotConnected, "c5"),
        (response("404 No", "<h1>Not Found</h1>", "text/html"), UserError, "not_a_platform"),
        (response("200 OK", "<h1>It works!</h1>", "text/html"), UserError, "not_a_platform"),
        (response("200 OK", '{"status": 5}'), UserError, "not_a_platform"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\n\r\n", UserError, "not_a_platform"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", UserError, "not_a_platform"),
    ],
)
async def test_answers_become_errors(reply: bytes, kind: type[EdgeError], code: str) -> None:
    async with web_server(reply) as (url, _), PlatformClient(url) as client:
        with pytest.raises(kind) as error:
            await client.call(LIVEZ)
        assert error.value.code == code


async def test_an_unreachable_platform_is_named_with_the_systems_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with PlatformClient(url) as client:
            with pytest.raises(NotConnected) as error:
                await client.call(LIVEZ)
    assert error.value.code == "platform_unreachable"
    assert url in error.value.message
    assert "ECONNREFUSED" in error.value.message


async def test_silence_ends_with_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with PlatformClient(f"http://127.0.0.1:{silent.getsockname()[1]}") as client:
            with pytest.raises(NotConnected) as error:
                await client.call(LIVEZ, timeout_s=0.05)
    assert error.value.code == "platform_timeout"


async def test_the_token_goes_to_guarded_operations_only() -> None:
    async def token() -> str:
        return "ect_secret"

    reply = response("401 No", '{"error":{"code":"c","message":"m"}}')
    async with web_server(reply) as (url, requests), PlatformClient(url, token) as client:
        with pytest.raises(NeedsLogin):
            await client.call(LIVEZ)
        with pytest.raises(NeedsLogin):
            await client.call(WHOAMI)
    assert b"ect_secret" not in requests[0]
    assert b"Authorization: Bearer ect_secret\r\n" in requests[1]


async def test_path_and_query_are_encoded() -> None:
    reply = response("404 No", '{"error":{"code":"c","message":"m"}}')
    async with web_server(reply) as (url, requests), PlatformClient(url) as client:
        with pytest.raises(UserError):
            await client.call(GET_CALL, path={"id": "a/../b?c"})
        with pytest.raises(UserError):
            await client.call(LIST_CALLS, query=CallQuery(limit=3, tool="a&b"))
    assert requests[0].startswith(b"GET /api/v1/calls/a%2F..%2Fb%3Fc HTTP/1.1")
    assert requests[1].startswith(b"GET /api/v1/calls?limit=3&tool=a%26b HTTP/1.1")


async def test_oauth_operations_are_asked_by_form_and_refuse_with_their_error() -> None:
    reply = response("400 No", '{"error":"slow_down","error_description":"Ask less often."}')
    request = TokenRequest(grant_type=REFRESH_GRANT, refresh_token="ecr_a&b")
    async with web_server(reply) as (url, requests), PlatformClient(url) as client:
        with pytest.raises(UserError) as error:
            await client.call(OAUTH_TOKEN, request)
    assert (error.value.code, error.value.message) == ("slow_down", "Ask less often.")
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in requests[0]
    # Fields without a value are left out.
    length = len("grant_type=refresh_token&refresh_token=ecr_a%26b")
    assert f"Content-Length: {length}\r\n".encode() in requests[0]


@pytest.mark.parametrize(
    "url", ["localhost:3000", "ws://localhost:3000", "http://", "", "http://[::1", "http://x:99999"]
)
def test_wrong_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(UserError) as error:
        PlatformClient(url)
    assert error.value.code == "bad_platform_url"
