"""Which `Host` values are answered: a foreign name that leads here must not reach the API (DNS rebinding).

Pure: it looks at the header alone.
"""

from __future__ import annotations

import ipaddress

from edge_connector.platform_server.refusals import Refused

REMEMBERED = 1_000


class HostCheck:
    """IP literals, `localhost` and the public URL's host pass."""

    def __init__(self, public_host: str = "") -> None:
        self._names = {"localhost", public_host.lower()} - {""}
        self._passed: set[bytes] = set()

    def passes(self, host: bytes) -> bool:
        """Whether this header value is ours; an absent header (HTTP/1.0) comes from no browser and passes."""
        if host in self._passed or not host:
            return True
        if not self._is_ours(host):
            return False
        if len(self._passed) < REMEMBERED:
            self._passed.add(host)
        return True

    def _is_ours(self, host: bytes) -> bool:
        try:
            text = host.decode("ascii").lower()
        except UnicodeDecodeError:
            return False
        if text.startswith("["):
            name = text[1:].partition("]")[0]
        else:
            name = text.rpartition(":")[0] if text.count(":") == 1 else text
        if name.rstrip(".") in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def wrong_host() -> Refused:
    """421 (RFC 9110, section 15.5.20)."""
    return Refused(
        421,
        "wrong_host",
        "This platform does not answer to the name in the Host header.",
        hint="Use its IP address or localhost, or start it with --public-url.",
    )
