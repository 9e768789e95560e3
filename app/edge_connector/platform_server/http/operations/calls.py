"""Operations on tools and calls, except the start of a call."""

from __future__ import annotations

from edge_connector.platform_api import models as api
from edge_connector.platform_server.http.api_request import ApiRequest
from edge_connector.platform_server.http.call_documents import document_of, document_of_row
from edge_connector.platform_server.http.operations.deployments import found_deployment
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.refusals import not_found
from edge_connector.platform_server.store.records import CallFilter
from edge_connector.wire import messages as m


class CallOperations:
    """Tools that can be called, and the calls that were made."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def listTools(self, request: ApiRequest) -> api.ToolList:
        query: api.ToolQuery = request.query
        states = list(self._parts.fleet.of_organization(request.principal.organization_id))
        if query.deployment:
            states = [found_deployment(self._parts.fleet, request.principal.organization_id, query.deployment)]
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
