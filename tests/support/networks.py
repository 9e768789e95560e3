"""Machines on cables of their own: network namespaces with veth pairs between them. Needs root and iproute2.

with machines("edge", "outside") as (edge, outside):
    connect(edge, "192.0.2.1/24", outside, "192.0.2.2/24", cable="cable0")
    listener = listening_in(outside, "192.0.2.2")
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000


def ip(*words: str) -> None:
    """Run `ip` with these words; it must succeed."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def machines(*names: str) -> Iterator[tuple[str, ...]]:
    """A network namespace for each name, deleted in the end; skips the test where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made: list[str] = []
    try:
        for name in names:
            whole = f"ec{os.getpid()}-{name}"
            try:
                ip("netns", "add", whole)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
            made.append(whole)
            ip("-n", whole, "link", "set", "lo", "up")
        yield tuple(made)
    finally:
        for whole in made:
            ip("netns", "del", whole)


def connect(here: str, address: str, there: str, other_address: str, *, cable: str) -> None:
    """A cable between two machines; both its ends are interfaces named `cable`."""
    ip("-n", here, "link", "add", cable, "type", "veth", "peer", "name", cable, "netns", there)
    for name, its in ((here, address), (there, other_address)):
        ip("-n", name, "address", "add", its, "dev", cable)
        ip("-n", name, "link", "set", cable, "up")


def listening_in(machine: str, address: str) -> socket.socket:
    """A listening socket of this process on `machine`: a socket stays in the namespace it was made in (setns(2))."""
    made: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{machine}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.create_server((address, 0)))

    # The namespace is the thread's; this one ends with it.
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    assert made, f"no socket on {machine}"
    return made[0]
