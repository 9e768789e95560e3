"""The platform's OAuth 2.0 endpoints: device authorization (RFC 8628), refresh (RFC 6749), revocation (RFC 7009).

They take forms and answer errors in their own shape, unlike the operations of the table. It asks once and waits for
nothing: when to ask again is decided in `auth.device`.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from edge_connector.core.errors import EdgeError, NotConnected
from edge_connector.platform_api.client import PlatformClient

DEVICE_AUTHORIZATION_PATH = "/oauth/device_authorization"
TOKEN_PATH = "/oauth/token"
REVOCATION_PATH = "/oauth/revoke"
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
CLIENT_ID = "edge-connector"

Seconds = Annotated[float, Meta(gt=0)]
Text = Annotated[str, Meta(min_length=1)]
R = TypeVar("R", bound=msgspec.Struct)


class DeviceAuthorization(msgspec.Struct, kw_only=True):
    """The answer of RFC 8628 section 3.2; durations in seconds."""

    device_code: Text
    user_code: Text
    verification_uri: Text
    verification_uri_complete: str = ""
    expires_in: Seconds
    interval: Seconds = 5.0


class TokenAnswer(msgspec.Struct, kw_only=True):
    """The answer of RFC 6749 section 5.1."""

    access_token: Text
    refresh_token: str = ""
    expires_in: Seconds | None = None


class _ErrorAnswer(msgspec.Struct):
    error: Text
    error_description: str = ""


class OAuthRefusal(EdgeError):
    """The endpoint said no (RFC 6749 section 5.2, RFC 8628 section 3.5).

    Attributes:
        error: the registered word, e.g. `authorization_pending` or `invalid_grant`.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"oauth_{error}", description or error.replace("_", " "))
        self.error = error


async def begin_device_sign_in(client: PlatformClient, *, host: str, instance_id: str) -> DeviceAuthorization:
    """Ask for a code that a person can approve.

    Args:
        host: this machine's name, shown on the approval page.

    Raises:
        OAuthRefusal, NotConnected, UserError: as of the other functions here.
    """
    fields = {"client_id": CLIENT_ID, "host": host, "instance_id": instance_id}
    return await _ask(client, DEVICE_AUTHORIZATION_PATH, fields, DeviceAuthorization)


async def poll_device_sign_in(client: PlatformClient, device_code: str) -> TokenAnswer:
    """Ask whether the code was approved.

    Raises:
        OAuthRefusal: not yet, or never.
        NotConnected: no answer now.
        UserError: `not_a_platform`.
    """
    fields = {"grant_type": DEVICE_CODE_GRANT, "device_code": device_code, "client_id": CLIENT_ID}
    return await _ask(client, TOKEN_PATH, fields, TokenAnswer)


async def refresh(client: PlatformClient, refresh_token: str) -> TokenAnswer:
    """A new access token for a refresh token, which is used up by it.

    Raises:
        OAuthRefusal: it is not taken any more.
        NotConnected: no answer now.
        UserError: `not_a_platform`.
    """
    fields = {"grant_type": REFRESH_GRANT, "refresh_token": refresh_token, "client_id": CLIENT_ID}
    return await _ask(client, TOKEN_PATH, fields, TokenAnswer)


async def revoke(client: PlatformClient, token: str) -> None:
    """End a refresh token and what was made from it; one that is unknown is fine (RFC 7009 section 2.2).

    Raises:
        OAuthRefusal, NotConnected, UserError: as of `refresh`.
    """
    status, body = await client.post_form(
        REVOCATION_PATH, {"token": token, "token_type_hint": "refresh_token", "client_id": CLIENT_ID}
    )
    if status >= 400:
        raise _refusal(client, status, body)


async def _ask(client: PlatformClient, path: str, fields: dict[str, str], answer: type[R]) -> R:
    status, body = await client.post_form(path, fields)
    if status >= 400:
        raise _refusal(client, status, body)
    try:
        return msgspec.json.decode(body, type=answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise client.not_a_platform() from error


def _refusal(client: PlatformClient, status: int, body: bytes) -> EdgeError:
    if status == 429 or status >= 500:
        return NotConnected(
            "platform_busy", f"{client.base_url} could not answer now (status {status}).", hint="It is asked again."
        )
    try:
        said = msgspec.json.decode(body, type=_ErrorAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return client.not_a_platform()
    return OAuthRefusal(said.error[:100], said.error_description[:300])
