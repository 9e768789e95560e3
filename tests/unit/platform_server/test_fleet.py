"""What the platform says of deployments that are not there, and which tools it finds where."""

from __future__ import annotations

import msgspec
import pytest

from edge_connector.core.clock import SystemClock
from edge_connector.platform_server.fleet import DeploymentState, Fleet
from edge_connector.platform_server.store.records import ConnectorRow, DeploymentRow
from edge_connector.wire import messages as m

SEEN = 1_700_000_000.0


def state(**connector: object) -> DeploymentState:
    row = DeploymentRow(id="dep_1", organization_id="org", name="edge")
    return DeploymentState(row, msgspec.convert({"id": "c", "deployment_id": "dep_1"} | connector, ConnectorRow))


@pytest.mark.parametrize(
    ("connector", "words"),
    [
        ({}, "has never connected"),
        ({"last_seen_at": SEEN}, "is offline since 2023-11-14T22:13:20.000Z"),
        (
            {"last_seen_at": SEEN, "offline_reason": "connection lost"},
            "is offline since 2023-11-14T22:13:20.000Z (connection lost)",
        ),
        ({"last_seen_at": SEEN, "offline_reason": "asleep"}, "is asleep since 2023-11-14T22:13:20.000Z"),
        ({"last_seen_at": SEEN, "offline_reason": "stopping"}, "is stopped since 2023-11-14T22:13:20.000Z"),
    ],
)
def test_absence_in_words(connector: dict[str, object], words: str) -> None:
    assert state(**connector).absence() == f"deployment 'edge' {words}"


def test_tools_are_found_by_organization_and_follow_registrations() -> None:
    rows = [DeploymentRow(id=f"dep_{n}", organization_id=f"org_{n}", name="edge") for n in (1, 2)]
    known = msgspec.json.encode([m.ToolSpec(name="old")])
    connectors = [ConnectorRow(id=f"con_{n}", deployment_id=f"dep_{n}", tools=known) for n in (1, 2)]
    fleet = Fleet(rows, connectors, SystemClock())
    first = fleet.by_id("dep_1")
    assert first is not None
    assert list(fleet.offering("org_1", "old")) == [first]
    fleet.register(first, {"new": m.ToolSpec(name="new")}, m.RuntimeInfo(host="box"))
    assert list(fleet.offering("org_1", "old")) == []
    assert list(fleet.offering("org_1", "new")) == [first]
    assert list(fleet.offering("org_2", "new")) == []
    assert list(fleet.tool_names("org_2")) == ["old"]
    assert fleet.find("org_1", "dep_2") is None
    assert [row.id for row in fleet.take_dirty()] == ["con_1"]
    assert fleet.take_dirty() == []
    fleet.remove(first)
    assert fleet.find("org_1", "edge") is None
    assert list(fleet.tool_names("org_1")) == []
