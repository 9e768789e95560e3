"""The way packets take from here: the local address they would start from, asked of the kernel without sending any."""

from __future__ import annotations

import socket
from collections.abc import Callable

import psutil

_ANYWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses that nobody has (RFC 5737, RFC 3849): the way to them is the default route."""
_DISCARD_PORT = 9


def local_address(remote: str, port: int = _DISCARD_PORT) -> str | None:
    """The local address that packets to `remote`, a numeric address, would start from; None: there is no route.

    Connecting a datagram socket makes the kernel choose a route and sends nothing (connect(2)).
    """
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((remote, port))
            return str(asking.getsockname()[0])
    except OSError:
        return None


def default_addresses() -> tuple[str | None, ...]:
    """The local addresses of the default routes, IPv4 and IPv6."""
    return tuple(local_address(remote) for remote in _ANYWHERE)


def interface_of(address: str) -> str | None:
    """The interface that has `address`; None when none has it any more."""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == address.partition("%")[0] for entry in entries):
            return name
    return None


def path_change(then: str, now: str | None, *, interface: Callable[[str], str | None] = interface_of) -> str:
    """Why a connection that starts at the local address `then` is no good any more; empty when it is.

    Another address on the same interface is no reason while the old one is there: IPv6 privacy addresses (RFC 8981)
    change daily under open connections.

    Args:
        now: the local address that a new connection would start from; None when there is no route.
        interface: which interface has an address.
    """
    if now == then:
        return ""
    held_by = interface(then)
    if held_by is None:
        return f"the local address {then} is gone"
    if now is None:
        return "there is no route to the platform any more"
    if interface(now) == held_by:
        return ""
    return f"the way to the platform starts at {now} now, not at {then}"
