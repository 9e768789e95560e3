"""What each operation of the API does, except the fast call endpoint; one method an operation, found by its name."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from edge_connector.core.clock import to_iso
from edge_connector.core.metrics import exposition
from edge_connector.platform_api import models as api
from edge_connector.platform_api.openapi import openapi_document
from edge_connector.platform_server.fleet import DeploymentState
from edge_connector.platform_server.http.call_documents import document_of, document_of_row
from edge_connector.platform_server.identity import Principal, digest_of, new_id, new_secret
from edge_connector.platform_server.metrics import collect
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import Refused, forbidden, not_found, too_many_attempts
from edge_connector.platform_server.store.records import CallFilter, ServerTokenRow, UserRow
from edge_connector.wire import messages as m


@dataclass(slots=True)
class ApiRequest:
    """A request whose credentials, body and parameters were checked against its operation."""

    caller: Principal | None
    body: Any
    query: Any
    path: dict[str, str]
    address: str

    @property
    def principal(self) -> Principal:
        assert self.caller is not None, "only public operations have no principal"
        return self.caller


class Operations:
    """The operations, one coroutine each, named as in the table."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._openapi = openapi_document(parts.api_url)

    # ---- public

    async def livez(self, request: ApiRequest) -> api.Health:
        return api.Health()

    async def healthz(self, request: ApiRequest) -> api.Health:
        if self._parts.router.is_stopping:
            raise Refused(503, "platform_stopping", "The platform is stopping.")
        return api.Health()

    async def metrics(self, request: ApiRequest) -> bytes:
        # In a thread: the first answer loads the library.
        return await asyncio.to_thread(exposition, collect(self._parts))

    async def openapi(self, request: ApiRequest) -> dict[str, Any]:
        return self._openapi

    async def jwks(self, request: ApiRequest) -> api.Jwks:
        return self._parts.key.jwks()

    async def setup(self, request: ApiRequest) -> api.SetupReply:
        try:
            return await self._parts.first_start.set_up(request.body)
        except Refused as error:
            if error.status == 403 and not self._parts.identity.count_failure(request.address):
                raise too_many_attempts() from error
            raise

    # ---- identity

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
        body: api.SessionTokenRequest = request.body
        token, expires_at = self._parts.identity.make_session_token(
            user, issuer=self._parts.api_url, lifetime_s=body.expires_in_s
        )
        return api.SessionTokenReply(token=token, expires_at=expires_at)

    def _user_of(self, caller: Principal) -> UserRow:
        user = self._parts.identity.users.get(caller.user_id)
        if user is None:
            raise forbidden("There is no user behind these credentials.")
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
                    last_used_at=_stamp(token.last_used_at),
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
        return api.NewServerToken(id=row.id, name=row.name, token=secret, created_at=to_iso(row.created_at))

    async def revokeServerToken(self, request: ApiRequest) -> api.Empty:
        identity = self._parts.identity
        token = identity.server_tokens.get(request.path["id"])
        if token is None or token.organization_id != request.principal.organization_id:
            raise not_found("server_token", request.path["id"])
        await self._parts.store.remove_server_token(token.id)
        if token.id in identity.server_tokens:
            identity.remove_server_token(token.id)
        self._parts.tool_rpc.close_callers(token.organization_id)
        return api.Empty()

    # ---- deployments

    async def listDeployments(self, request: ApiRequest) -> api.DeploymentList:
        states = self._parts.fleet.of_organization(request.principal.organization_id)
        return api.DeploymentList(deployments=[_deployment(state) for state in states])

    async def getDeployment(self, request: ApiRequest) -> api.Deployment:
        return _deployment(self._deployment(request))

    async def createDeployment(self, request: ApiRequest) -> api.NewDeployment:
        body: api.DeploymentRequest = request.body
        state, secret = await self._parts.deployments.create(
            request.principal.organization_id, name=body.name, description=body.description, client_type=body.type
        )
        return api.NewDeployment(id=state.row.id, name=state.row.name, secret=secret)

    async def deleteDeployment(self, request: ApiRequest) -> api.Empty:
        await self._parts.deployments.delete(self._deployment(request))
        return api.Empty()

    async def rotateDeploymentSecret(self, request: ApiRequest) -> api.NewDeployment:
        state = self._deployment(request)
        secret = await self._parts.deployments.rotate_secret(state)
        return api.NewDeployment(id=state.row.id, name=state.row.name, secret=secret)

    def _deployment(self, request: ApiRequest, name: str = "") -> DeploymentState:
        wanted = name or request.path["id"]
        state = self._parts.fleet.find(request.principal.organization_id, wanted)
        if state is None:
            raise not_found("deployment", wanted)
        return state

    # ---- tools and calls

    async def listTools(self, request: ApiRequest) -> api.ToolList:
        query: api.ToolQuery = request.query
        states = list(self._parts.fleet.of_organization(request.principal.organization_id))
        if query.deployment:
            states = [self._deployment(request, query.deployment)]
        tools: dict[str, api.Tool] = {}
        for state in states:
            if state.is_serving:
                for spec in state.tools.values():
                    known = tools.setdefault(spec.name, _tool(spec))
                    known.deployments.append(state.row.id)
        return api.ToolList(tools=[tools[name] for name in sorted(tools)])

    async def getCall(self, request: ApiRequest) -> api.Call:
        organization_id, call_id = request.principal.organization_id, request.path["id"]
        if (call := self._parts.router.get(organization_id, call_id)) is not None:
            return document_of(call)
        await self._settle()
        row = await self._parts.store.call(organization_id, call_id)
        if row is None:
            raise not_found("call", call_id)
        return document_of_row(row)

    async def cancelCall(self, request: ApiRequest) -> api.Call:
        call = self._parts.router.get(request.principal.organization_id, request.path["id"])
        if call is None:
            # An ended call has its outcome already: asking again is no error.
            return await self.getCall(request)
        self._parts.router.cancel(call, f"cancelled by {request.principal.name}")
        return document_of(call)

    async def listCalls(self, request: ApiRequest) -> api.CallList:
        query: api.CallQuery = request.query
        organization_id = request.principal.organization_id
        await self._settle()
        deployment_id = query.deployment
        if deployment_id and (state := self._parts.fleet.find(organization_id, deployment_id)) is not None:
            deployment_id = state.row.id
        rows = await self._parts.store.calls(
            CallFilter(
                organization_id=organization_id,
                limit=query.limit,
                before=query.before,
                tool=query.tool,
                outcome=query.outcome,
                deployment_id=deployment_id,
            )
        )
        return api.CallList(calls=[document_of_row(row) for row in rows])

    async def uploadResult(self, request: ApiRequest) -> api.StoredResult:
        return await self._parts.uploads.take(request.principal, request.path["id"], request.query.sha256, request.body)

    async def _settle(self) -> None:
        self._parts.journal.flush()
        await self._parts.store.settle()


def _stamp(wall_s: float | None) -> str | None:
    return None if wall_s is None else to_iso(wall_s)


def _tool(spec: m.ToolSpec) -> api.Tool:
    return api.Tool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        parameters=spec.parameters,
        result=spec.result,
        risk=spec.risk,
        repeat=spec.repeat,
        source=spec.source,
        timeout_ms=spec.timeout_ms,
        deployments=[],
    )


def _deployment(state: DeploymentState) -> api.Deployment:
    row = state.row
    return api.Deployment(
        id=row.id,
        name=row.name,
        description=row.description,
        type=row.client_type,  # type: ignore[arg-type]
        runtime_kind=row.runtime_kind,  # type: ignore[arg-type]
        status="Active" if state.link is not None else "Inactive",
        last_seen_at=_stamp(state.last_seen_at()),
        created_at=to_iso(row.created_at),
        active_connectors=1 if state.link is not None else 0,
        connectors=[_connector(state)] if state.link is not None or state.connector.last_seen_at is not None else [],
    )


def _connector(state: DeploymentState) -> api.Connector:
    known, link = state.connector, state.link
    shown = api.Connector(
        id=known.id,
        online=link is not None,
        state=known.offline_reason if known.offline_reason in _REASONS else "offline",
        host=known.host,
        version=known.version,
        platform=known.platform,
        last_seen_at=_stamp(state.last_seen_at()),
        offline_reason=known.offline_reason,
        open_calls=state.open_calls,
        tool_count=len(state.tools),
    )
    if link is None:
        return shown
    shown.state = state.leaving or ("working" if state.registered else "connecting")
    shown.connected_at = to_iso(link.connected_at)
    shown.round_trip_ms = None if link.round_trip_s is None else round(link.round_trip_s * 1000, 3)
    if (status := link.status) is not None:
        shown.state = state.leaving or status.state
        # The age grows between two reports.
        waited_ms = max(0, round((time.time() - link.last_status_at) * 1000))
        shown.proof_age_ms = status.proof_age_ms + waited_ms if status.proof_age_ms >= 0 else -1
        shown.problems = [
            api.Problem(code=p.code, sentence=p.sentence, severity=p.severity, since=p.since) for p in status.problems
        ]
        shown.load = api.ConnectorLoad(running=status.load.running, queued=status.load.queued, slots=status.load.slots)
    if (bundle := link.bundle) is not None:
        shown.bundle = api.BundleRef(
            bundle_id=bundle.bundle_id, name=bundle.name, version=bundle.version, checksum=bundle.checksum
        )
    return shown


_REASONS = frozenset({"asleep", "paused", "stopping", "restarting"})
