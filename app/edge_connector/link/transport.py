"""One WebSocket, dialled outwards: the only client-side home of the `websockets` library. It never retries.

What the library, the operating system and proxies raise is translated here, once, into `LinkDown`.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import websockets.exceptions as wse
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from edge_connector.core.errors import UserError
from edge_connector.link.frames import FrameConnection
from edge_connector.net.sockets import keep_little_unsent
from edge_connector.net.way import ProxyAddress
from edge_connector.wire.close_codes import MEANING, CloseCode, Retry, retry_after_close
from edge_connector.wire.parts import PART_BYTES

DIAL_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
WRITE_LIMIT = (PART_BYTES[0], 0)
"""Bytes in the library's buffer: with more, `send` waits until all have left: no part is behind another."""


@dataclass(frozen=True, slots=True)
class DialTarget:
    """Where to dial and as what."""

    url: str
    subprotocol: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    max_frame_bytes: int
    user_agent: str


@dataclass(frozen=True, slots=True)
class LinkPath:
    """The two ends of the link's socket; the far one is the proxy's where there is one."""

    local: str
    remote: str
    port: int


class LinkDown(Exception):
    """The link could not be made or ended.

    Attributes:
        problem: code of `core.problems`.
        detail: cause in words, the operating system's error name included.
        retry: what the supervisor does next.
    """

    def __init__(self, problem: str, detail: str, *, retry: Retry = Retry.BACKOFF, code: int = 0) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem
        self.detail = detail
        self.retry = retry
        self.code = code


class WebSocketTransport:
    """An open WebSocket that carries text frames."""

    def __init__(self, connection: FrameConnection) -> None:
        self._connection = connection

    def deliver_to(self, take: Callable[[bytes], None]) -> None:
        """Give each frame to `take` as it arrives, also those that have arrived."""
        self._connection.deliver_to(take)

    async def ended(self) -> LinkDown:
        """Wait for the end of the connection; the reason is that of whoever ended it."""
        await self._connection.wait_closed()
        return _from_close(self._connection.close_exc)

    async def receive(self) -> bytes:
        """The next frame, for whoever has not called `deliver_to`.

        Raises:
            LinkDown: the connection ended.
        """
        frame = await self._connection.next_frame()
        if frame is None:
            raise _from_close(self._connection.close_exc)
        return frame

    @property
    def is_writable(self) -> bool:
        """Whether `write` may be used now: the connection is open, and the peer reads."""
        return self._connection.is_writable

    def write(self, frames: Sequence[bytes]) -> None:
        """Send each frame as a text message, now."""
        for frame in frames:
            self._connection.write(frame)

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send each frame as a text message; waits while the network does not take more.

        Raises:
            LinkDown: the connection ended.
        """
        try:
            for frame in frames:
                await self._connection.send(frame, text=True)
        except wse.ConnectionClosed as error:
            raise _from_close(error) from error

    async def close(self, code: int, reason: str) -> None:
        """Close in order; cut the connection when the peer does not answer within two seconds."""
        await self._connection.close(code, reason)

    @property
    def path(self) -> LinkPath | None:
        """Where its packets go; None for a socket without addresses."""
        local, remote = self._connection.local_address, self._connection.remote_address
        return LinkPath(local[0], remote[0], remote[1]) if local and remote else None

    def abort(self) -> None:
        """Cut the connection at once: the peer is not there any more."""
        self._connection.transport.abort()


class _Connect(connect):
    """Follows no redirect: the credentials are for the address that was configured."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def dial(target: DialTarget) -> WebSocketTransport:
    """Open the WebSocket.

    Raises:
        LinkDown: with the cause and whether dialling again can help.
    """
    try:
        connection = await _Connect(
            target.url,
            ssl=target.tls if target.url.startswith("wss:") else None,
            subprotocols=[Subprotocol(target.subprotocol)],
            additional_headers=dict(target.headers),
            user_agent_header=target.user_agent,
            # Deflate costs three times the processor time on small frames and twenty times on large ones.
            compression=None,
            # The protocol has heartbeats of its own, which prove more than a ping answered by a library.
            ping_interval=None,
            open_timeout=DIAL_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=target.max_frame_bytes,
            max_queue=64,
            write_limit=WRITE_LIMIT,
            # One attempt: the supervisor retries. Returned exceptions are raised by the library.
            process_exception=lambda error: error,
            create_connection=FrameConnection,
        )
    except (OSError, TimeoutError, wse.WebSocketException, ValueError, EOFError) as error:
        raise _from_dial(error) from error
    keep_little_unsent(connection.transport.get_extra_info("socket"))
    if connection.subprotocol != target.subprotocol:
        await connection.close(CloseCode.VERSION_UNSUPPORTED)
        raise LinkDown("not_a_platform", f"it did not choose the subprotocol {target.subprotocol}")
    assert isinstance(connection, FrameConnection), "made by create_connection"
    return WebSocketTransport(connection)


def _from_dial(error: Exception) -> LinkDown:
    match error:
        case wse.InvalidStatus():
            return _from_status(error.response.status_code, error.response.headers.get("Server", ""))
        case wse.NegotiationError():
            return LinkDown("not_a_platform", f"it does not speak Tool RPC ({error})")
        case wse.InvalidProxy():
            # Without its address: a password may be in it.
            return LinkDown("proxy_refused", f"its address is not valid: {error.msg}")
        case wse.ProxyError():
            return LinkDown("proxy_refused", str(error))
        case wse.InvalidURI():
            return LinkDown("platform_unreachable", f"the address is not valid ({error})")
        # Before the others: a failed verification is an SSLError, an OSError and a ValueError at once.
        case ssl.SSLCertVerificationError():
            return LinkDown("tls_failed", error.verify_message or str(error))
        case ssl.SSLError():
            return LinkDown("tls_failed", error.reason or str(error))
        case TimeoutError():
            return LinkDown("no_answer", f"no answer within {DIAL_TIMEOUT_S:.0f} s (ETIMEDOUT)")
        case socket.gaierror():
            return LinkDown("host_not_found", f"ENOTFOUND: {error.strerror}")
        case OSError():
            return _from_os(error)
    return LinkDown("not_a_platform", f"the answer is no WebSocket upgrade ({error})")


def proxy_for(url: str) -> ProxyAddress | None:
    """The proxy that `dial` uses for `url`, by the environment; None when it dials directly.

    Raises:
        UserError: the environment names a proxy that cannot be used.
    """
    from websockets.proxy import get_proxy, parse_proxy
    from websockets.uri import parse_uri

    try:
        named = get_proxy(parse_uri(url))
        proxy = None if named is None else parse_proxy(named)
    except (wse.InvalidURI, wse.InvalidProxy) as error:
        # Without its address: a password may be in it.
        raise UserError(
            "proxy_unusable", f"The proxy of this environment cannot be used: {error.msg}.", hint="Check HTTPS_PROXY."
        ) from None
    if proxy is None:
        return None
    return ProxyAddress(proxy.scheme, proxy.host, proxy.port, proxy.username or "", proxy.password or "")


_NO_ROUTE = frozenset({"ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN", "EADDRNOTAVAIL"})


def _from_os(error: OSError) -> LinkDown:
    reason = os_reason(error)
    names = set(reason.partition(":")[0].split(", "))
    if names <= _NO_ROUTE:
        return LinkDown("no_route", reason)
    return LinkDown("no_answer" if "ETIMEDOUT" in names else "platform_unreachable", reason)


def os_reason(error: OSError) -> str:
    """The error's name as the documents spell it (`ECONNREFUSED`), which Python does not print by itself."""
    if error.errno is None:
        # Several addresses failed: asyncio joins their messages, each "[Errno N] ...".
        names = [name for number, name in sorted(errno.errorcode.items()) if f"[Errno {number}]" in str(error)]
        return f"{', '.join(names)}: {error}" if names else str(error)
    return f"{errno.errorcode.get(error.errno, error.errno)}: {error.strerror or error}"


def _from_status(status: int, server: str) -> LinkDown:
    if status == 401:
        return LinkDown("credentials_refused", f"HTTP {status} before the upgrade", retry=Retry.NEVER)
    if status == 407:
        return LinkDown("proxy_refused", "HTTP 407, the proxy wants authentication")
    if status == 421:
        return LinkDown("not_a_platform", "HTTP 421, it does not answer to this host name (its --allowed-host)")
    if status in (502, 504):
        # RFC 9110, sections 15.6.3 and 15.6.5: only a gateway says these.
        named = f" ({server[:60]})" if server else ""
        return LinkDown("platform_unreachable", f"HTTP {status} from a proxy{named}, which does not reach it either")
    if status == 429 or status >= 500:
        return LinkDown("platform_unreachable", f"HTTP {status}")
    return LinkDown("not_a_platform", f"HTTP {status} instead of a WebSocket upgrade")


_PROBLEM_BY_CODE: dict[int, str] = {
    CloseCode.REPLACED: "replaced",
    CloseCode.TAKEN_OVER: "taken_over",
    CloseCode.MALFORMED: "protocol_broken",
    CloseCode.OUT_OF_ORDER: "protocol_broken",
    CloseCode.TOO_LARGE: "protocol_broken",
    CloseCode.UNAUTHORIZED: "credentials_refused",
    CloseCode.FORBIDDEN: "forbidden",
    CloseCode.DEPLOYMENT_GONE: "deployment_gone",
    CloseCode.VERSION_UNSUPPORTED: "version_unsupported",
    CloseCode.ALREADY_CONNECTED: "deployment_already_connected",
    CloseCode.REVOKED: "credentials_revoked",
}


def down_from_code(code: int, reason: str, *, by_us: bool = False) -> LinkDown:
    """What a close with `code`, by the platform or by this side, means to the supervisor."""
    problem = _PROBLEM_BY_CODE.get(code, "disconnected")
    if by_us and code == CloseCode.SILENT:
        problem = "platform_silent"
    meaning = MEANING.get(code, "")
    detail = reason or meaning or f"close code {code}"
    return LinkDown(problem, detail, retry=retry_after_close(code), code=code)


def _from_close(error: wse.ConnectionClosed) -> LinkDown:
    # Whoever closes first has a reason; the other side only echoes its code.
    if error.sent is not None and not error.rcvd_then_sent:
        return down_from_code(error.sent.code, error.sent.reason, by_us=True)
    if error.rcvd is not None:
        return down_from_code(error.rcvd.code, error.rcvd.reason)
    cause = error.__cause__
    return LinkDown("disconnected", os_reason(cause) if isinstance(cause, OSError) else "the connection was cut")
