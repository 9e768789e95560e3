"""Who listens on a port of this machine."""

from __future__ import annotations

import psutil


def holder_of(port: int) -> tuple[str, int] | None:
    """Name and pid of the program that listens on TCP `port`, as far as this user may know, else None."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                if connection.pid is None:
                    break
                return psutil.Process(connection.pid).name(), connection.pid
    except psutil.Error:
        pass
    return None


def holder_words(port: int) -> str:
    """The holder of `port` for a sentence: `python3 (pid 12)` or `another program`."""
    holder = holder_of(port)
    return "another program" if holder is None else f"{holder[0]} (pid {holder[1]})"
