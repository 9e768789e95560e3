from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_connector.auth.claims import MAX_TOKEN_CHARACTERS, TokenInfo, check_token
from edge_connector.core.errors import NeedsLogin

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
KEY = Ed25519PrivateKey.generate()
SAVE = (
    "Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`. "
    "It is kept in /srv/auth-token.json."
)


def signed(**claims: object) -> str:
    return jwt.encode(claims, KEY, algorithm="EdDSA")


def encoded(document: object) -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(header: object, payload: object, signature: str = "c2ln") -> str:
    return f"{encoded(header)}.{encoded(payload)}.{signature}"


def refused(token: str) -> NeedsLogin:
    with pytest.raises(NeedsLogin) as caught:
        check_token(token, now=NOW, save_to="/srv/auth-token.json")
    assert caught.value.exit_code == 3
    if len(token) > 20:
        assert token not in str(caught.value.to_document())
    return caught.value


def test_a_usable_token_says_who_and_until_when() -> None:
    token = signed(orgId="org_1", sub="user_7", email="ada@example.org", iat=NOW - 10, exp=NOW + 3600)
    assert check_token(token, now=NOW) == TokenInfo(
        "org_1", ("org_1",), "user_7", "ada@example.org", NOW + 3600, NOW - 10
    )


@pytest.mark.parametrize(
    ("claims", "chosen", "organizations"),
    [
        ({"orgId": "org_1"}, "org_1", ("org_1",)),
        ({"orgs": {"org_2": {"role": "admin"}}}, "org_2", ("org_2",)),
        ({"orgs": {"org_2": {}, "org_3": {}}}, None, ("org_2", "org_3")),
        ({"orgId": "org_3", "orgs": {"org_2": {}, "org_3": {}}}, "org_3", ("org_3", "org_2")),
        ({"orgId": "", "orgs": {"org_2": None}}, "org_2", ("org_2",)),
        ({"orgId": 7, "orgs": {"org_2": None}}, "org_2", ("org_2",)),
    ],
)
def test_the_organization_is_found(
    claims: dict[str, object], chosen: str | None, organizations: tuple[str, ...]
) -> None:
    info = check_token(signed(**claims), now=NOW)
    assert (info.organization_id, info.organizations) == (chosen, organizations)
    assert info.expires_at is None


@pytest.mark.parametrize(
    "claims", [{}, {"orgId": ""}, {"orgId": " "}, {"orgId": None}, {"orgs": {}}, {"orgs": ["org_1"]}, {"orgs": "org_1"}]
)
def test_a_token_without_an_organization(claims: dict[str, object]) -> None:
    error = refused(signed(**claims, exp=NOW + 60))
    assert error.code == "token_without_organization"
    assert error.message == "Token validation failed: no organization in token."
    assert error.hint == f"Log in to an organization in the nara webapp before generating the token. {SAVE}"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "the token is empty"),
        ("abc", "a token has three parts separated by dots, this one has 1"),
        ("a.b", "a token has three parts separated by dots, this one has 2"),
        ("a.b.c.d.e", "a token has three parts separated by dots, this one has 5"),
        ("x" * (MAX_TOKEN_CHARACTERS + 1), f"the token is longer than {MAX_TOKEN_CHARACTERS} characters"),
        ("..", "its first part is not an encoded JSON object"),
        ("a.b.c", "its first part is not an encoded JSON object"),
        ("ü.b.c", "its first part is not an encoded JSON object"),
        (made([], {}), "its first part is not an encoded JSON object"),
        (made({"alg": "EdDSA"}, b"\xff\xfe"), "its second part is not an encoded JSON object"),
        (made({"alg": "EdDSA"}, b"[" * 9000), "its second part is not an encoded JSON object"),
        (made({"alg": "EdDSA"}, "text"), "its second part is not an encoded JSON object"),
        (made({"alg": "EdDSA"}, {}) + "=", "it is not signed"),
        (made({"alg": "EdDSA"}, {}, ""), "it is not signed"),
        (made({"alg": "EdDSA"}, {}, "a+b/"), "it is not signed"),
        (made({"alg": "none"}, {"orgId": "org_1"}), "it is not signed"),
        (made({"alg": "None"}, {"orgId": "org_1"}), "it is not signed"),
        (made({}, {"orgId": "org_1"}), "it is not signed"),
        (made({"alg": "EdDSA"}, {"exp": "tomorrow"}), "its exp claim is not a time"),
        (made({"alg": "EdDSA"}, {"exp": True}), "its exp claim is not a time"),
        (made({"alg": "EdDSA"}, b'{"exp": NaN}'), "its exp claim is not a time"),
        (made({"alg": "EdDSA"}, {"exp": 10**30}), "its exp claim is not a time"),
        (made({"alg": "EdDSA"}, {"iat": -1}), "its iat claim is not a time"),
        (made({"alg": "EdDSA"}, {"nbf": []}), "its nbf claim is not a time"),
    ],
)
def test_a_token_of_a_wrong_format(token: str, reason: str) -> None:
    error = refused(token)
    assert error.code == "token_invalid"
    assert error.message == f"Token validation failed: {reason}."
    assert error.hint == SAVE


@pytest.mark.parametrize(
    ("age_s", "said"),
    [
        (61, "2027-01-15T07:58:59Z (1 minute ago)"),
        (150, "2027-01-15T07:57:30Z (2 minutes ago)"),
        (3600, "2027-01-15T07:00:00Z (1 hour ago)"),
        (3 * 86_400, "2027-01-12T08:00:00Z (3 days ago)"),
        (NOW, "1970-01-01T00:00:00Z (20833 days ago)"),
    ],
)
def test_an_expired_token_says_since_when(age_s: float, said: str) -> None:
    error = refused(signed(orgId="org_1", exp=int(NOW - age_s)))
    assert error.code == "token_expired"
    assert error.message == f"Token has expired at {said}."
    assert error.hint == SAVE


def test_a_short_leeway_speaks_of_seconds() -> None:
    with pytest.raises(NeedsLogin, match=r"\(5 seconds ago\)\.$"):
        check_token(signed(orgId="org_1", exp=int(NOW - 5)), now=NOW, leeway_s=0)


def test_expiry_is_tolerated_within_the_leeway() -> None:
    token = signed(orgId="org_1", exp=int(NOW - 60))
    assert check_token(token, now=NOW).expires_at == NOW - 60
    with pytest.raises(NeedsLogin, match="Token has expired"):
        check_token(token, now=NOW + 1)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_that_is_behind_is_named(claim: str) -> None:
    assert check_token(signed(orgId="org_1", **{claim: int(NOW + 60)}), now=NOW)
    error = refused(signed(orgId="org_1", **{claim: int(NOW + 7200)}))
    assert error.code == "clock_skew"
    assert error.message == (
        "Token validation failed: the token counts from 2027-01-15T10:00:00Z, but this machine's clock says "
        "2027-01-15T08:00:00Z."
    )
    assert error.hint == "Set this machine's clock; if it is right, save a token that counts already."


def test_the_checks_come_in_the_documented_order() -> None:
    assert refused(signed(exp=int(NOW - 7200))).code == "token_expired"
    assert refused(signed(exp="x")).code == "token_invalid"


def test_the_email_does_not_show_in_the_repr() -> None:
    info = check_token(signed(orgId="org_1", email="ada@example.org"), now=NOW)
    assert "ada@example.org" not in repr(info)


claims = st.dictionaries(
    st.sampled_from(["exp", "iat", "nbf", "orgId", "orgs", "sub", "email"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dictionaries(st.text(), st.none()),
)
tokens = st.text() | st.tuples(st.text(), st.binary(), st.text()).map(
    lambda parts: f"{parts[0]}.{encoded(parts[1])}.{parts[2]}"
)


@settings(deadline=None, database=None, max_examples=300)
@given(tokens | claims.map(lambda found: made({"alg": "EdDSA"}, found)), st.floats(0, 4e9))
def test_any_token_is_taken_or_refused_in_one_sentence(token: str, now: float) -> None:
    try:
        info = check_token(token, now=now)
    except NeedsLogin as error:
        assert error.message.startswith(("Token validation failed: ", "Token has expired "))
        assert error.message.endswith(".")
        assert error.hint
    else:
        assert info.organizations
