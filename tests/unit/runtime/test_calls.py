"""The call desk: exactly one confirmed outcome a call, whatever the link does."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import Raw

from edge_connector.core.clock import SystemClock
from edge_connector.runtime import calls
from edge_connector.runtime.calls import CallDesk
from edge_connector.tools.calls import CallOutcome, CallRequest, OutcomeKind
from edge_connector.wire import messages as m


class Executor:
    """Remembers what it was asked; outcomes are given by hand."""

    def __init__(self) -> None:
        self.submitted: list[CallRequest] = []
        self.cancelled: list[str] = []

    def submit(self, request: CallRequest) -> None:
        self.submitted.append(request)

    def cancel(self, call_id: str, reason: str) -> None:
        self.cancelled.append(call_id)


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
def desk(link: Link, executor: Executor) -> CallDesk:
    desk = CallDesk(
        link.send, on_change=lambda: None, on_finished=lambda request, started, outcome: None, clock=SystemClock()
    )
    desk.attach(executor)
    return desk


def success(call_id: str, result: bytes = b"1") -> CallOutcome:
    return CallOutcome(id=call_id, kind=OutcomeKind.SUCCEEDED, tool="t", result=Raw(result), duration_ms=2.0)


def test_call_reaches_the_executor_with_its_context(desk: CallDesk, executor: Executor) -> None:
    context = m.CallContext(user="u", organization="o", deployment="d", agent="a")
    desk.on_call(m.Call(id="1", tool="t", arguments=Raw(b'{"x":1}'), remaining_ms=1500, context=context, attempt=2))
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
