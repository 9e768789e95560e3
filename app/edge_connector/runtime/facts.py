"""Fills the status board's sources: for each part of the status, who knows it and how it is put."""

from __future__ import annotations

from edge_connector.config.settings import Settings
from edge_connector.core.clock import to_iso
from edge_connector.core.status import BundleStatus, Calls, Health, LedgerStatus, ToolStatus, WorkerStatus
from edge_connector.health.server import HealthServer
from edge_connector.runtime.activity import ActivityLog
from edge_connector.runtime.board import ProofView, Sources
from edge_connector.runtime.calls import CallDesk
from edge_connector.runtime.pause import Pause
from edge_connector.runtime.probe import Prober
from edge_connector.runtime.sign_in import SignInDesk
from edge_connector.runtime.uplink import Uplink
from edge_connector.tools.executor import ToolExecutor
from edge_connector.tools.ledger.ledger import CallLedger


def fill_sources(
    sources: Sources,
    *,
    settings: Settings,
    uplink: Uplink,
    prober: Prober,
    executor: ToolExecutor,
    desk: CallDesk,
    ledger: CallLedger,
    health: HealthServer,
    pause: Pause,
    activity: ActivityLog,
    sign_in: SignInDesk,
) -> None:
    """Connect the board to the parts of a composed runtime."""
    sources.link = uplink.view
    sources.authorised = lambda: uplink.authorised
    sources.health = lambda: Health(host=settings.health_host, port=health.port)
    sources.sign_in = lambda: sign_in.status
    sources.paused = lambda: pause.view
    sources.activity = activity.summary
    sources.proof = lambda: ProofView(
        supported=prober.supported, age_s=prober.age_s, wall=prober.proven_wall, round_trip_s=prober.round_trip_s
    )
    sources.calls = lambda: _calls(executor, desk)
    sources.ledger = lambda: _ledger(ledger)
    sources.bundle = lambda: _bundle(executor, str(settings.implementations_path))
    sources.tools = lambda: [
        ToolStatus(name=tool.name, title=tool.title, source=tool.source, risk=tool.risk, repeat=tool.repeat)
        for tool in executor.tools
    ]
    sources.workers = lambda: [
        WorkerStatus(
            pid=worker.pid,
            kind=worker.kind,
            busy=worker.busy,
            calls_done=worker.calls_done,
            cpu_percent=worker.cpu_percent,
            memory_bytes=worker.memory_bytes,
        )
        for worker in executor.workers()
    ]


def _calls(executor: ToolExecutor, desk: CallDesk) -> Calls:
    running, queued, slots = executor.load()
    return Calls(
        running=running,
        queued=queued,
        slots=slots,
        received=desk.received,
        outcomes={str(kind): count for kind, count in desk.outcomes.items()},
        unsent_outcomes=desk.unconfirmed,
    )


def _ledger(ledger: CallLedger) -> LedgerStatus:
    facts = ledger.facts
    return LedgerStatus(
        calls=facts.calls,
        events=facts.events,
        size_bytes=facts.size_bytes,
        last_write_at="" if facts.last_write_at is None else to_iso(facts.last_write_at),
        head=facts.head,
        waiting=ledger.waiting,
        lost=facts.lost,
        problem=facts.problem,
    )


def _bundle(executor: ToolExecutor, path: str) -> BundleStatus:
    local = any(tool.source == "local" for tool in executor.tools)
    return BundleStatus(source="local" if local else "builtin", path=path if local else "")
