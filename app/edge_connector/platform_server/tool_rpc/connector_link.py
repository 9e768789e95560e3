"""A connected connector: what it reports goes to the router and the fleet. It never decides which call goes where."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from edge_connector.platform_server.fleet import DeploymentState, Fleet
from edge_connector.platform_server.results.references import References
from edge_connector.platform_server.tool_rpc.calls import CallRouter
from edge_connector.platform_server.tool_rpc.connection import Connection
from edge_connector.platform_server.tool_rpc.journal import CallJournal
from edge_connector.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_TOOLS = 2_000
MAX_NAME = 200
RECEIPT_BYTES = 64
REJECTED_BYTES = 128
"""What an id in a receipt, and a tool that was not taken, count for besides their names."""


class ConnectorLink:
    """The platform's side of one connector; implements `Link` and `Peer`."""

    def __init__(
        self,
        connection: Connection,
        hello: m.Hello,
        state: DeploymentState,
        *,
        fleet: Fleet,
        router: CallRouter,
        journal: CallJournal,
        references: References,
        on_registered: Callable[[], None],
    ) -> None:
        self.connected_at = time.time()
        self.status: m.Status | None = None
        self.last_status_at = self.connected_at
        self.bundle: m.BundleInfo | None = None
        self.state = state
        self._connection = connection
        self._hello = hello
        self._fleet = fleet
        self._router = router
        self._journal = journal
        self._references = references
        self._on_registered = on_registered
        self._receipts: list[str] = []

    # ---- Link

    @property
    def queued_bytes(self) -> int:
        return self._connection.queued_bytes

    @property
    def instance_id(self) -> str:
        return self._hello.instance_id

    @property
    def host(self) -> str:
        return self._hello.agent.host if self._hello.agent is not None else ""

    @property
    def round_trip_s(self) -> float | None:
        return self._connection.session.round_trip_s

    @property
    def last_received_at(self) -> float:
        return self._connection.last_received_wall()

    def send(self, message: m.Message) -> None:
        self._connection.send(message)

    def request_close(self, code: int, reason: str) -> None:
        self._connection.request_close(code, reason)

    # ---- Peer

    def handle(self, message: m.Message) -> None:
        kind = type(message)
        if kind is m.Result:
            assert isinstance(message, m.Result)
            self._router.result(self.state, message)
            self._journal.when_kept(self._confirm, message.id)
        elif kind is m.Failure:
            assert isinstance(message, m.Failure)
            if self._router.failure(self.state, message):
                self._journal.when_kept(self._confirm, message.id)
        else:
            self._handle_seldom(message)

    def _confirm(self, call_id: str) -> None:
        self._receipts.append(call_id)
        self._connection.count(len(call_id) + RECEIPT_BYTES)
        self._connection.wake()

    def _handle_seldom(self, message: m.Message) -> None:
        if isinstance(message, m.ResultReference):
            self._references.resolve(self.state.row.id, message, self.handle)
        elif isinstance(message, m.Accepted):
            self._router.accepted(self.state, message)
        elif isinstance(message, m.Progress):
            self._router.progress(self.state, message)
        elif isinstance(message, m.Status):
            self.status = message
            self.last_status_at = time.time()
            self.bundle = message.bundle or self.bundle
        elif isinstance(message, m.Register):
            self._register(message)
        elif isinstance(message, m.Probe):
            self._router.probe(self, message.probe)
        elif isinstance(message, m.Goodbye):
            log.info("connector says goodbye deployment=%s reason=%s", self.state.row.id, message.reason)
            self._fleet.leave(self.state, self, message.reason[:100] or "stopping")
        elif isinstance(message, m.Webhook):
            self.send(m.WebhookReceipt(id=message.id, accepted=False, reason="no such webhook source"))

    def before_flush(self) -> None:
        if self._receipts:
            receipts, self._receipts = self._receipts, []
            self._connection.session.send(m.Receipt(ids=receipts))

    def closed(self, reason: str) -> None:
        self._on_registered()
        if self._fleet.detach(self.state, self, reason):
            log.info("connector offline deployment=%s reason=%s", self.state.row.id, reason)
        self._router.link_lost(self.state, self)

    # ---- registration

    def _register(self, register: m.Register) -> None:
        if self.state.link is not self:
            return
        tools: dict[str, m.ToolSpec] = {}
        rejected = []
        for tool in register.tools:
            problem = _problem_of(tool, tools)
            if problem:
                rejected.append(m.RejectedTool(name=tool.name[:MAX_NAME], reason=problem))
            else:
                # Copied, because a raw value keeps the whole frame it came in alive.
                tools[tool.name] = msgspec.structs.replace(
                    tool, parameters=tool.parameters.copy(), result=tool.result.copy()
                )
        self._connection.session.confirm(register, rejected)
        self._connection.count(sum(len(refused.name) + REJECTED_BYTES for refused in rejected))
        self._connection.wake()
        first = not self.state.registered
        self.bundle = register.bundle
        self._fleet.register(self.state, tools, register.runtime)
        self._on_registered()
        self._router.link_registered(self.state, self)
        if first:
            log.info(
                "connector online deployment=%s host=%s tools=%d",
                self.state.row.id,
                self.state.connector.host,
                len(tools),
            )


def _problem_of(tool: m.ToolSpec, others: dict[str, m.ToolSpec]) -> str:
    """Why the platform does not take this tool; empty when it does."""
    if not tool.name or len(tool.name) > MAX_NAME:
        return f"a name has 1 to {MAX_NAME} characters"
    if tool.name in others:
        return "the name is used twice"
    if len(others) >= MAX_TOOLS:
        return f"more than {MAX_TOOLS} tools"
    if not bytes(tool.parameters).lstrip().startswith((b"{", b"true")):
        return "the parameter schema is no JSON object"
    return ""
