"""What is kept of callers' calls, and what is forgotten first."""

from __future__ import annotations

import pytest
from msgspec import Raw

from edge_connector.platform_server.tool_rpc import caller_calls
from edge_connector.platform_server.tool_rpc.caller_calls import CallerCall, CallerCalls
from edge_connector.wire import messages as m


def over(calls: CallerCalls, call_id: str, size: int = 1) -> CallerCall:
    call = CallerCall(call_id, None)
    calls.add("t", call)
    call.outcome = m.Result(id=call_id, result=Raw(b"1" * size))
    calls.ended(call.outcome)
    return call


def test_ids_are_a_credentials_own() -> None:
    calls = CallerCalls()
    call = over(calls, "a")
    assert calls.find("t", "a") is call
    assert calls.find("other", "a") is None
    calls.discard("t", call)
    assert calls.find("t", "a") is None


def test_oldest_that_are_over_go_first_and_open_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_calls, "MAX_CALLS", 3)
    calls = CallerCalls()
    still_open = CallerCall("open", None)
    calls.add("t", still_open)
    for call_id in "abcd":
        over(calls, call_id)
    assert calls.find("t", "open") is still_open
    assert [calls.find("t", call_id) is not None for call_id in "abcd"] == [False, False, True, True]


def test_kept_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_calls, "MAX_BYTES", 1_000)
    calls = CallerCalls()
    for call_id in "abc":
        over(calls, call_id, 400)
    assert [calls.find("t", call_id) is not None for call_id in "abc"] == [False, True, True]


def test_nothing_is_forgotten_while_all_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_calls, "MAX_CALLS", 1)
    calls = CallerCalls()
    for call_id in "ab":
        calls.add("t", CallerCall(call_id, None))
    calls.ended(m.Failure(id="x", outcome=m.Outcome.FAILED, error=m.CallError(code="c", message="m")))
    assert calls.find("t", "a") and calls.find("t", "b")


def test_the_words_and_details_of_failures_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_calls, "MAX_BYTES", 10_000)
    calls = CallerCalls()
    errors = [
        m.CallError(code="c", message="m", detail=Raw(b'"' + b"x" * 6_000 + b'"')),
        m.CallError(code="c", message="m" * 6_000),
        m.CallError(code="c", message="m", hint="h" * 6_000),
    ]
    for number, error in enumerate(errors):
        call = CallerCall(str(number), None)
        calls.add("t", call)
        call.outcome = m.Failure(id=call.id, outcome=m.Outcome.FAILED, error=error)
        calls.ended(call.outcome)
    assert [calls.find("t", str(number)) is not None for number in range(3)] == [False, False, True]
