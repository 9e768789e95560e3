"""Bodies of the OAuth endpoints, named as the standards name them: RFC 6749, 7009, 8414, 8628.

Requests are forms; a field that is not known is ignored (RFC 6749, section 3.1).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
CLIENT_ID = "edge-connector"
"""The one public client; whoever it runs for is decided by a person."""

_Text = Annotated[str, Meta(max_length=200)]
_Secret = Annotated[str, Meta(max_length=16 * 1024)]


class DeviceAuthorizationRequest(msgspec.Struct, kw_only=True):
    """A connector asks to be approved (RFC 8628, section 3.1); the page shows `client_name` and `host`."""

    client_id: _Text
    scope: _Text = ""
    client_name: _Text = ""
    host: _Text = ""
    instance_id: _Text = ""


class DeviceAuthorization(msgspec.Struct, kw_only=True):
    """What the connector shows and how it goes on (RFC 8628, section 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str = ""
    expires_in: float
    interval: float = 5


class TokenRequest(msgspec.Struct, kw_only=True):
    """Asks for tokens with a device code (RFC 8628, section 3.4) or a refresh token (RFC 6749, section 6)."""

    grant_type: _Text
    client_id: _Text = ""
    device_code: _Text = ""
    refresh_token: _Text = ""
    scope: _Text = ""


class TokenReply(msgspec.Struct, kw_only=True):
    """Tokens (RFC 6749, section 5.1). The refresh token is good for one use."""

    access_token: str
    token_type: str
    expires_in: float
    refresh_token: str = ""
    organization_id: str = ""


class RevokeRequest(msgspec.Struct, kw_only=True):
    """Ends the sign-in that a token belongs to (RFC 7009, section 2.1)."""

    token: _Secret
    token_type_hint: _Text = ""
    client_id: _Text = ""


class Revoked(msgspec.Struct, kw_only=True):
    """Nothing to say: an unknown token is no error (RFC 7009, section 2.2)."""


class OAuthError(msgspec.Struct, kw_only=True):
    """Why an OAuth endpoint refuses (RFC 6749, section 5.2)."""

    error: str
    error_description: str = ""


class ServerMetadata(msgspec.Struct, kw_only=True):
    """What this authorization server offers (RFC 8414, section 2)."""

    issuer: str
    device_authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    service_documentation: str
