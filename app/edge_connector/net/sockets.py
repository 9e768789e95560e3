"""Options of connected sockets that asyncio does not set. What a platform does not know is left out."""

from __future__ import annotations

import socket
from typing import Protocol

UNSENT_BYTES = 8 * 1024
"""What the kernel may hold that it has not sent yet; what comes later cannot overtake it."""


class Socket(Protocol):
    """A socket, or what an event loop shows of one."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """As of `socket.socket`."""
        ...


def keep_little_unsent(connected: Socket | None) -> None:
    """Let the kernel take more only when nearly everything was sent, whatever the size of its send buffer.

    tcp(7), TCP_NOTSENT_LOWAT: Linux since 3.12, macOS. Without it megabytes may wait in the kernel on a slow link. It
    does not bound what is under way in the network, so a fast link stays fast. A listening socket hands it on to the
    connections it accepts.
    """
    if connected is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
