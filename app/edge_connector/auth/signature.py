"""Checks a token's signature by the keys that the platform publishes (RFC 7517), where they can be had."""

from __future__ import annotations

import logging
from typing import Any

from edge_connector.auth.claims import save_hint
from edge_connector.core.errors import EdgeError, NeedsLogin
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.operations import JWKS, Operation

log = logging.getLogger(__name__)

KEYS: Operation[None, dict[str, Any]] = Operation(
    JWKS.name, JWKS.method, JWKS.path, None, dict[str, Any], JWKS.scope, JWKS.summary
)
"""Any kind of key: other platforms sign with other ones."""
SYMMETRIC = "HS"
"""Algorithms of these names have no public key; one that is published proves nothing."""


async def check_signature(token: str, client: PlatformClient, *, save_to: str = "") -> bool:
    """Whether the signature was checked; False when the keys cannot be had now.

    Args:
        token: one that passed the other checks.
        client: of the platform that is said to have signed it.
        save_to: where a fresh token belongs, for the hint.

    Raises:
        NeedsLogin: `token_invalid`, it is not signed by that platform.
    """
    try:
        published = await client.call(KEYS)
    except EdgeError as error:
        log.info("signature not checked, the platform's keys cannot be had cause=%s", error.code)
        return False
    import jwt

    try:
        keys = jwt.PyJWKSet.from_dict(published)
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
        log.info("signature not checked, the platform publishes no usable keys")
        return False
    wanted = jwt.get_unverified_header(token).get("kid")
    for key in keys.keys:
        if wanted not in (None, key.key_id) or key.algorithm_name.startswith(SYMMETRIC):
            continue
        try:
            # Times and organization were checked before, with words of their own.
            options: Any = dict.fromkeys(("verify_exp", "verify_iat", "verify_nbf", "verify_aud"), False)
            jwt.decode(token, key, algorithms=[key.algorithm_name], options=options)
        except jwt.PyJWTError:
            continue
        return True
    raise NeedsLogin(
        "token_invalid",
        f"Token validation failed: its signature is not one of the platform at {client.base_url}.",
        hint=save_hint(save_to),
    )
