from __future__ import annotations

import pytest

from edge_connector.core.errors import (
    EdgeError,
    Fatal,
    LockHeld,
    NeedsLogin,
    NotConnected,
    RetryLater,
    UsageError,
    UserError,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(EdgeError, 1), (UserError, 1), (UsageError, 2), (NeedsLogin, 3), (NotConnected, 4), (LockHeld, 5), (Fatal, 6)],
)
def test_exit_codes(kind: type[EdgeError], code: int) -> None:
    assert kind("some_code", "A sentence.").exit_code == code


def test_an_instance_may_have_its_own_exit_code_and_its_class_keeps_the_old_one() -> None:
    assert UserError("a", "b", exit_code=9).exit_code == 9
    assert UserError("a", "b").exit_code == 1


def test_document() -> None:
    error = UserError("bad_port", "HEALTH_PORT is not a number.", hint="Set it to 8080.")
    assert error.to_document() == {
        "error": {"code": "bad_port", "message": "HEALTH_PORT is not a number.", "hint": "Set it to 8080."}
    }
    assert str(error) == "HEALTH_PORT is not a number."


def test_retry_later_says_when() -> None:
    error = RetryLater("busy", "Too many requests.", after_s=7.5)
    assert error.after_s == 7.5 and error.exit_code == 4
    assert isinstance(error, NotConnected)
