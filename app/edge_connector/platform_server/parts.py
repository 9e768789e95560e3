"""The parts of a running platform, as the HTTP side is given them. It makes none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_connector.core.clock import Clock
from edge_connector.platform_server.deployments import Deployments
from edge_connector.platform_server.first_start import FirstStart
from edge_connector.platform_server.fleet import Fleet
from edge_connector.platform_server.http.hosts import HostCheck
from edge_connector.platform_server.identity import Identity
from edge_connector.platform_server.people.audit import Audit
from edge_connector.platform_server.people.devices import DeviceGrants
from edge_connector.platform_server.people.members import Members
from edge_connector.platform_server.people.sessions import Sessions
from edge_connector.platform_server.people.tokens import Tokens
from edge_connector.platform_server.results.store import ResultStore
from edge_connector.platform_server.results.upload import ResultUpload
from edge_connector.platform_server.signing import SigningKey
from edge_connector.platform_server.store.records import Store
from edge_connector.platform_server.tool_rpc.calls import CallRouter
from edge_connector.platform_server.tool_rpc.endpoint import ToolRpcEndpoint
from edge_connector.platform_server.tool_rpc.journal import CallJournal


@dataclass(slots=True)
class Parts:
    """Everything that lives as long as the server."""

    clock: Clock
    store: Store
    key: SigningKey
    fleet: Fleet
    identity: Identity
    deployments: Deployments
    audit: Audit
    tokens: Tokens
    sessions: Sessions
    members: Members
    devices: DeviceGrants
    journal: CallJournal
    router: CallRouter
    tool_rpc: ToolRpcEndpoint
    first_start: FirstStart
    store_file: Path
    results: ResultStore
    uploads: ResultUpload
    api_url: str
    rpc_url: str
    hosts: HostCheck
