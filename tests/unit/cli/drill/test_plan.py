"""A storm is drawn from its seed alone, and each kind of fault comes before any comes again."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edge_connector.cli.drill.evidence import Overheard
from edge_connector.cli.drill.plan import CLOSE_CODES, KINDS, storm
from edge_connector.wire.close_codes import Retry, retry_after_close


@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 3))
def test_the_same_seed_gives_the_same_storm_with_every_kind(seed: int, rounds: int) -> None:
    events = storm(seed, rounds * len(KINDS))
    assert events == storm(seed, rounds * len(KINDS))
    assert Counter(event.kind for event in events) == dict.fromkeys(KINDS, rounds)
    assert all(0 < event.after_s < 1 and 0 <= event.for_s < 2 for event in events)


def test_other_seeds_give_other_storms_and_a_storm_may_be_of_one_kind() -> None:
    assert len({tuple(map(str, storm(seed, 5))) for seed in range(20)}) > 15
    assert {event.kind for event in storm(1, 4, kinds=("reset",))} == {"reset"}


def test_close_codes_of_a_storm_are_dialled_again() -> None:
    assert {retry_after_close(code) for code in CLOSE_CODES} == {Retry.BACKOFF}


def test_what_is_overheard_is_what_passed() -> None:
    heard = Overheard()
    heard.take("down", b'[{"type":"call","id":"a","tool":"x"},{"type":"receipt","ids":["b","c"]},[1],3]')
    heard.take("up", b'{"type":"result","id":"a","result":1}')
    heard.take("up", b'[{"type":"failure","id":"d","outcome":"failed","error":{}}]')
    heard.take("up", b"\xff no json")
    # A connector gives no receipts, and a platform reports no outcomes to it.
    heard.take("up", b'{"type":"receipt","ids":["z"]}')
    assert heard.receipts == {"b", "c"} and list(heard.sent_at) == ["a"]
    assert heard.outcomes == {"a": ["succeeded"], "d": ["failed"]}
