"""The call desk: exactly one confirmed outcome a call, whatever the link does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from msgspec import Raw

from edge_connector.core.clock import SystemClock
from edge_connector.core.errors import UserError
from edge_connector.runtime import calls
from edge_connector.runtime.calls import CallDesk
from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind, ToolInfo
from edge_connector.tools.ledger.ledger import Marked
from edge_connector.tools.ledger.records import CallRow
from edge_connector.wire import messages as m


class Executor:
    """Remembers what it was asked; outcomes are given by hand."""

    def __init__(self) -> None:
        self.submitted: list[CallRequest] = []
        self.cancelled: list[str] = []
        self.repeats = {"t": "read", "echo": "read", "once": "once"}

    def submit(self, request: CallRequest) -> None:
        self.submitted.append(request)

    def cancel(self, call_id: str, reason: str) -> None:
        self.cancelled.append(call_id)

    def tool(self, name: str) -> ToolInfo | None:
        repeat = self.repeats.get(name)
        if repeat is None:
            return None
        return ToolInfo(name, name, "", Raw(b"{}"), Raw(b"{}"), "read", repeat, None, "local", False)


class Ledger:
    """Remembers what it was told; marks and look-ups are answered by hand."""

    def __init__(self) -> None:
        self.known: dict[str, None] = {}
        self.unfinished: list[CallRow] = []
        self.said: list[tuple[str, str]] = []
        self.marks: dict[str, Callable[[Marked], None]] = {}
        self.looked_up: dict[str, Callable[[CallRow | None], None]] = {}

    def take_unfinished(self) -> list[CallRow]:
        taken, self.unfinished = self.unfinished, []
        return taken

    def received(self, request: CallRequest, info: ToolInfo | None, *, is_local: bool = False) -> None:
        self.said.append(("received", request.id))

    def mark(
        self, request: CallRequest, info: ToolInfo, done: Callable[[Marked], None], *, is_local: bool = False
    ) -> None:
        self.marks[request.id] = done

    def accepted(self, call_id: str) -> None:
        self.said.append(("accepted", call_id))

    def finished(self, outcome: CallOutcome, *, is_reported: bool, is_local: bool = False) -> None:
        self.said.append(("reported" if is_reported else "finished", outcome.id))

    def reported(self, call_id: str) -> None:
        self.said.append(("reported", call_id))

    def confirmed(self, call_id: str) -> None:
        self.said.append(("confirmed", call_id))

    def find(self, call_id: str, done: Callable[[CallRow | None], None]) -> None:
        self.looked_up[call_id] = done


class Link:
    """Takes messages while it is up."""

    def __init__(self) -> None:
        self.up = True
        self.sent: list[m.Message] = []

    def send(self, message: m.Message) -> bool:
        if self.up:
            self.sent.append(message)
        return self.up


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def executor() -> Executor:
    return Executor()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def desk(link: Link, executor: Executor, ledger: Ledger) -> CallDesk:
    desk = CallDesk(
        link.send,
        ledger=ledger,
        on_change=lambda: None,
        on_finished=lambda request, started, outcome: None,
        clock=SystemClock(),
    )
    desk.attach(executor)
    return desk


def success(call_id: str, result: bytes = b"1") -> CallOutcome:
    return CallOutcome(id=call_id, kind=OutcomeKind.SUCCEEDED, tool="t", result=Raw(result), duration_ms=2.0)


def kept(call_id: str = "1", **fields: object) -> CallRow:
    """A call as an earlier process kept it."""
    row = CallRow(
        id=call_id, tool="t", repeat="read", attempt=1, source="platform", user="", organization="o", deployment="d",
        agent="", received_at=1, outcome="succeeded", result="7",
    )  # fmt: skip
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def interrupted(call_id: str) -> CallOutcome:
    return CallOutcome(id=call_id, kind=OutcomeKind.INTERRUPTED, tool="t", code="worker_died", message="It died.")


def test_call_reaches_the_executor_with_its_context(desk: CallDesk, executor: Executor, ledger: Ledger) -> None:
    context = m.CallContext(user="u", organization="o", deployment="d", agent="a")
    desk.on_call(m.Call(id="1", tool="t", arguments=Raw(b'{"x":1}'), remaining_ms=1500, context=context, attempt=2))
    ledger.looked_up["1"](None)
    assert executor.submitted == [
        CallRequest(
            id="1", tool="t", arguments=executor.submitted[0].arguments, remaining_s=1.5,
            user="u", organization="o", deployment="d", agent="a", attempt=2,
        )
    ]  # fmt: skip
    assert bytes(executor.submitted[0].arguments) == b'{"x":1}'
    assert desk.open == 1


def test_outcome_is_held_until_its_receipt(desk: CallDesk, link: Link) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.finished(success("1"))
    assert [type(message) for message in link.sent] == [m.Result]
    assert (desk.open, desk.unconfirmed) == (0, 1)
    desk.on_receipt(m.Receipt(ids=["other", "1"]))
    assert desk.unconfirmed == 0


def test_outcome_of_a_lost_link_is_sent_after_the_reconnect(desk: CallDesk, link: Link) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    link.up = False
    desk.finished(success("1"))
    assert link.sent == []
    link.up = True
    desk.send_held()
    assert [message.id for message in link.sent if isinstance(message, m.Result)] == ["1"]


def test_a_call_that_comes_again_never_runs_twice(desk: CallDesk, link: Link, executor: Executor) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.on_call(m.Call(id="1", tool="t"))
    assert len(executor.submitted) == 1
    assert link.sent == [m.Accepted(id="1")]
    desk.finished(success("1"))
    desk.on_call(m.Call(id="1", tool="t"))
    assert len(executor.submitted) == 1
    assert [type(message) for message in link.sent] == [m.Accepted, m.Result, m.Result]
    desk.on_receipt(m.Receipt(ids=["1"]))
    desk.on_call(m.Call(id="1", tool="t"))
    assert len(executor.submitted) == 1
    assert len(link.sent) == 4


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.SUCCEEDED])
def test_each_failure_keeps_its_kind_code_and_detail(desk: CallDesk, link: Link, kind: OutcomeKind) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.finished(
        CallOutcome(id="1", kind=kind, tool="t", code="c", message="m", hint="h", detail=Raw(b"{}"), duration_ms=3.0)
    )
    failure = link.sent[0]
    assert isinstance(failure, m.Failure)
    assert failure.outcome.value == kind.value
    assert (failure.error.code, failure.error.message, failure.error.hint) == ("c", "m", "h")
    assert failure.duration_ms == 3.0
    assert desk.outcomes[kind] == 1


def test_held_outcomes_are_bounded_and_the_loss_is_counted(
    desk: CallDesk, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_HELD_BYTES", 2_500)
    link.up = False
    for number in range(4):
        desk.on_call(m.Call(id=str(number), tool="t"))
        desk.finished(success(str(number), b"1" * 1_000))
    assert (desk.unconfirmed, desk.dropped) == (2, 2)
    link.up = True
    desk.send_held()
    assert [message.id for message in link.sent if isinstance(message, m.Result)] == ["2", "3"]


def test_probe_is_proven_by_the_receipt_of_its_result(desk: CallDesk, executor: Executor) -> None:
    done: list[tuple[str, bool]] = []
    desk.on_probe_done = lambda nonce, proven: done.append((nonce, proven))
    desk.on_call(m.Call(id="1", tool="echo", probe="n1"))
    desk.on_call(m.Call(id="2", tool="echo", probe="n2"))
    assert all(request.probe for request in executor.submitted)
    desk.finished(success("1"))
    desk.finished(CallOutcome(id="2", kind=OutcomeKind.REFUSED, tool="echo", code="busy", message="Busy."))
    assert done == []
    desk.on_receipt(m.Receipt(ids=["1", "2"]))
    assert done == [("n1", True), ("n2", False)]


def test_cancel_and_progress_pass_through(desk: CallDesk, link: Link, executor: Executor) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.on_cancel(m.Cancel(id="1", reason="enough"))
    desk.progress("1", None, "half")
    desk.progress("1", 0.5, "")
    assert executor.cancelled == ["1"]
    assert link.sent == [m.Progress(id="1", message="half"), m.Progress(id="1", fraction=0.5)]


async def test_a_local_call_does_not_reach_the_platform(desk: CallDesk, link: Link, executor: Executor) -> None:
    waiting = asyncio.create_task(desk.run_locally(CallRequest(id="local-1", tool="t")))
    await asyncio.sleep(0)
    desk.accepted("local-1")
    desk.progress("local-1", 0.1, "")
    desk.finished(success("local-1"))
    assert (await waiting).kind is OutcomeKind.SUCCEEDED
    assert link.sent == []
    assert (desk.open, desk.unconfirmed) == (0, 0)


async def test_a_local_caller_that_leaves_cancels_its_call(desk: CallDesk, executor: Executor) -> None:
    waiting = asyncio.create_task(desk.run_locally(CallRequest(id="local-1", tool="t")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert executor.cancelled == ["local-1"]
    desk.finished(
        CallOutcome(id="local-1", kind=OutcomeKind.CANCELLED, tool="t", code="cancelled", message="Cancelled.")
    )
    assert desk.open == 0


def test_result_beyond_what_the_platform_takes_is_a_failure_and_not_a_poison_pill(desk: CallDesk, link: Link) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    link.up = False
    desk.finished(success("1", b"1" * 500))
    desk.max_result_bytes = 100
    link.up = True
    desk.send_held()
    desk.on_call(m.Call(id="2", tool="t"))
    desk.finished(success("2", b"1" * 500))
    codes = [message.error.code for message in link.sent if isinstance(message, m.Failure)]
    assert codes == ["result_too_large", "result_too_large"]


def test_probes_are_no_work(desk: CallDesk) -> None:
    desk.on_call(m.Call(id="1", tool="echo", probe="n"))
    assert desk.open == 0
    desk.on_call(m.Call(id="2", tool="echo"))
    assert desk.open == 1


async def test_settled_waits_for_outcomes_and_receipts(desk: CallDesk) -> None:
    await asyncio.wait_for(desk.settled(), 1)
    desk.on_call(m.Call(id="1", tool="t"))
    settled = asyncio.create_task(desk.settled())
    await asyncio.sleep(0)
    desk.finished(success("1"))
    await asyncio.sleep(0)
    assert not settled.done()
    desk.on_receipt(m.Receipt(ids=["1"]))
    await asyncio.wait_for(settled, 1)


def test_the_ledger_hears_of_each_step_and_nothing_of_probes(desk: CallDesk, link: Link, ledger: Ledger) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.accepted("1")
    desk.finished(success("1"))
    desk.on_receipt(m.Receipt(ids=["1"]))
    desk.on_call(m.Call(id="p", tool="echo", probe="nonce"))
    desk.finished(success("p"))
    desk.send_held()
    desk.on_receipt(m.Receipt(ids=["p"]))
    desk.on_call(m.Call(id="2", tool="t"))
    link.up = False
    desk.finished(success("2"))
    link.up = True
    desk.send_held()
    assert ledger.said == [
        ("received", "1"), ("accepted", "1"), ("reported", "1"), ("confirmed", "1"),
        ("received", "2"), ("finished", "2"), ("reported", "2"),
    ]  # fmt: skip


def test_a_once_call_starts_when_its_mark_is_written(desk: CallDesk, executor: Executor, ledger: Ledger) -> None:
    desk.on_call(m.Call(id="1", tool="once", remaining_ms=60_000))
    assert (executor.submitted, desk.open) == ([], 1)
    ledger.marks["1"](Marked())
    assert [request.id for request in executor.submitted] == ["1"]
    remaining_s = executor.submitted[0].remaining_s
    assert remaining_s is not None and remaining_s <= 60


def test_a_once_call_without_a_ledger_is_refused(
    desk: CallDesk, link: Link, executor: Executor, ledger: Ledger
) -> None:
    desk.on_call(m.Call(id="1", tool="once"))
    ledger.marks["1"](Marked(problem=UserError("ledger_unavailable", "The disk is full.", hint="Free space.")))
    failure = link.sent[-1]
    assert isinstance(failure, m.Failure)
    assert (failure.outcome, failure.error.code, failure.error.hint) == ("refused", "ledger_unavailable", "Free space.")
    assert executor.submitted == []
    assert ledger.said == []


def test_a_once_call_that_was_here_before_gets_its_stored_outcome(
    desk: CallDesk, link: Link, executor: Executor, ledger: Ledger
) -> None:
    desk.on_call(m.Call(id="1", tool="once", attempt=1))
    ledger.marks["1"](Marked(earlier=kept(repeat="once")))
    desk.on_call(m.Call(id="2", tool="once", attempt=1))
    ledger.marks["2"](Marked(earlier=kept("2", repeat="once", outcome="", result=None)))
    result, unknown = link.sent
    assert isinstance(result, m.Result) and bytes(result.result) == b"7"
    assert isinstance(unknown, m.Failure) and unknown.error.code == "outcome_unknown"
    assert (executor.submitted, desk.open) == ([], 0)


@pytest.mark.parametrize("late", [False, True])
def test_a_once_call_that_is_not_wanted_any_more_does_not_start(
    desk: CallDesk, link: Link, executor: Executor, ledger: Ledger, late: bool
) -> None:
    desk.on_call(m.Call(id="1", tool="once", remaining_ms=1 if late else 0))
    if late:
        desk._running["1"].began -= 5.0
    else:
        desk.on_cancel(m.Cancel(id="1", reason="enough"))
    ledger.marks["1"](Marked())
    failure = link.sent[-1]
    assert isinstance(failure, m.Failure)
    assert failure.outcome == ("timed_out" if late else "cancelled")
    assert (executor.submitted, executor.cancelled) == ([], [])


def test_only_an_interrupted_call_runs_again_and_only_as_a_later_attempt(
    desk: CallDesk, link: Link, executor: Executor
) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.finished(interrupted("1"))
    desk.on_call(m.Call(id="1", tool="t", attempt=1))
    assert len(executor.submitted) == 1
    desk.on_call(m.Call(id="1", tool="t", attempt=2))
    assert [request.attempt for request in executor.submitted] == [1, 2]
    assert desk.unconfirmed == 0
    desk.finished(success("1"))
    desk.on_call(m.Call(id="1", tool="t", attempt=3))
    assert len(executor.submitted) == 2
    assert [type(message) for message in link.sent] == [m.Failure, m.Failure, m.Result, m.Result]


def test_a_later_attempt_of_a_running_call_is_the_same_run(desk: CallDesk, link: Link, executor: Executor) -> None:
    desk.on_call(m.Call(id="1", tool="t"))
    desk.on_call(m.Call(id="1", tool="t", attempt=2))
    desk.finished(interrupted("1"))
    failure = link.sent[-1]
    assert isinstance(failure, m.Failure)
    assert (len(executor.submitted), failure.attempt) == (1, 2)


def test_an_interrupted_once_call_never_runs_again(desk: CallDesk, executor: Executor, ledger: Ledger) -> None:
    desk.on_call(m.Call(id="1", tool="once"))
    ledger.marks["1"](Marked())
    desk.finished(msgspec.structs.replace(interrupted("1"), tool="once"))
    desk.on_call(m.Call(id="1", tool="once", attempt=2))
    assert len(executor.submitted) == 1


def test_a_known_id_is_looked_up_and_answered_from_the_ledger(
    desk: CallDesk, link: Link, executor: Executor, ledger: Ledger
) -> None:
    ledger.known = dict.fromkeys(("1", "2", "3"))
    for call_id in ("1", "2", "3"):
        desk.on_call(m.Call(id=call_id, tool="t"))
        desk.on_call(m.Call(id=call_id, tool="t"))
    assert (executor.submitted, desk.open) == ([], 3)
    ledger.looked_up["1"](kept("1"))
    ledger.looked_up["2"](None)
    # Confirmed and too long to keep: a tool that only reads may read again.
    ledger.looked_up["3"](kept("3", result=None, result_bytes=100_000))
    assert [request.id for request in executor.submitted] == ["2", "3"]
    assert [type(message) for message in link.sent] == [m.Accepted] * 3 + [m.Result]


def test_what_an_earlier_process_left_is_sent_to_its_own_deployment_alone(
    desk: CallDesk, link: Link, ledger: Ledger
) -> None:
    ledger.unfinished = [
        kept("1"),
        kept("2", deployment="another"),
        kept("3", outcome="interrupted", code="outcome_unknown", message="interrupted", result=None, attempt=2),
    ]
    desk.take_up("d")
    desk.send_held()
    assert [(type(message), message.id) for message in link.sent] == [(m.Result, "1"), (m.Failure, "3")]  # type: ignore[attr-defined]
    assert link.sent[1].attempt == 2  # type: ignore[attr-defined]
    desk.on_receipt(m.Receipt(ids=["1", "3"]))
    assert ledger.said == [("reported", "1"), ("reported", "3"), ("confirmed", "1"), ("confirmed", "3")]
    assert desk.unconfirmed == 0


async def test_a_local_once_call_waits_for_its_mark_too(desk: CallDesk, executor: Executor, ledger: Ledger) -> None:
    waiting = asyncio.create_task(desk.run_locally(CallRequest(id="local-1", tool="once")))
    await asyncio.sleep(0)
    assert executor.submitted == []
    ledger.marks["local-1"](Marked())
    desk.finished(success("local-1"))
    assert (await waiting).kind is OutcomeKind.SUCCEEDED
    assert ledger.said == [("finished", "local-1")]
