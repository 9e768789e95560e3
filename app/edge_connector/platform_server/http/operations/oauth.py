"""The OAuth endpoints: device authorization, token, revocation, metadata. Refusals have the form of RFC 6749."""

from __future__ import annotations

from edge_connector.platform_api import oauth
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.people.refusals import OAuthRefused
from edge_connector.platform_server.people.tokens import TokenPair
from edge_connector.platform_server.refusals import too_many_attempts

DEVICE_PAGE = "/device"
"""Where a person types the code that the connector shows."""


class OAuthOperations:
    """One public client, no client secrets: the person decides."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        url = parts.api_url
        self._metadata = oauth.ServerMetadata(
            issuer=url,
            device_authorization_endpoint=url + ops.DEVICE_AUTHORIZATION.path,
            token_endpoint=url + ops.OAUTH_TOKEN.path,
            revocation_endpoint=url + ops.OAUTH_REVOKE.path,
            jwks_uri=url + ops.JWKS.path,
            grant_types_supported=[oauth.DEVICE_CODE_GRANT, oauth.REFRESH_GRANT],
            response_types_supported=[],
            token_endpoint_auth_methods_supported=["none"],
            revocation_endpoint_auth_methods_supported=["none"],
            service_documentation=url + ops.OPENAPI.path,
        )

    async def serverMetadata(self, request: ApiRequest) -> oauth.ServerMetadata:
        return self._metadata

    async def deviceAuthorization(self, request: ApiRequest) -> oauth.DeviceAuthorization:
        body: oauth.DeviceAuthorizationRequest = request.body
        _check_client(body.client_id)
        started = await self._parts.devices.start(
            client=body.client_name or body.client_id,
            host=body.host,
            instance_id=body.instance_id,
            scope=body.scope,
            address=request.address,
        )
        page = self._parts.api_url + DEVICE_PAGE
        return oauth.DeviceAuthorization(
            device_code=started.device_code,
            user_code=started.user_code,
            verification_uri=page,
            verification_uri_complete=f"{page}?user_code={started.user_code}",
            expires_in=started.expires_in_s,
            interval=started.interval_s,
        )

    async def oauthToken(self, request: ApiRequest) -> oauth.TokenReply:
        body: oauth.TokenRequest = request.body
        if body.client_id:
            _check_client(body.client_id)
        if body.grant_type == oauth.DEVICE_CODE_GRANT:
            if not body.client_id:
                # Required here (RFC 8628, section 3.4).
                raise OAuthRefused(400, "invalid_request", "The field client_id is missing.")
            return _reply(await self._attempt(request, _given(body.device_code, "device_code")))
        if body.grant_type == oauth.REFRESH_GRANT:
            return _reply(await self._attempt(request, _given(body.refresh_token, "refresh_token")))
        raise OAuthRefused(
            400, "unsupported_grant_type", f"The grant type {body.grant_type[:60]!r} is not offered; see the metadata."
        )

    async def _attempt(self, request: ApiRequest, secret: str) -> TokenPair:
        try:
            if request.body.grant_type == oauth.REFRESH_GRANT:
                return await self._parts.tokens.refresh(secret)
            return await self._parts.devices.poll(secret)
        except OAuthRefused as error:
            if error.code == "invalid_grant" and not self._parts.identity.count_failure(request.address):
                raise too_many_attempts() from error
            raise

    async def oauthRevoke(self, request: ApiRequest) -> oauth.Revoked:
        await self._parts.tokens.revoke(_given(request.body.token, "token"))
        return oauth.Revoked()


def _check_client(client_id: str) -> None:
    if client_id != oauth.CLIENT_ID:
        raise OAuthRefused(
            401, "invalid_client", f"The client {client_id[:60]!r} is not known; the client is {oauth.CLIENT_ID!r}."
        )


def _given(value: str, name: str) -> str:
    if not value:
        raise OAuthRefused(400, "invalid_request", f"The field {name} is missing.")
    return value


def _reply(pair: TokenPair) -> oauth.TokenReply:
    return oauth.TokenReply(
        access_token=pair.access_token,
        token_type="Bearer",
        expires_in=pair.expires_in_s,
        refresh_token=pair.refresh_token,
        organization_id=pair.organization_id,
    )
