"""Where packets would start, and whether a link that starts elsewhere is still good."""

from __future__ import annotations

import psutil
import pytest

from edge_connector.net.route import interface_of, local_address, path_change

INTERFACES = {"10.0.0.2": "wlan0", "10.0.0.3": "wlan0", "192.168.1.5": "eth0", "10.8.0.2": "tun0"}


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ("10.0.0.2", "10.0.0.2", ""),
        ("10.0.0.2", "10.0.0.3", ""),
        ("10.0.0.2", "10.8.0.2", "the way to the platform starts at 10.8.0.2 now, not at 10.0.0.2"),
        ("10.0.0.2", None, "there is no route to the platform any more"),
        ("172.16.0.9", "10.0.0.2", "the local address 172.16.0.9 is gone"),
        ("172.16.0.9", None, "the local address 172.16.0.9 is gone"),
    ],
)
def test_when_a_link_is_no_good_any_more(then: str, now: str | None, reason: str) -> None:
    assert path_change(then, now, interface=INTERFACES.get) == reason


def test_the_kernel_is_asked() -> None:
    assert local_address("127.0.0.1", 3001) == "127.0.0.1"
    assert local_address("not an address") is None
    loopback = next(
        name for name, entries in psutil.net_if_addrs().items() if any(e.address == "127.0.0.1" for e in entries)
    )
    assert interface_of("127.0.0.1") == loopback
    assert interface_of("192.0.2.77") is None
