"""Which `Host` and `Origin` values the platform answers; the rules themselves are in `net.hosts`.

Pure: it looks at the headers alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_connector.net.hosts import is_own, is_same_origin
from edge_connector.platform_server.refusals import Refused

REMEMBERED = 1_000
_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})


class HostCheck:
    """IP literals, `localhost` and the platform's own names pass."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names`: the hosts of the public URL and of `--allowed-host`."""
        self._names = frozenset(name.lower() for name in names if name)
        self._passed: set[bytes] = set()

    def refusal(self, headers: Iterable[tuple[bytes, bytes]], method: str) -> Refused | None:
        """Why a request with these headers is not answered.

        Args:
            headers: names in lower case (ASGI).
            method: of the request; `GET`, `HEAD` and `OPTIONS` are answered to any page, which cannot read the answer.
        """
        host = origin = None
        for name, value in headers:
            if name == b"host":
                if host is not None:  # which of the two was meant? (RFC 9112, section 3.2)
                    return wrong_host()
                host = value
            elif name == b"origin":
                origin = value
        if not self.passes(host or b""):
            return wrong_host()
        if origin is None or method in _CHANGES_NOTHING or self._is_own_page(origin, host or b""):
            return None
        return wrong_origin()

    def passes(self, host: bytes) -> bool:
        """Whether this header value is ours; an absent header comes from no browser and passes."""
        if host in self._passed or not host:
            return True
        if not is_own(host.decode("latin-1"), self._names):
            return False
        if len(self._passed) < REMEMBERED:
            self._passed.add(host)
        return True

    def _is_own_page(self, origin: bytes, host: bytes) -> bool:
        return is_same_origin(origin.decode("latin-1"), host.decode("latin-1"), self._names)


def wrong_host() -> Refused:
    """421 (RFC 9110, section 15.5.20)."""
    return Refused(
        421,
        "wrong_host",
        "This platform does not answer to the name in the Host header.",
        hint="Use its IP address or localhost, or start it with --public-url or --allowed-host.",
    )


def wrong_origin() -> Refused:
    """403: a page of somebody else sent this through a browser."""
    return Refused(
        403,
        "wrong_origin",
        "A page of another origin may not send this request.",
        hint="Send it from a program, or name that page's host with --public-url or --allowed-host.",
    )
