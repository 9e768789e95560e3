"""A typed client of the platform's HTTP operations; it turns every failure into one `EdgeError`.

    async with PlatformClient("http://localhost:3000", token=provider) as platform:
        reply = await platform.call(CREATE_CALL, CallRequest(tool="echo"))

It does not retry and does not know where tokens come from.
"""

from __future__ import annotations

import io
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from edge_connector.core.errors import EdgeError, NeedsLogin, NotConnected, RetryLater, UserError
from edge_connector.net.sockets import keep_little_unsent
from edge_connector.platform_api.models import ErrorReply
from edge_connector.platform_api.oauth import OAuthError
from edge_connector.platform_api.operations import Operation, Scope

if TYPE_CHECKING:
    from types import TracebackType

    import aiohttp

Req = TypeVar("Req")
Res = TypeVar("Res")

TokenProvider = Callable[[], Awaitable[str | None]]
MAX_REPLY_BYTES = 64 * 1024 * 1024
JSON = "application/json"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class PlatformClient:
    """Calls operations on one platform. Close it, or use it as an async context manager.

    Attributes:
        base_url: without a trailing slash.
    """

    def __init__(
        self,
        base_url: str,
        token: TokenProvider | None = None,
        *,
        ssl: ssl_module.SSLContext | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Nothing is sent yet.

        Args:
            token: gives the bearer token, or a whole `Deployment <id>:<secret>` value, for each request; None for none.
            ssl: trust and client certificates; None for the system's.
            timeout_s: for a whole request unless `call` is given another.

        Raises:
            UserError: `base_url` is no http or https URL.
        """
        self.base_url = _checked_url(base_url)
        self._token = token
        self._ssl = ssl
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PlatformClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        operation: Operation[Req, Res],
        body: Req | None = None,
        *,
        content: bytes | None = None,
        path: Mapping[str, str] | None = None,
        query: msgspec.Struct | None = None,
        idempotency_key: str = "",
        timeout_s: float | None = None,
    ) -> Res:
        """Perform `operation`.

        Args:
            content: the body of an operation that takes any JSON.

        Raises:
            NotConnected: the platform (`platform_unreachable`, `platform_timeout`) or a connector cannot be reached.
            RetryLater: asked too often.
            NeedsLogin: no credentials, or refused ones.
            UserError: everything else that the platform refuses, with its code (an OAuth endpoint's `error`, such as
                `authorization_pending`); `not_a_platform` when something else answers.
        """
        url = self.base_url + operation.path.format_map({k: quote(v, safe="") for k, v in (path or {}).items()})
        headers = await self._headers(operation, idempotency_key)
        data = None
        if body is not None and operation.oauth:
            fields = {name: value for name, value in msgspec.to_builtins(body).items() if value != ""}
            data = io.BytesIO(urlencode(fields).encode())
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif body is not None:
            # A file object is sent in pieces; a large block of bytes would hold the loop.
            data = io.BytesIO(msgspec.json.encode(body))
            headers["Content-Type"] = "application/json"
        elif content is not None:
            data = io.BytesIO(content)
            headers["Content-Type"] = "application/json"
        parameters = _query_parameters(query)
        status, reply = await self._exchange(operation.method, url, data, headers, parameters, timeout_s)
        if status >= 400:
            raise self._oauth_refusal(status, reply) if operation.oauth else self._refusal(url, status, reply)
        try:
            if operation.media_type != JSON:
                return msgspec.convert(reply.decode(), operation.response)
            return msgspec.json.decode(reply, type=operation.response)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._not_a_platform() from error

    async def _headers(self, operation: Operation[Any, Any], idempotency_key: str) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if self._token is not None and operation.scope is not Scope.PUBLIC:
            token = await self._token()
            if token:
                headers["Authorization"] = token if token.startswith("Deployment ") else f"Bearer {token}"
        return headers

    async def _exchange(
        self,
        method: str,
        url: str,
        data: io.BytesIO | None,
        headers: dict[str, str],
        parameters: dict[str, str],
        timeout_s: float | None,
    ) -> tuple[int, bytes]:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Results may be as large as a frame; a redirect would carry the token to another host.
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=self._ssl if self._ssl is not None else True, socket_factory=_socket
                ),
                # A proxy for the world outside cannot reach this machine's loopback.
                trust_env=urlsplit(self.base_url).hostname not in _LOOPBACK,
            )
        limit = aiohttp.ClientTimeout(total=timeout_s if timeout_s is not None else self._timeout_s)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, params=parameters, timeout=limit, allow_redirects=False
            ) as response:
                content = await response.content.read(MAX_REPLY_BYTES)
                # `read(n)` gives what one chunk has; go on to the end of the body.
                while chunk := await response.content.read(MAX_REPLY_BYTES):
                    content += chunk
                    if len(content) > MAX_REPLY_BYTES:
                        raise self._not_a_platform()
                if 300 <= response.status < 400:
                    raise self._not_a_platform()
                return response.status, content
        except TimeoutError as error:
            raise NotConnected(
                "platform_timeout",
                f"{self.base_url} did not answer within {limit.total:g} s.",
                hint="Check the platform and the network, or give the call more time.",
            ) from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise _unreachable(self.base_url, error) from error
        except aiohttp.ClientError as error:
            raise self._not_a_platform() from error

    def _not_a_platform(self) -> UserError:
        return UserError(
            "not_a_platform",
            f"{self.base_url} answered, but it is no Edge Connector platform.",
            hint="Check PLATFORM_API_URL; it is the address of the platform's HTTP API.",
        )

    def _oauth_refusal(self, status: int, content: bytes) -> EdgeError:
        try:
            body = msgspec.json.decode(content, type=OAuthError)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if status == 429 or status >= 500:  # what stands before a platform says so in words of its own
                return NotConnected("platform_busy", f"{self.base_url} could not answer now (status {status}).")
            return self._refusal("", status, content)
        message = body.error_description or f"The platform answered {body.error}."
        if status == 429:
            return RetryLater(body.error, message, after_s=60.0)
        if status in (502, 503, 504):
            return NotConnected(body.error, message)
        return UserError(body.error, message)

    def _refusal(self, url: str, status: int, content: bytes) -> EdgeError:
        try:
            body = msgspec.json.decode(content, type=ErrorReply).error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._not_a_platform()
        if status == 401:
            return NeedsLogin(body.code, body.message, hint=body.hint)
        if status == 429:
            return RetryLater(body.code, body.message, after_s=60.0, hint=body.hint)
        if status in (502, 503, 504):
            return NotConnected(body.code, body.message, hint=body.hint)
        return UserError(body.code, body.message, hint=body.hint)


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """For one row of `getaddrinfo`. A large body must not fill the kernel's buffer on a slow link."""
    made = socket.socket(*address[:3])
    keep_little_unsent(made)
    return made


def _checked_url(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_web = False
    if not is_web:
        raise UserError(
            "bad_platform_url",
            f"PLATFORM_API_URL {base_url!r} is no http:// or https:// address.",
            hint="Give it as http://localhost:3000 or https://your-instance.example.",
        )
    return base_url.rstrip("/")


def _query_parameters(query: msgspec.Struct | None) -> dict[str, str]:
    if query is None:
        return {}
    given = msgspec.to_builtins(query, str_keys=True)
    return {name: str(value) for name, value in given.items() if value not in ("", None)}


def _unreachable(url: str, error: BaseException) -> NotConnected:
    import errno

    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno is not None):
        cause = cause.__cause__ or getattr(cause, "os_error", None) or cause.__context__
    reason = str(error) or type(error).__name__
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
        # The documentation tells people to look for names such as ECONNREFUSED.
        reason = f"{errno.errorcode[cause.errno]}: {reason}"
    return NotConnected(
        "platform_unreachable",
        f"{url} cannot be reached ({reason}).",
        hint="Start the platform, or check PLATFORM_API_URL, the network and the firewall.",
    )
