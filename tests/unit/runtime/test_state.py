"""The state table: which facts mean which of the seven states, and when the connector is ready."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.core.status import LinkPhase, State
from edge_connector.runtime.state import PROOF_VALID_S, Facts, is_ready, next_state

OPEN = Facts(link=LinkPhase.OPEN, proof_age_s=1.0)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), State.CONNECTING),
        (Facts(link=LinkPhase.DIALLING), State.CONNECTING),
        (Facts(link=LinkPhase.WAITING, proof_age_s=1.0), State.CONNECTING),
        (Facts(link=LinkPhase.OPEN), State.CONNECTING),
        (OPEN, State.WORKING),
        (Facts(link=LinkPhase.OPEN, proof_age_s=PROOF_VALID_S), State.WORKING),
        (Facts(link=LinkPhase.OPEN, proof_age_s=PROOF_VALID_S + 0.1), State.CONNECTING),
        (Facts(link=LinkPhase.OPEN, proof_age_s=1.0, problems=1), State.WORKING_WITH_PROBLEMS),
        (Facts(link=LinkPhase.REFUSED), State.NEEDS_YOU),
        (Facts(link=LinkPhase.DIALLING, needs_person=True), State.NEEDS_YOU),
        (Facts(link=LinkPhase.OPEN, proof_age_s=1.0, asleep=True), State.ASLEEP),
        (Facts(link=LinkPhase.REFUSED, asleep=True), State.ASLEEP),
        (Facts(link=LinkPhase.OPEN, proof_age_s=1.0, paused=True, asleep=True), State.PAUSED),
        (Facts(link=LinkPhase.OPEN, proof_age_s=1.0, paused=True, stopping=True), State.STOPPED),
    ],
)
def test_table(facts: Facts, state: State) -> None:
    assert next_state(facts) is state


FACTS = st.builds(
    Facts,
    stopping=st.booleans(),
    asleep=st.booleans(),
    paused=st.booleans(),
    link=st.sampled_from(LinkPhase),
    needs_person=st.booleans(),
    proof_age_s=st.none() | st.floats(0, 200),
    problems=st.integers(0, 3),
)


@given(FACTS)
def test_nothing_works_without_an_open_link_and_recent_proof(facts: Facts) -> None:
    if next_state(facts) in (State.WORKING, State.WORKING_WITH_PROBLEMS):
        assert facts.link is LinkPhase.OPEN
        assert facts.proof_age_s is not None
        assert facts.proof_age_s <= PROOF_VALID_S


@pytest.mark.parametrize(
    ("link", "proof_age_s", "open_for_s", "ready"),
    [
        (LinkPhase.HANDSHAKE, 1.0, 0.0, False),
        (LinkPhase.OPEN, None, 0.0, True),
        (LinkPhase.OPEN, None, PROOF_VALID_S + 1, False),
        (LinkPhase.OPEN, 1.0, 1000.0, True),
        (LinkPhase.OPEN, PROOF_VALID_S + 1, 1000.0, False),
        # A proof of the last session says nothing against a link that has just opened.
        (LinkPhase.OPEN, 500.0, 2.0, True),
    ],
)
def test_readiness(link: LinkPhase, proof_age_s: float | None, open_for_s: float, ready: bool) -> None:
    assert is_ready(link, proof_age_s=proof_age_s, open_for_s=open_for_s) is ready
