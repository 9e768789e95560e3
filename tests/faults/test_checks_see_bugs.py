"""The checks of a drill are worth something: with bugs put into the real programs, each is seen to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_connector.cli.drill import callers
from edge_connector.cli.drill import world as worlds
from edge_connector.cli.drill.checks import CHECKS
from edge_connector.cli.drill.plan import storm
from edge_connector.cli.drill.world import World
from tests.faults import sabotage

ROOT = Path(__file__).parent.parent.parent
SEED = 20


async def _findings(events: int, *bugs: str) -> dict[str, list[str]]:
    """What the checks say of a short storm of resets over programs with these bugs."""
    environment = {"PYTHONPATH": str(ROOT)}
    async with World(seed=SEED, command=sabotage.command(*bugs), environment=environment) as world:
        await world.weather(storm(SEED, events, kinds=("reset",)))
        await world.recover()
        evidence = await world.close_books()
    return {check.id: found for check in CHECKS if (found := check.findings(evidence))}


def _says(found: list[str], words: str) -> bool:
    return any(words in finding for finding in found)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs keep the drill waiting for what never comes."""
    monkeypatch.setattr(worlds, "RECOVER_S", 8.0)
    monkeypatch.setattr(worlds, "SETTLE_S", 1.0)
    monkeypatch.setattr(callers, "SPARE_S", 1.0)


@pytest.mark.timeout(120)
async def test_a_second_dispatch_mixed_results_an_orphan_leaks_and_a_broken_chain() -> None:
    found = await _findings(3, "double_dispatch", "orphan", "leak", "break_chain", "mix_results")
    assert set(found) == {
        "nothing_lost", "nothing_twice", "no_orphans", "nothing_leaked", "ledger_agrees",
    }  # fmt: skip
    assert _says(found["nothing_lost"], "got the wrong result")
    assert _says(found["ledger_agrees"], "the chain is broken at row")
    assert _says(found["nothing_twice"], "ran 2 times")
    assert _says(found["no_orphans"], "sleep 60 (below the connector)")
    assert _says(found["nothing_leaked"], "connector holds more descriptors than before")
    assert _says(found["nothing_leaked"], "connector has more tasks than before")
    assert _says(found["nothing_leaked"], "left behind: tmp/left-")


@pytest.mark.timeout(120)
async def test_lost_forgotten_and_untold_outcomes_and_a_link_that_gives_up() -> None:
    bugs = ("forget_history", "drop_receipts", "swallow_outcomes", "forget_keys", "give_up")
    found = await _findings(2, *bugs)
    # Two calls of one key in the store are an error that is logged; swallowed calls leave few that succeed.
    assert set(found) - {"enough", "nothing_leaked"} == {
        "one_outcome", "nothing_lost", "ledger_agrees", "recovered",
    }  # fmt: skip
    assert _says(found["one_outcome"], "was left without an answer, over an open connection")
    assert _says(found["one_outcome"], "was told two things")
    assert _says(found["nothing_lost"], "but the platform keeps open")
    assert _says(found["nothing_lost"], "outcomes were never confirmed to the connector")
    assert _says(found["ledger_agrees"], "is still open in the ledger")
    assert _says(found["recovered"], "the connector is connecting (disconnected)")
