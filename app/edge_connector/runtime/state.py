"""The connector's state as a pure function of facts. Nobody assigns a state: facts change, this says what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from edge_connector.core.status import LinkPhase, State

PROOF_PERIOD_S = 30.0
"""A call is routed through the tools this often."""
PROOF_VALID_S = 2 * PROOF_PERIOD_S


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the state depends on. Ages and moments are seconds on the monotonic clock."""

    stopping: bool = False
    asleep: bool = False
    paused: bool = False
    link: LinkPhase = LinkPhase.IDLE
    needs_person: bool = False
    """Credentials are missing or were refused for good."""
    proof_age_s: float | None = None
    problems: int = 0
    """Problems that do not stop the connector from serving."""


def next_state(facts: Facts) -> State:
    """The one of the seven states that these facts mean."""
    if facts.stopping:
        return State.STOPPED
    # What a person decided or must decide comes before what the network does.
    if facts.paused:
        return State.PAUSED
    if facts.asleep:
        return State.ASLEEP
    if facts.needs_person or facts.link is LinkPhase.REFUSED:
        return State.NEEDS_YOU
    if facts.link is not LinkPhase.OPEN:
        return State.CONNECTING
    # Without recent proof an open link is only a promise.
    if facts.proof_age_s is None or facts.proof_age_s > PROOF_VALID_S:
        return State.CONNECTING
    if facts.problems:
        return State.WORKING_WITH_PROBLEMS
    return State.WORKING


def is_ready(link: LinkPhase, *, proof_age_s: float | None, open_for_s: float) -> bool:
    """Readiness for /healthz (R6): welcomed and registered, and not two probe periods without proof."""
    if link is not LinkPhase.OPEN:
        return False
    return min(open_for_s, open_for_s if proof_age_s is None else proof_age_s) <= PROOF_VALID_S
