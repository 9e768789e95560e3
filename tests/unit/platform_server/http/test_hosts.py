"""Which Host headers pass."""

from __future__ import annotations

import pytest

from edge_connector.platform_server.http.hosts import HostCheck


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        (b"localhost", True),
        (b"LOCALHOST:3000", True),
        (b"localhost.:3000", True),
        (b"app.localhost:3000", True),
        (b"127.0.0.1:3000", True),
        (b"[::1]:3000", True),
        (b"::1", True),
        (b"10.0.0.7", True),
        (b"platform.example:443", True),
        (b"", True),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"127.0.0.1.evil.example:3000", False),
        (b"platform.example.evil", False),
        (b"\xff", False),
    ],
)
def test_host(host: bytes, passes: bool) -> None:
    check = HostCheck("Platform.Example")
    assert check.passes(host) is passes
    assert check.passes(host) is passes
