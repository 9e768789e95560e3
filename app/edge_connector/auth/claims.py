"""What a token says about itself, and whether it may be used: format, expiry, clock, organization.

Pure, and no proof of anything: the signature is checked by the platform, which alone decides what a token may do. No
message quotes the token.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_connector.core.clock import to_iso
from edge_connector.core.errors import NeedsLogin

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TOKEN_CHARACTERS = 16 * 1024
"""A token travels in one HTTP header; servers refuse headers above 8 to 16 KiB."""

LEEWAY_S = 60.0
"""How far the clocks of this machine and the issuer may be apart (RFC 7519 section 4.1.4 allows a small leeway)."""

_LAST_MOMENT_S = 253_402_300_799  # 9999-12-31T23:59:59Z, the last one RFC 3339 can write


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What a usable token says.

    Attributes:
        organization_id: the organization it acts for; None when it names several and chooses none.
        organizations: every organization it names, in order.
        user: the `sub` claim; empty when missing.
        email: empty when missing.
        expires_at: wall-clock seconds; None when it never expires.
        issued_at: wall-clock seconds; None when not said.
    """

    organization_id: str | None
    organizations: tuple[str, ...]
    user: str = ""
    email: str = field(default="", repr=False)
    expires_at: float | None = None
    issued_at: float | None = None


def check_token(
    token: str, *, now: float, leeway_s: float = LEEWAY_S, save_to: str = "", is_fresh: bool = False
) -> TokenInfo:
    """What `token` says, after the documented checks in their order: format, expiry, clock, organization.

    Args:
        now: wall-clock seconds.
        leeway_s: how far the clocks may be apart.
        save_to: where a fresh token belongs, for the hint.
        is_fresh: whether the platform issued it a moment ago; one that seems to have expired means a wrong clock then.

    Raises:
        NeedsLogin: with code `token_invalid`, `token_expired`, `clock_skew` or `token_without_organization`.
    """
    cure = save_hint(save_to)
    claims = _read_claims(token, cure)
    expires_at, issued_at, not_before = (_moment(claims, name, cure) for name in ("exp", "iat", "nbf"))
    if expires_at is not None and now > expires_at + leeway_s:
        if is_fresh:
            raise NeedsLogin(
                "clock_skew",
                f"Token validation failed: the token was issued now and ends at {_written(expires_at)}, but this "
                f"machine's clock says {_written(now)}.",
                hint="Set this machine's clock, then sign in again.",
            )
        raise NeedsLogin(
            "token_expired", f"Token has expired at {_written(expires_at)} ({_ago(now - expires_at)} ago).", hint=cure
        )
    starts_at = max((moment for moment in (issued_at, not_before) if moment is not None), default=now)
    if starts_at > now + leeway_s:
        raise NeedsLogin(
            "clock_skew",
            f"Token validation failed: the token counts from {_written(starts_at)}, but this machine's clock says "
            f"{_written(now)}.",
            hint="Set this machine's clock; if it is right, save a token that counts already.",
        )
    chosen, organizations = _organizations(claims)
    if not organizations:
        raise NeedsLogin(
            "token_without_organization",
            "Token validation failed: no organization in token.",
            hint=f"Log in to an organization in the nara webapp before generating the token. {cure}",
        )
    return TokenInfo(chosen, organizations, _text(claims, "sub"), _text(claims, "email"), expires_at, issued_at)


def save_hint(save_to: str) -> str:
    """The next step where a fresh token is needed; `save_to` is where it will be kept."""
    kept = f" It is kept in {save_to}." if save_to else ""
    return f"Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`.{kept}"


def _read_claims(token: str, cure: str) -> Mapping[str, object]:
    """The payload of a signed JWT in compact form (RFC 7515 section 7.1), unverified."""

    def invalid(reason: str) -> NeedsLogin:
        return NeedsLogin("token_invalid", f"Token validation failed: {reason}.", hint=cure)

    if not token:
        raise invalid("the token is empty")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise invalid(f"the token is longer than {MAX_TOKEN_CHARACTERS} characters")
    parts = token.split(".")
    if len(parts) != 3:
        raise invalid(f"a token has three parts separated by dots, this one has {len(parts)}")
    header = _decode_object(parts[0])
    if header is None:
        raise invalid("its first part is not an encoded JSON object")
    claims = _decode_object(parts[1])
    if claims is None:
        raise invalid("its second part is not an encoded JSON object")
    if _decode(parts[2]) is None or str(header.get("alg", "none")).lower() == "none":
        raise invalid("it is not signed")
    return claims


def _decode(part: str) -> bytes | None:
    # RFC 7515 section 2: base64url without padding. Python's decoder is more generous than that.
    if not re.fullmatch(r"[A-Za-z0-9_-]+", part):
        return None
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return None


def _decode_object(part: str) -> Mapping[str, object] | None:
    data = _decode(part)
    if not data:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        return None
    return document if isinstance(document, dict) else None


def _moment(claims: Mapping[str, object], name: str, cure: str) -> float | None:
    """A NumericDate claim (RFC 7519 section 2) in seconds."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST_MOMENT_S:
        return float(value)
    raise NeedsLogin("token_invalid", f"Token validation failed: its {name} claim is not a time.", hint=cure)


def _organizations(claims: Mapping[str, object]) -> tuple[str | None, tuple[str, ...]]:
    """The chosen organization and all of them: an `orgId` claim, or an `orgs` map with the ids as keys."""
    chosen = _text(claims, "orgId") or None
    named = claims.get("orgs")
    listed = [key for key in named if key.strip()] if isinstance(named, dict) else []
    if chosen is None and len(listed) == 1:
        chosen = listed[0]
    return chosen, tuple(dict.fromkeys([*([chosen] if chosen else []), *listed]))


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return value.strip() if isinstance(value, str) else ""


def _written(moment_s: float) -> str:
    return to_iso(math.floor(moment_s)).replace(".000Z", "Z")


def _ago(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{int(seconds)} seconds"
