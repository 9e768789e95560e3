"""Who is at the other end of a Unix socket, as the kernel knows it (SO_PEERCRED, unix(7))."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple


class Listener(NamedTuple):
    """The process that listens."""

    pid: int
    uid: int


def listener_of(client: socket.socket) -> Listener | None:
    """The process that bound the socket `client` is connected to; None where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return Listener(pid, uid) if pid else None
