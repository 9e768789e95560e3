"""Which hosts may read the status."""

from __future__ import annotations

import pytest

from edge_connector.health.documents import is_host_allowed


@pytest.mark.parametrize("host", ["localhost:8080", "10.1.2.3:80", "[::1]:8080", "edge.internal:8080", None, ""])
def test_addresses_localhost_listed_names_and_no_name_pass(host: str | None) -> None:
    assert is_host_allowed(host, ("Edge.Internal",))


@pytest.mark.parametrize("host", ["evil.example", "edge.internal.evil", "[::1]evil.example"])
def test_other_names_do_not_pass(host: str) -> None:
    assert not is_host_allowed(host, ("edge.internal",))
