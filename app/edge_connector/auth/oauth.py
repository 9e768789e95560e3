"""The connector's questions to the platform's OAuth 2.0 endpoints (RFC 8628, 6749, 7009).

It asks once and waits for nothing: when to ask again is decided in `auth.device`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_connector.core.errors import EdgeError, NotConnected, UserError
from edge_connector.platform_api import oauth as o
from edge_connector.platform_api.operations import DEVICE_AUTHORIZATION, OAUTH_REVOKE, OAUTH_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_connector.platform_api.client import PlatformClient

FOR_NOW = ("server_error", "temporarily_unavailable", "internal_error")
"""Refusals that say nothing about the sign-in (RFC 6749 section 4.1.2.1)."""
CLIENT_NAME = "Edge Connector"
"""What the approval page calls this program."""


class OAuthRefusal(EdgeError):
    """The endpoint said no (RFC 6749 section 5.2, RFC 8628 section 3.5).

    Attributes:
        error: the registered word, e.g. `authorization_pending` or `invalid_grant`.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"oauth_{error}", description)
        self.error = error


async def begin_device_sign_in(client: PlatformClient, *, host: str, instance_id: str) -> o.DeviceAuthorization:
    """Ask for a code that a person can approve.

    Args:
        host: this machine's name, shown on the approval page.

    Raises:
        OAuthRefusal: the platform does not want this client.
        NotConnected: no answer now.
        UserError: `not_a_platform`.
    """
    body = o.DeviceAuthorizationRequest(
        client_id=o.CLIENT_ID, client_name=CLIENT_NAME, host=host[:200], instance_id=instance_id
    )
    with _refusals():
        return await client.call(DEVICE_AUTHORIZATION, body)


async def poll_device_sign_in(client: PlatformClient, device_code: str) -> o.TokenReply:
    """Ask whether the code was approved.

    Raises:
        OAuthRefusal: not yet, or never.
        NotConnected: no answer now.
        UserError: `not_a_platform`.
    """
    body = o.TokenRequest(grant_type=o.DEVICE_CODE_GRANT, device_code=device_code, client_id=o.CLIENT_ID)
    with _refusals():
        return await client.call(OAUTH_TOKEN, body)


async def refresh(client: PlatformClient, refresh_token: str) -> o.TokenReply:
    """A new access token for a refresh token, which is used up by it.

    Raises:
        OAuthRefusal: it is not taken any more.
        NotConnected: no answer now.
        UserError: `not_a_platform`.
    """
    body = o.TokenRequest(grant_type=o.REFRESH_GRANT, refresh_token=refresh_token, client_id=o.CLIENT_ID)
    with _refusals():
        return await client.call(OAUTH_TOKEN, body)


async def revoke(client: PlatformClient, token: str) -> None:
    """End a refresh token and what was made from it; one that is unknown is fine (RFC 7009 section 2.2).

    Raises:
        OAuthRefusal, NotConnected, UserError: as of `refresh`.
    """
    with _refusals():
        await client.call(
            OAUTH_REVOKE, o.RevokeRequest(token=token, token_type_hint="refresh_token", client_id=o.CLIENT_ID)
        )


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if error.code == "not_a_platform":
            raise
        if error.code in FOR_NOW:
            raise NotConnected(error.code, error.message, hint="It is asked again.") from error
        raise OAuthRefusal(error.code[:100], error.message[:300]) from error
