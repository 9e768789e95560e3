"""Which Host and Origin headers are ours: ports, case, trailing dots, IPv6, and what only looks like one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.net.hosts import is_own, is_same_origin, name_in

NAMES = ("Platform.Example", "edge.internal.")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("example.com:", "example.com"),
        ("[::1]", "::1"),
        ("[FE80::1]:3000", "fe80::1"),
        ("::1", "::1"),
        ("", None),
        (".", None),
        (":80", None),
        ("example.com:80:80", None),
        ("example.com:port", None),
        ("example.com:123456", None),
        ("user@example.com", None),
        ("[::1", None),
        ("[::1]evil.example", None),
        ("[::1].evil.example:80", None),
        ("[127.0.0.1.evil]", None),
        ("localhost/..", None),
        ("localhost evil.example", None),
        ("localhost,evil.example", None),
        ("exämple.com", None),
        ("localhost\n", None),
    ],
)
def test_the_name_in_an_authority(host: str, name: str | None) -> None:
    assert name_in(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:3000", "localhost.:3000", "app.localhost:1", "127.0.0.1:3000", "10.0.0.7", "[::1]:3000",
        "[2001:db8::1]", "::1", "platform.example:443", "PLATFORM.EXAMPLE.", "edge.internal:1",
    ],
)  # fmt: skip
def test_addresses_localhost_and_own_names_are_ours(host: str) -> None:
    assert is_own(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:3000", "127.0.0.1.:x",
        "platform.example.evil", "xplatform.example", "notlocalhost", "[::1]evil.example", "[evil.example]",
        "evil.example..", "localhost..", "2130706433", "0x7f000001", "127.1", "\xff", "localhost@evil.example",
    ],
)  # fmt: skip
def test_other_names_and_near_misses_are_not_ours(host: str) -> None:
    assert not is_own(host, NAMES)


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:3000", "localhost:3000", True),
        ("HTTP://LocalHost:3000", "localhost:3000", True),
        ("http://127.0.0.1", "127.0.0.1:80", True),
        ("https://10.0.0.7", "10.0.0.7", True),
        ("http://[::1]:3000", "[::1]:3000", True),
        ("https://platform.example", "10.0.0.7:3000", True),
        ("https://platform.example.", "localhost:3000", True),
        ("https://platform.example:443", "localhost:3000", True),
        ("https://platform.example:8443", "localhost:3000", False),
        ("http://localhost:8000", "localhost:3000", False),
        ("http://127.0.0.1:3000", "localhost:3000", False),
        ("http://app.localhost:3000", "localhost:3000", False),
        ("https://evil.example", "platform.example", False),
        ("https://platform.example.evil", "platform.example", False),
        ("null", "localhost:3000", False),
        ("", "localhost", False),
        ("file://", "localhost", False),
        ("chrome-extension://localhost:3000", "localhost:3000", False),
        ("http://", "", False),
        ("http://localhost:3000/", "localhost:3000", False),
        ("http://localhost:3000 http://evil.example", "localhost:3000", False),
    ],
)
def test_pages_of_the_same_origin(origin: str, host: str, same: bool) -> None:
    assert is_same_origin(origin, host, NAMES) is same


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_decided(host: str, origin: str) -> None:
    assert is_own(host) in (True, False)
    assert is_same_origin(f"http://{origin}", host) in (True, False)


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z][a-z0-9-]{0,10}){1,3}", fullmatch=True), st.integers(0, 65535))
def test_no_foreign_name_is_ours(name: str, port: int) -> None:
    if not name.endswith(".localhost"):
        assert not is_own(f"{name}:{port}", ())
