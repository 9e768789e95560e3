"""The router alone: choice, one outcome each, what belongs to whom; its links only remember what they were sent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import Raw

from edge_connector.core.clock import SystemClock
from edge_connector.platform_server.fleet import DeploymentState, Fleet
from edge_connector.platform_server.refusals import Refused
from edge_connector.platform_server.store.records import CallRow, ConnectorRow, DeploymentRow
from edge_connector.platform_server.tool_rpc.calls import (
    MAX_OPEN_PER_CONNECTOR,
    MAX_QUEUED_BYTES,
    CallOrder,
    CallRouter,
    PendingCall,
)
from edge_connector.platform_server.tool_rpc.journal import CallJournal
from edge_connector.wire import messages as m
from tests.support.waiting import eventually


class RecordingLink:
    """A link that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[m.Message] = []
        self.connected_at = 0.0
        self.queued_bytes = 0
        self.status: m.Status | None = None
        self.last_status_at = 0.0
        self.bundle: m.BundleInfo | None = None
        self.instance_id = "i"
        self.host = "box"
        self.round_trip_s: float | None = None
        self.last_received_at = 0.0

    def send(self, message: m.Message) -> None:
        self.sent.append(message)

    def request_close(self, code: int, reason: str) -> None:
        raise AssertionError("the router closes nothing")


class RecordingHistory:
    """The part of a store that the journal uses."""

    def __init__(self) -> None:
        self.rows: list[CallRow] = []
        self.batches = 0
        self.late: list[tuple[str, ...]] = []

    def note_calls(self, calls: Sequence[CallRow]) -> None:
        self.batches += 1
        self.rows += calls

    def note_late_outcome(self, *late: str) -> None:
        self.late.append(late)


class Platform:
    """A router with `count` connected deployments that offer `echo`."""

    def __init__(self, count: int = 1) -> None:
        rows = [DeploymentRow(id=f"dep_{n}", organization_id="org", name=f"edge {n}") for n in range(count)]
        self.fleet = Fleet(rows, [ConnectorRow(id=f"con_{r.id}", deployment_id=r.id) for r in rows], SystemClock())
        self.history = RecordingHistory()
        self.journal = CallJournal(self.history)  # type: ignore[arg-type]
        self.router = CallRouter(self.fleet, self.journal, SystemClock())
        self.links = [self.connect(n) for n in range(count)]
        self.ended: list[PendingCall] = []

    def state(self, number: int = 0) -> DeploymentState:
        state = self.fleet.by_id(f"dep_{number}")
        assert state is not None
        return state

    def connect(self, number: int = 0) -> RecordingLink:
        link = RecordingLink()
        self.fleet.attach(self.state(number), link)
        tools = {"echo": m.ToolSpec(name="echo"), "read": m.ToolSpec(name="read", repeat="read")}
        self.fleet.register(self.state(number), tools, m.RuntimeInfo())
        return link

    def disconnect(self, number: int = 0) -> None:
        link = self.state(number).link
        assert link is not None
        self.fleet.detach(self.state(number), link, "connection lost")
        self.router.link_lost(self.state(number), link)

    def reconnect(self, number: int = 0) -> RecordingLink:
        link = self.connect(number)
        self.router.link_registered(self.state(number), link)
        return link

    def interrupt(self, call: PendingCall, *, attempt: int = 0) -> bool:
        error = m.CallError(code="worker_died", message="It died.")
        failure = m.Failure(id=call.row.id, outcome=m.Outcome.INTERRUPTED, error=error, attempt=attempt)
        return self.router.failure(call.deployment, failure)

    def start(self, tool: str = "echo", *, deployment: str = "", timeout_ms: int = 0) -> PendingCall:
        order = CallOrder(
            organization_id="org", tool=tool, arguments=Raw(b"{}"), deployment=deployment, timeout_ms=timeout_ms
        )
        return self.router.start(order, self.ended.append)


async def test_a_call_has_exactly_one_outcome() -> None:
    platform = Platform()
    call = platform.start()
    result = m.Result(id=call.row.id, result=Raw(b"1"))
    platform.router.result(platform.state(), result)
    platform.router.result(platform.state(), result)
    error = m.CallError(code="x", message="y")
    platform.router.failure(platform.state(), m.Failure(id=call.row.id, outcome=m.Outcome.FAILED, error=error))
    assert platform.ended == [call]
    assert call.row.outcome == "succeeded"
    assert (platform.router.open_calls, platform.state().open_calls) == (0, 0)


async def test_most_calls_are_one_row_and_open_ones_are_written_too() -> None:
    platform = Platform()
    for _ in range(10):
        platform.router.result(platform.state(), m.Result(id=platform.start().row.id, result=Raw(b"1")))
    waiting = platform.start()
    await eventually(lambda: platform.history.batches == 1, what="the journal was flushed")
    assert [row.outcome for row in platform.history.rows] == ["succeeded"] * 10 + [""]
    platform.router.result(platform.state(), m.Result(id=waiting.row.id, result=Raw(b"1")))
    platform.journal.flush()
    assert platform.history.rows[-1].outcome == "succeeded"


async def test_the_least_busy_runs_it_and_equal_ones_by_id() -> None:
    platform = Platform(3)
    chosen = [platform.start().row.deployment_id for _ in range(4)]
    assert chosen == ["dep_0", "dep_1", "dep_2", "dep_0"]
    assert platform.start(deployment="edge 2").row.deployment_id == "dep_2"
    assert platform.start(deployment="dep_0").row.deployment_id == "dep_0"


@pytest.mark.parametrize("full", ["calls", "bytes"])
async def test_a_full_link_takes_no_more(full: str) -> None:
    platform = Platform()
    if full == "calls":
        platform.state().open_calls = MAX_OPEN_PER_CONNECTOR
    else:
        platform.links[0].queued_bytes = MAX_QUEUED_BYTES + 1
    with pytest.raises(Refused) as busy:
        platform.start()
    assert (busy.value.status, busy.value.code) == (503, "connector_busy")


async def test_reports_of_unknown_calls_are_late_outcomes_but_probes_are_not() -> None:
    platform = Platform()
    platform.router.result(platform.state(), m.Result(id="call_old", result=Raw(b"1")))
    platform.router.probe(platform.links[0], "nonce")
    probe = platform.links[0].sent[-1]
    assert isinstance(probe, m.Call)
    platform.router.result(platform.state(), m.Result(id=probe.id, result=Raw(b"1")))
    assert platform.history.late == [("org", "call_old", "dep_0", "succeeded")]


async def test_another_deployments_report_is_ignored() -> None:
    platform = Platform(2)
    call = platform.start(deployment="dep_0")
    platform.router.result(platform.state(1), m.Result(id=call.row.id, result=Raw(b"1")))
    platform.router.accepted(platform.state(1), m.Accepted(id=call.row.id))
    assert (platform.ended, call.is_accepted, platform.history.late) == ([], False, [])


async def test_a_deadline_is_timed_out_with_a_link_and_interrupted_without() -> None:
    platform = Platform(2)
    linked = platform.start(deployment="dep_0", timeout_ms=1)
    lost = platform.start(deployment="dep_1", timeout_ms=1)
    platform.fleet.detach(platform.state(1), platform.links[1], "connection lost")
    platform.router.link_lost(platform.state(1), platform.links[1])
    await eventually(lambda: len(platform.ended) == 2, what="both calls ended")
    assert (linked.row.outcome, lost.row.outcome) == ("timed_out", "interrupted")
    assert lost.row.error_code == "outcome_unknown"
    assert isinstance(platform.links[0].sent[-1], m.Cancel)
    assert not any(isinstance(message, m.Cancel) for message in platform.links[1].sent)


async def test_a_cancel_is_sent_once_and_again_to_a_new_link() -> None:
    platform = Platform()
    call = platform.start()
    platform.router.cancel(call, "first")
    platform.router.cancel(call, "second")
    assert [message for message in platform.links[0].sent if isinstance(message, m.Cancel)] == [
        m.Cancel(id=call.row.id, reason="first")
    ]
    platform.fleet.detach(platform.state(), platform.links[0], "connection lost")
    platform.router.link_lost(platform.state(), platform.links[0])
    link = platform.connect()
    platform.router.link_registered(platform.state(), link)
    assert link.sent == [m.Cancel(id=call.row.id, reason="first")]
    platform.router.result(platform.state(), m.Result(id=call.row.id, result=Raw(b"1")))
    assert call.row.outcome == "succeeded"


async def test_a_drain_takes_no_new_calls_and_interrupts_the_rest() -> None:
    platform = Platform()
    call = platform.start()
    await platform.router.drain(0.01)
    assert call.row.outcome == "interrupted"
    with pytest.raises(Refused) as stopping:
        platform.start()
    assert stopping.value.code == "draining"


async def test_a_link_that_goes_while_a_call_is_recorded_refuses_it() -> None:
    platform = Platform()
    order = CallOrder(organization_id="org", tool="echo", arguments=Raw(b"{}"))
    call = platform.router.prepare(order, platform.router.choose(order), platform.ended.append)
    platform.fleet.detach(platform.state(), platform.links[0], "connection lost")
    platform.router.dispatch(call, order, recorded=True)
    assert platform.ended == [call]
    assert (call.row.outcome, call.row.error_code) == ("refused", "connector_unavailable")
    assert platform.state().open_calls == 0


def attempts(link: RecordingLink) -> list[int]:
    return [message.attempt for message in link.sent if isinstance(message, m.Call)]


async def test_an_interrupted_read_is_sent_again_three_times_at_most() -> None:
    platform = Platform()
    call = platform.start("read", timeout_ms=60_000)
    assert [platform.interrupt(call), platform.interrupt(call, attempt=2)] == [False, False]
    assert attempts(platform.links[0]) == [1, 2, 3]
    sent = [message for message in platform.links[0].sent if isinstance(message, m.Call)]
    assert {message.id for message in sent} == {call.row.id}
    assert all(0 < message.remaining_ms <= 60_000 for message in sent)
    assert platform.interrupt(call, attempt=3)
    assert (call.row.outcome, call.row.error_code, call.row.attempt) == ("interrupted", "worker_died", 3)


async def test_an_interrupted_once_is_the_end() -> None:
    platform = Platform()
    call = platform.start("echo")
    assert platform.interrupt(call)
    assert (attempts(platform.links[0]), call.row.outcome, call.row.attempt) == ([1], "interrupted", 1)


async def test_a_read_is_sent_again_when_its_deployment_is_back_and_a_once_is_not() -> None:
    platform = Platform()
    read, once = platform.start("read"), platform.start("echo")
    platform.disconnect()
    link = platform.reconnect()
    assert [(message.id, message.attempt) for message in link.sent if isinstance(message, m.Call)] == [(read.row.id, 2)]
    # The connector's report of the first attempt crossed the second one on the way.
    assert not platform.interrupt(read, attempt=1)
    assert read.row.outcome == ""
    platform.router.result(platform.state(), m.Result(id=read.row.id, result=Raw(b"1")))
    platform.router.result(platform.state(), m.Result(id=once.row.id, result=Raw(b"1")))
    assert [(call.row.outcome, call.row.attempt) for call in platform.ended] == [("succeeded", 2), ("succeeded", 1)]


async def test_registering_again_on_the_same_link_sends_nothing_again() -> None:
    platform = Platform()
    platform.start("read")
    platform.router.link_registered(platform.state(), platform.links[0])
    assert attempts(platform.links[0]) == [1]


async def test_a_read_that_a_leaving_connector_interrupts_waits_for_its_return() -> None:
    platform = Platform()
    call = platform.start("read")
    platform.state().leaving = "stopping"
    assert platform.interrupt(call)
    assert call.row.outcome == ""
    platform.disconnect()
    assert attempts(platform.reconnect()) == [2]


async def test_a_read_whose_deployment_stays_away_ends_as_it_was_reported() -> None:
    platform = Platform()
    call = platform.start("read", timeout_ms=1)
    platform.state().leaving = "stopping"
    call.deadline += 10
    platform.interrupt(call)
    await eventually(lambda: platform.ended, what="the call ended")
    assert (call.row.outcome, call.row.error_code) == ("interrupted", "worker_died")


async def test_nothing_is_sent_again_after_a_cancel_or_the_deadline_or_without_the_tool() -> None:
    platform = Platform()
    cancelled, late, gone = (platform.start("read", timeout_ms=60_000) for _ in range(3))
    platform.router.cancel(cancelled, "enough")
    assert platform.interrupt(cancelled)
    late.deadline -= 60
    assert platform.interrupt(late)
    platform.fleet.register(platform.state(), {"echo": m.ToolSpec(name="echo")}, m.RuntimeInfo())
    assert platform.interrupt(gone)
    assert [call.row.outcome for call in (cancelled, late, gone)] == ["interrupted"] * 3
    assert attempts(platform.links[0]) == [1, 1, 1]


async def test_a_refused_later_attempt_does_not_hide_the_first_one() -> None:
    platform = Platform()
    call = platform.start("read")
    platform.interrupt(call)
    error = m.CallError(code="busy", message="No room.")
    platform.router.failure(platform.state(), m.Failure(id=call.row.id, outcome=m.Outcome.REFUSED, error=error))
    assert (call.row.outcome, call.row.error_code) == ("interrupted", "outcome_unknown")
    assert "No room." in call.row.error_message


async def test_history_shows_a_later_attempt_while_the_call_is_open() -> None:
    platform = Platform()
    call = platform.start("read")
    platform.journal.flush()
    platform.interrupt(call)
    platform.journal.flush()
    assert [(row.id, row.attempt) for row in platform.history.rows] == [(call.row.id, 2), (call.row.id, 2)]
