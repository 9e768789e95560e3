"""A slow link between two machines: network namespaces with a modem between them, whose uplink `tc` shapes.

with slow_link("2mbit") as link:
    listener = link.bind_at_platform()                            # in this process, reachable over the link only
    running_connector(home, environment, network=link.edge)       # a process on the slow side

The queue is in the modem and not on the sender's own interface: there the kernel would see it and send less by itself.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

EDGE, MODEM_IN, MODEM_OUT, PLATFORM = "192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.2"
"""TEST-NET-1 and TEST-NET-2 (RFC 5737) are routed nowhere else."""


class NotAllowed(Exception):
    """Namespaces or shaping are not possible here; says why."""


@dataclass(frozen=True)
class SlowLink:
    """Names of the two ends' namespaces."""

    edge: str
    platform: str

    def bind_at_platform(self) -> socket.socket:
        """A listening socket of this process on a free port of the platform's end."""
        made: list[socket.socket] = []

        def bind() -> None:
            # A namespace is a thread's own, and a socket stays in the one in which it was made (setns(2)).
            namespace = os.open(f"/run/netns/{self.platform}", os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(namespace, 0) != 0:
                    return
            finally:
                os.close(namespace)
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind((PLATFORM, 0))
            listener.setblocking(False)
            made.append(listener)

        thread = threading.Thread(target=bind, name="bind in a namespace")
        thread.start()
        thread.join()
        assert made, "no socket in the platform's namespace"
        return made[0]


def run(*words: str) -> None:
    """Run `ip` or `tc`.

    Raises:
        NotAllowed: it said no.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise NotAllowed(f"{' '.join(words[:4])} ...: {done.stderr.strip() or done.returncode}")


@contextmanager
def slow_link(rate: str, *, queue_ms: int = 200) -> Iterator[SlowLink]:
    """A link whose uplink carries `rate` (as `tc` has it) and queues at most `queue_ms`; skips where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    missing = [program for program in ("ip", "tc") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (package iproute2)")
    name = f"ec{os.getpid()}"
    edge, modem, platform = (f"{name}-{role}" for role in ("edge", "modem", "platform"))
    made: list[str] = []
    try:
        try:
            for each in (edge, modem, platform):
                run("ip", "netns", "add", each)
                made.append(each)
                run("ip", "-n", each, "link", "set", "lo", "up")
            for end, interface, ours, theirs in ((edge, "in", EDGE, MODEM_IN), (platform, "out", PLATFORM, MODEM_OUT)):
                run("ip", "-n", modem, "link", "add", interface, "type", "veth", "peer", "name", "wan", "netns", end)
                run("ip", "-n", end, "address", "add", f"{ours}/30", "dev", "wan")
                run("ip", "-n", end, "link", "set", "wan", "up")
                run("ip", "-n", modem, "address", "add", f"{theirs}/30", "dev", interface)
                run("ip", "-n", modem, "link", "set", interface, "up")
                run("ip", "-n", end, "route", "add", "default", "via", theirs)
            run("ip", "netns", "exec", modem, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
            tbf = ("tbf", "rate", rate, "burst", "16kb", "latency", f"{queue_ms}ms")
            run("tc", "-n", modem, "qdisc", "add", "dev", "out", "root", *tbf)
        except NotAllowed as reason:
            pytest.skip(f"no shaped link between network namespaces here: {reason}")
        assert Path(f"/run/netns/{platform}").exists()
        yield SlowLink(edge, platform)
    finally:
        for each in made:
            subprocess.run(["ip", "netns", "del", each], check=False, capture_output=True)
