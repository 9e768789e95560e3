"""Who is at the other end of a Unix socket, as the kernel knows it (SO_PEERCRED, unix(7))."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple


class Peer(NamedTuple):
    """The process at the other end; pid 0 when it lives in another pid namespace."""

    pid: int
    uid: int


def peer_of(connected: socket.socket) -> Peer | None:
    """The process at the other end: whoever listens, seen by a client; whoever connected, seen by the listener.

    None where the system does not say.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return Peer(pid, uid)
