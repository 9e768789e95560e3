"""Whose name a request was sent to, and whose page sent it: the checks against DNS rebinding. Pure.

A page in a browser can make its own host name lead to this machine, but it can neither make that name an IP literal or
`localhost`, nor choose the `Host` (RFC 9110, section 7.2) and `Origin` (RFC 6454) that its browser sends. Headers that
a client or proxy adds, such as `X-Forwarded-Host`, prove nothing and are not read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

_AUTHORITY = re.compile(r"(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::(?P<port>[0-9]{0,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<authority>.+)")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def name_in(authority: str) -> str | None:
    """The host of `host[:port]`, in lower case, without brackets and without one trailing dot; None when it is not one.

    An IPv6 address without brackets passes where no port follows: some clients send it.
    """
    text = authority.lower()
    if text.count(":") > 1 and not text.startswith("["):
        return text if _is_address(text) else None
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    if (literal := found["literal"]) is not None:
        return literal if _is_address(literal) else None
    return found["name"].removesuffix(".") or None


def is_own(host_header: str, names: Collection[str] = ()) -> bool:
    """Whether a request with this `Host` was meant for this machine: an IP literal, `localhost` or one of `names`."""
    name = name_in(host_header)
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost") or _is_address(name):
        return True
    return any(name == known.lower().removesuffix(".") for known in names)


def is_same_origin(origin: str, host_header: str, names: Collection[str] = ()) -> bool:
    """Whether a page of `origin` was served by whoever is addressed with `host_header`.

    Args:
        origin: value of the `Origin` header; `null` is nobody's.
        host_header: a `Host` that was found to be ours.
        names: further names of ours, as a proxy in front shows them, on the default ports.
    """
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None:
        return False
    default = _DEFAULT_PORTS[found["scheme"]]
    theirs = _with_port(found["authority"], default)
    if theirs is None:
        return False
    if theirs == _with_port(host_header.lower(), default):
        return True
    return theirs[1] == default and any(theirs[0] == known.lower().removesuffix(".") for known in names)


def _with_port(authority: str, default: str) -> tuple[str, str] | None:
    name = name_in(authority)
    if name is None:
        return None
    found = _AUTHORITY.fullmatch(authority)
    return name, (found["port"] if found else "") or default


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
