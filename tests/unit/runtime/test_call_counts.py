"""Calls by tool and outcome: callers choose names, so the names that are kept are bounded."""

from __future__ import annotations

from edge_connector.runtime.call_counts import MAX_TOOLS, OTHER, CallCounts
from edge_connector.tools.calls import OutcomeKind


def test_calls_are_counted_by_tool_and_outcome_with_their_durations() -> None:
    counts = CallCounts(lambda name: True)
    counts.add("a", OutcomeKind.SUCCEEDED, 2.0)
    counts.add("a", OutcomeKind.FAILED, 20_000.0)
    counts.add("b", OutcomeKind.SUCCEEDED, 1.0)
    found = dict(counts.items())
    assert found.keys() == {"a", "b"}
    assert found["a"].outcomes[OutcomeKind.SUCCEEDED] == found["a"].outcomes[OutcomeKind.FAILED] == 1
    assert sum(found["a"].durations.counts) == 2 and found["a"].durations.total_s == 20.002


def test_names_that_no_tool_has_are_one() -> None:
    counts = CallCounts(lambda name: name == "real")
    for number in range(1000):
        counts.add(f"made up {number}", OutcomeKind.REFUSED, 0.0)
    counts.add("real", OutcomeKind.SUCCEEDED, 0.0)
    found = dict(counts.items())
    assert found.keys() == {"real", OTHER}
    assert found[OTHER].outcomes[OutcomeKind.REFUSED] == 1000


def test_there_is_an_end_to_the_names_of_real_tools() -> None:
    counts = CallCounts(lambda name: True)
    for number in range(MAX_TOOLS + 50):
        counts.add(f"tool {number}", OutcomeKind.SUCCEEDED, 0.0)
    found = dict(counts.items())
    assert len(found) == MAX_TOOLS + 1 and sum(found[OTHER].outcomes.values()) == 50
