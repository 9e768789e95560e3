"""Operations on credentials: whose they are, session tokens, server tokens."""

from __future__ import annotations

from edge_connector.core.clock import to_iso
from edge_connector.platform_api import models as api
from edge_connector.platform_server.http.api_request import ApiRequest, stamp
from edge_connector.platform_server.identity import Principal, digest_of, new_id, new_secret
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import forbidden, not_found
from edge_connector.platform_server.store.people import UserRow
from edge_connector.platform_server.store.records import ServerTokenRow


class CredentialOperations:
    """Credentials of programs and people, made and revoked by request."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def whoami(self, request: ApiRequest) -> api.Whoami:
        caller = request.principal
        organization = self._parts.identity.organizations[caller.organization_id]
        return api.Whoami(
            kind=caller.kind,  # type: ignore[arg-type]
            name=caller.name,
            organization_id=organization.id,
            organization=organization.name,
            user_id=caller.user_id,
            email=caller.email,
            deployment_id=caller.id if caller.kind == "deployment" else "",
            scopes=sorted(scope.value for scope in caller.scopes),
        )

    async def createSessionToken(self, request: ApiRequest) -> api.SessionTokenReply:
        if request.principal.kind != "server_token":
            # Whoever stole a session token could make it last for ever.
            raise forbidden("A session token does not make another one.", hint="Use a server token, or sign in again.")
        user = self._user_of(request.principal)
        organization_id = request.principal.organization_id
        body: api.SessionTokenRequest = request.body
        token, expires_at = self._parts.identity.make_session_token(
            user, organization_id, issuer=self._parts.api_url, lifetime_s=body.expires_in_s
        )
        await self._parts.audit.note(
            request.principal, "session_token.created", ("user", user.id, user.email), address=request.address
        )
        return api.SessionTokenReply(token=token, expires_at=expires_at)

    def _user_of(self, caller: Principal) -> UserRow:
        user = self._parts.identity.users.get(caller.user_id)
        if user is None or not self._parts.identity.role_of(user.id, caller.organization_id):
            raise forbidden("There is no member of the organization behind these credentials.")
        return user

    async def listServerTokens(self, request: ApiRequest) -> api.ServerTokenList:
        identity = self._parts.identity
        # Puts the moments of use that are only in memory on the rows.
        self._parts.store.note_token_use(identity.take_uses())
        own = [t for t in identity.server_tokens.values() if t.organization_id == request.principal.organization_id]
        return api.ServerTokenList(
            tokens=[
                api.ServerToken(
                    id=token.id,
                    name=token.name,
                    created_at=to_iso(token.created_at),
                    last_used_at=stamp(token.last_used_at),
                )
                for token in sorted(own, key=lambda t: (t.created_at, t.id))
            ]
        )

    async def createServerToken(self, request: ApiRequest) -> api.NewServerToken:
        secret = new_secret("ect")
        row = ServerTokenRow(
            id=new_id("tok"),
            organization_id=request.principal.organization_id,
            user_id=request.principal.user_id,
            name=request.body.name,
            digest=digest_of(secret),
            created_at=self._parts.clock.wall(),
        )
        await self._parts.store.add_server_token(row)
        self._parts.identity.add_server_token(row)
        await self._note(request, "server_token.created", row)
        return api.NewServerToken(id=row.id, name=row.name, token=secret, created_at=to_iso(row.created_at))

    async def revokeServerToken(self, request: ApiRequest) -> api.Empty:
        identity = self._parts.identity
        token = identity.server_tokens.get(request.path["id"])
        if token is None or token.organization_id != request.principal.organization_id:
            raise not_found("server_token", request.path["id"])
        await self._parts.store.remove_server_token(token.id)
        if token.id in identity.server_tokens:
            identity.remove_server_token(token.id)
            await self._note(request, "server_token.revoked", token)
        return api.Empty()

    async def _note(self, request: ApiRequest, action: str, token: ServerTokenRow) -> None:
        subject = ("server_token", token.id, token.name)
        await self._parts.audit.note(request.principal, action, subject, address=request.address)
