"""Which requests are answered, by their Host and Origin headers; the rules are tested with `net.hosts`."""

from __future__ import annotations

import pytest

from edge_connector.platform_server.http.hosts import REMEMBERED, HostCheck

OURS = (b"host", b"localhost:3000")
CHECK = HostCheck(("Platform.Example", ""))


def code(*headers: tuple[bytes, bytes], method: str = "POST") -> str:
    refusal = CHECK.refusal(headers, method)
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("host", "passes"), [(b"localhost:3000", True), (b"", True), (b"\xff", False), (b"x.y", False)]
)
def test_a_host_is_judged_the_same_again(host: bytes, passes: bool) -> None:
    assert CHECK.passes(host) is passes
    assert CHECK.passes(host) is passes


def test_what_is_remembered_is_bounded() -> None:
    check = HostCheck()
    for number in range(REMEMBERED + 50):
        assert check.passes(b"n%d.localhost" % number)
    assert len(check._passed) == REMEMBERED


def test_two_host_headers_are_refused() -> None:
    assert code(OURS, OURS) == "wrong_host"
    assert code(OURS, (b"host", b"evil.example")) == "wrong_host"


def test_headers_of_proxies_prove_nothing() -> None:
    forwarded = [(b"x-forwarded-host", b"localhost"), (b"forwarded", b"host=localhost"), (b"x-original-host", b"::1")]
    assert code((b"host", b"evil.example"), *forwarded) == "wrong_host"
    assert code(OURS, (b"x-forwarded-host", b"evil.example")) == ""


def test_a_change_by_a_page_of_elsewhere_is_refused() -> None:
    for origin in (b"https://evil.example", b"null", b"http://localhost:8000", b""):
        for method in ("POST", "DELETE", "PUT", "PATCH", "CONNECT"):
            assert code(OURS, (b"origin", origin), method=method) == "wrong_origin", (origin, method)
        for method in ("GET", "HEAD", "OPTIONS"):
            assert code(OURS, (b"origin", origin), method=method) == ""


def test_own_pages_and_programs_may_change_things() -> None:
    assert code(OURS) == code(OURS, (b"origin", b"http://localhost:3000")) == ""
    assert code(OURS, (b"origin", b"https://platform.example")) == ""
    assert code((b"origin", b"http://localhost:3000")) == "wrong_origin"
