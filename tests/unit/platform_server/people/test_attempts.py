"""How often a password may be tried."""

from __future__ import annotations

import pytest

from edge_connector.platform_server.people import attempts
from edge_connector.platform_server.people.attempts import FAILURES, LOCKED_S, Attempts
from edge_connector.platform_server.refusals import Refused
from tests.support.people import HandClock


def test_the_last_try_is_named_and_the_lock_does_not_grow_by_trying() -> None:
    clock = HandClock()
    tries = Attempts(clock)
    assert [tries.begin("a", f"10.0.0.{n}") for n in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    for minute in range(int(LOCKED_S // 60)):
        with pytest.raises(Refused, match="locked for another"):
            tries.begin("a", f"10.0.1.{minute}")
        clock.now += 60
    assert tries.begin("a", "10.0.0.1") is False


def test_a_right_password_forgets_earlier_failures_and_accounts_do_not_mix() -> None:
    tries = Attempts(HandClock())
    for number in range(3 * FAILURES):
        tries.begin("a", f"10.0.0.{number}")
        tries.succeeded("a")
    for number in range(FAILURES - 1):
        tries.begin("a", f"10.0.1.{number}")
    tries.begin("b", "10.0.2.1")
    assert tries.begin("a", "10.0.2.2") is True


def test_failures_that_are_long_ago_do_not_count() -> None:
    clock = HandClock()
    tries = Attempts(clock)
    for number in range(3 * FAILURES):
        tries.begin("a", f"10.0.0.{number}")
        clock.now += LOCKED_S


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ACCOUNTS", 3)
    tries = Attempts(HandClock())
    for name in "abcd":
        tries.begin(name, f"10.0.0.{ord(name)}")
    assert list(tries._accounts) == ["b", "c", "d"]
