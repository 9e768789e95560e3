"""Which hosts may read the status, and what the endpoints say."""

from __future__ import annotations

import pytest

from edge_connector.health.documents import is_host_allowed


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:8080",
        "10.1.2.3:80",
        "[::1]",
        "[::1]:8080",
        "::1",
    ],
)
def test_addresses_and_localhost_pass(host: str) -> None:
    assert is_host_allowed(host, ())


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:1"]
)
def test_other_names_do_not_pass(host: str) -> None:
    assert not is_host_allowed(host, ())


def test_listed_names_pass() -> None:
    assert is_host_allowed("Edge.Internal:8080", ("edge.internal",))


def test_http_1_0_without_a_host_passes() -> None:
    assert is_host_allowed(None, ())
