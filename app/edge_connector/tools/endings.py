"""The words with which calls end without a result: one function for each cause, code and sentence in one place.

Failures inside a tool are worded by the worker (`serving`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from edge_connector.tools.calls import OutcomeKind


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends; for a running one, once its code has stopped."""

    kind: OutcomeKind
    code: str
    message: str
    hint: str = ""


STOPPING = Ending(
    OutcomeKind.INTERRUPTED,
    "connector_stopping",
    "The connector stopped before the call was over; how far it came is unknown.",
    "Call again when the connector is back, if a repetition does no harm.",
)


def draining(reason: str) -> Ending:
    """No call is taken now."""
    return Ending(OutcomeKind.REFUSED, "draining", f"The connector takes no calls: {reason}.")


def busy(running: int, waiting: int) -> Ending:
    """Slots and queue are full."""
    return Ending(
        OutcomeKind.REFUSED,
        "busy",
        f"{running} calls run and {waiting} wait; there is no room for one more.",
        "Call again in a moment, or raise concurrency or queue.",
    )


def unknown_tool(name: str, known: Iterable[str]) -> Ending:
    """There is no such tool; names the nearest."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Nearest: {', '.join(near)}." if near else "List the tools to see their names."
    return Ending(OutcomeKind.REFUSED, "unknown_tool", f"This connector has no tool {name!r}.", hint)


def arguments_unreadable(tool: str, problem: str) -> Ending:
    """The arguments are no JSON value, or too large."""
    return Ending(
        OutcomeKind.REFUSED,
        "invalid_arguments",
        f"The arguments of {tool} cannot be read: {problem}.",
        "Send one JSON object.",
    )


def workers_unavailable(tool: str, reason: str) -> Ending:
    """No worker can be started now."""
    return Ending(
        OutcomeKind.REFUSED, "workers_unavailable", f"No process can run {tool}: {reason}.", "Call again later."
    )


def cancelled(tool: str, reason: str) -> Ending:
    """The caller gave up."""
    text = f": {reason}" if reason else ""
    return Ending(OutcomeKind.CANCELLED, "cancelled", f"The call of {tool} was cancelled{text}.")


def out_of_time(tool: str, seconds: float, *, started: bool) -> Ending:
    """The deadline passed."""
    verb = "ran" if started else "waited"
    return Ending(
        OutcomeKind.TIMED_OUT,
        "timed_out",
        f"{tool} {verb} until its time of {seconds:.3g} s was over.",
        "Give the call or the tool more time, or let it do less.",
    )


def worker_died(tool: str, reason: str) -> Ending:
    """The process ended by itself or by somebody else's hand."""
    return Ending(
        OutcomeKind.INTERRUPTED,
        "worker_died",
        f"The worker process ended with {reason} while {tool} ran; how far it came is unknown.",
        "Look into the connector's log, and call again if a repetition does no harm.",
    )


def killed_for(tool: str) -> Ending:
    """Another call of the shared worker did not stop when asked."""
    return Ending(
        OutcomeKind.INTERRUPTED,
        "worker_killed",
        f"The shared worker process was ended because {tool} did not stop when asked.",
        "Call again if a repetition does no harm.",
    )


def too_many_children(count: int, limit: int, *, calls: int) -> Ending:
    """Too many processes below one worker; of several calls nobody knows whose they are."""
    return Ending(
        OutcomeKind.FAILED if calls == 1 else OutcomeKind.INTERRUPTED,
        "children_limit",
        f"{count} processes ran below one worker; the limit is {limit}.",
        "Start fewer processes at a time.",
    )
