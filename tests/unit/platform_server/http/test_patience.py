"""Which connections are closed because they ask for nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edge_connector.platform_server.http.patience import Patience, PatientProtocol


class Transport:
    def __init__(self) -> None:
        self.is_cut = False

    def abort(self) -> None:
        self.is_cut = True


@pytest.fixture
def connection() -> PatientProtocol:
    made = PatientProtocol.__new__(PatientProtocol)
    made.idle_since = None
    made.cycle = None  # type: ignore[assignment]
    made.transport = Transport()  # type: ignore[assignment]
    return made


def cycle(*, answered: bool) -> Any:
    return SimpleNamespace(response_complete=answered)


def test_a_connection_without_a_first_request_is_closed_in_time(connection: PatientProtocol) -> None:
    patience = Patience(75, first_request_s=20)
    for now, closed in ((100, 0), (120, 0), (121, 1)):
        assert patience.look({connection}, now) == closed
    assert connection.transport.is_cut  # type: ignore[attr-defined]


def test_one_that_was_answered_may_rest_and_one_that_works_is_left_alone(connection: PatientProtocol) -> None:
    patience = Patience(75, first_request_s=20)
    connection.cycle = cycle(answered=False)
    for now in (0, 1000):
        assert patience.look({connection}, now) == 0
    connection.cycle = cycle(answered=True)
    for now, closed in ((1001, 0), (1095, 0), (1097, 1)):
        assert patience.look({connection}, now) == closed


def test_sessions_are_not_its_business() -> None:
    assert Patience(1, first_request_s=1).look({object()}, 1e9) == 0
