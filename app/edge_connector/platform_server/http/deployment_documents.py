"""Deployments and their connectors as documents of the API."""

from __future__ import annotations

import time

from edge_connector.core.clock import to_iso
from edge_connector.platform_api import models as api
from edge_connector.platform_server.fleet import DeploymentState
from edge_connector.platform_server.http.api_request import stamp
from edge_connector.platform_server.store.records import DeploymentRow


def is_rotating(row: DeploymentRow) -> bool:
    """Whether the secret before the last rotation is good too."""
    return row.previous_secret_digest is not None and row.previous_secret_until > time.time()


def deployment_document(state: DeploymentState) -> api.Deployment:
    """A deployment with the live state of its connector."""
    row = state.row
    return api.Deployment(
        id=row.id,
        name=row.name,
        description=row.description,
        type=row.client_type,  # type: ignore[arg-type]
        runtime_kind=row.runtime_kind,  # type: ignore[arg-type]
        status="Active" if state.link is not None else "Inactive",
        last_seen_at=stamp(state.last_seen_at()),
        created_at=to_iso(row.created_at),
        active_connectors=1 if state.link is not None else 0,
        connectors=[_connector(state)] if state.link is not None or state.connector.last_seen_at is not None else [],
        old_secret_until=stamp(row.previous_secret_until) if is_rotating(row) else None,
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
        last_seen_at=stamp(state.last_seen_at()),
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
