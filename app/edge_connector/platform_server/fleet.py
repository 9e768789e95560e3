"""Deployments as the platform sees them now: live links, the tools they offer, and why one is not there.

Interface and implementation of the session directory: this one serves one process; a directory shared by several nodes
offers the same methods. It opens no sockets and routes no calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from edge_connector.core.clock import Clock, to_iso
from edge_connector.platform_server.store.records import ConnectorRow, DeploymentRow
from edge_connector.wire import messages as m

_tools_encoder = msgspec.json.Encoder()
_tools_decoder = msgspec.json.Decoder(list[m.ToolSpec])


class Link(Protocol):
    """A live session of a connector, as the rest of the platform uses it."""

    connected_at: float
    """Unix seconds."""
    status: m.Status | None
    last_status_at: float
    """Unix seconds."""
    bundle: m.BundleInfo | None

    @property
    def queued_bytes(self) -> int:
        """What is on its way to the socket."""
        ...

    @property
    def instance_id(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def round_trip_s(self) -> float | None: ...

    @property
    def last_received_at(self) -> float:
        """Unix seconds."""
        ...

    def send(self, message: m.Message) -> None:
        """Queue a message; it leaves with all others of this turn of the loop."""
        ...

    def request_close(self, code: int, reason: str) -> None:
        """End the session soon."""
        ...


class DeploymentState:
    """One deployment: its rows, its live link if there is one, and the tools of its last registration."""

    __slots__ = (
        "connector",
        "is_dirty",
        "leaving",
        "leaving_since",
        "link",
        "open_calls",
        "registered",
        "row",
        "tools",
    )

    def __init__(self, row: DeploymentRow, connector: ConnectorRow) -> None:
        self.row = row
        self.connector = connector
        self.link: Link | None = None
        self.registered = False
        """Whether the live link has registered its tools."""
        self.leaving = ""
        """Reason of a goodbye on the live link; no new calls then."""
        self.leaving_since = 0.0
        """Unix seconds of that goodbye."""
        self.open_calls = 0
        self.tools: dict[str, m.ToolSpec] = {tool.name: tool for tool in _tools_decoder.decode(connector.tools)}
        self.is_dirty = False

    @property
    def is_serving(self) -> bool:
        """Whether a call can be sent now."""
        return self.link is not None and self.registered and not self.leaving

    def last_seen_at(self) -> float | None:
        """Unix seconds of the last sign of life."""
        return self.link.last_received_at if self.link is not None else self.connector.last_seen_at

    def absence(self) -> str:
        """Why no call can be sent now, as the end of a sentence."""
        name = f"deployment {self.row.name!r}"
        if self.link is not None:
            if self.leaving:
                return f"{name} is {self.leaving} since {to_iso(self.leaving_since)}"
            return f"{name} has not registered its tools yet"
        seen = self.connector.last_seen_at
        if seen is None:
            return f"{name} has never connected"
        reason = self.connector.offline_reason or "offline"
        if reason in ("asleep", "paused", "stopping", "restarting"):
            word = "stopped" if reason == "stopping" else reason
            return f"{name} is {word} since {to_iso(seen)}"
        return f"{name} is offline since {to_iso(seen)}" + (f" ({reason})" if reason != "offline" else "")


class SessionDirectory(Protocol):
    """Where calls find connectors."""

    def find(self, organization_id: str, id_or_name: str) -> DeploymentState | None:
        """The deployment with this id, else the one with this name."""
        ...

    def of_organization(self, organization_id: str) -> Sequence[DeploymentState]:
        """All deployments, by name."""
        ...

    def offering(self, organization_id: str, tool: str) -> Iterable[DeploymentState]:
        """Deployments whose last registration has `tool`, connected or not."""
        ...

    def tool_names(self, organization_id: str) -> Iterable[str]:
        """All names that `offering` knows."""
        ...


class Fleet:
    """The session directory of a platform that is one process."""

    def __init__(self, deployments: Iterable[DeploymentRow], connectors: Iterable[ConnectorRow], clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, DeploymentState] = {}
        self._organizations: dict[str, dict[str, DeploymentState]] = {}
        self._offers: dict[str, dict[str, dict[str, DeploymentState]]] = {}
        edges = {connector.deployment_id: connector for connector in connectors}
        for row in deployments:
            self.add(row, edges[row.id])

    # ---- asking

    def by_id(self, deployment_id: str) -> DeploymentState | None:
        """The deployment of whatever organization."""
        return self._states.get(deployment_id)

    def find(self, organization_id: str, id_or_name: str) -> DeploymentState | None:
        own = self._organizations.get(organization_id, {})
        if (state := own.get(id_or_name)) is not None:
            return state
        return next((state for state in own.values() if state.row.name == id_or_name), None)

    def of_organization(self, organization_id: str) -> Sequence[DeploymentState]:
        own = self._organizations.get(organization_id, {})
        return sorted(own.values(), key=lambda state: (state.row.name, state.row.id))

    def offering(self, organization_id: str, tool: str) -> Iterable[DeploymentState]:
        offers = self._offers.get(organization_id)
        return offers.get(tool, {}).values() if offers else ()

    def tool_names(self, organization_id: str) -> Iterable[str]:
        return self._offers.get(organization_id, {}).keys()

    def of_user(self, organization_id: str, user_id: str, instance_id: str) -> DeploymentState | None:
        """The desktop deployment of this person's installation."""
        for state in self._organizations.get(organization_id, {}).values():
            if state.row.user_id == user_id and state.row.instance_id == instance_id:
                return state
        return None

    @property
    def size(self) -> int:
        """How many deployments there are."""
        return len(self._states)

    def live(self) -> list[DeploymentState]:
        """Deployments with a link."""
        return [state for state in self._states.values() if state.link is not None]

    # ---- changing

    def add(self, row: DeploymentRow, connector: ConnectorRow) -> DeploymentState:
        """A deployment of the store becomes known."""
        state = DeploymentState(row, connector)
        self._states[row.id] = state
        self._organizations.setdefault(row.organization_id, {})[row.id] = state
        self._index(state)
        return state

    def remove(self, state: DeploymentState) -> None:
        """The deployment is gone; its link is the caller's business."""
        self._unindex(state)
        del self._states[state.row.id]
        del self._organizations[state.row.organization_id][state.row.id]

    def attach(self, state: DeploymentState, link: Link) -> None:
        """`link` is the one live link from now on."""
        state.link = link
        state.registered = False
        state.leaving = ""
        state.connector.instance_id = link.instance_id
        state.connector.host = link.host
        state.connector.offline_reason = ""
        state.is_dirty = True

    def leave(self, state: DeploymentState, link: Link, reason: str) -> None:
        """The connector on `link` says that it takes no more calls."""
        if state.link is link:
            state.leaving = reason
            state.leaving_since = self._clock.wall()

    def detach(self, state: DeploymentState, link: Link, reason: str) -> bool:
        """`link` ended; False when another one had already taken its place."""
        if state.link is not link:
            return False
        state.connector.last_seen_at = link.last_received_at
        state.connector.offline_reason = state.leaving or reason
        state.link = None
        state.registered = False
        state.leaving = ""
        state.is_dirty = True
        return True

    def register(self, state: DeploymentState, tools: dict[str, m.ToolSpec], runtime: m.RuntimeInfo) -> None:
        """The tools that the live link offers, in place of the former ones."""
        self._unindex(state)
        state.tools = tools
        self._index(state)
        state.registered = True
        state.connector.tools = _tools_encoder.encode(list(tools.values()))
        state.connector.version = runtime.version
        state.connector.platform = runtime.platform
        if runtime.host:
            state.connector.host = runtime.host
        state.is_dirty = True

    def take_dirty(self) -> list[ConnectorRow]:
        """Connectors whose rows differ from the store's, live ones always, with fresh stamps."""
        rows = []
        for state in self._states.values():
            if state.link is not None:
                state.connector.last_seen_at = state.link.last_received_at
            elif not state.is_dirty:
                continue
            state.is_dirty = False
            rows.append(state.connector)
        return rows

    def _index(self, state: DeploymentState) -> None:
        offers = self._offers.setdefault(state.row.organization_id, {})
        for name in state.tools:
            offers.setdefault(name, {})[state.row.id] = state

    def _unindex(self, state: DeploymentState) -> None:
        offers = self._offers.get(state.row.organization_id, {})
        for name in state.tools:
            holders = offers.get(name)
            if holders is not None:
                holders.pop(state.row.id, None)
                if not holders:
                    del offers[name]
