"""Where `next` may lead."""

from __future__ import annotations

import pytest

from edge_connector.platform_server.http.pages.visit import cookie_name, own_path


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/members", True),
        ("/device?user_code=BCDF-GHJK", True),
        ("/%0d%0aSet-Cookie:x", True),
        ("", False),
        ("members", False),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("/members\\..", False),
        ("https://evil.example/", False),
        ("/a\r\nb", False),
        ("/a\n", False),
        ("/\t/evil.example", False),
        ("javascript:alert(1)", False),
        ("/ü", False),
    ],
)
def test_next_leads_to_own_pages_only(path: str, is_own: bool) -> None:
    assert own_path(path) == (path if is_own else "")


def test_cookies_of_https_are_tied_to_the_host() -> None:
    assert cookie_name("ec_session", is_secure=True) == "__Host-ec_session"
    assert cookie_name("ec_session", is_secure=False) == "ec_session"
