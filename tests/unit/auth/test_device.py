from __future__ import annotations

import pytest

from edge_connector.auth.device import MAX_SILENCE_S, DeviceFlow
from edge_connector.core.errors import EdgeError, NeedsLogin, UserError


def flow(now: float = 100.0, **options: float) -> DeviceFlow:
    return DeviceFlow.begin(
        device_code="secret-device-code",
        user_code="BDWP-HQPK",
        verification_uri="http://localhost/device",
        expires_in_s=options.get("expires_in_s", 600.0),
        interval_s=options.get("interval_s", 5.0),
        now=now,
    )


def test_the_first_question_waits_for_the_interval() -> None:
    assert flow().wait_s(now=100.0) == 5.0
    assert not flow().is_due(now=104.9)
    assert flow().is_due(now=105.0)


def test_pending_keeps_the_interval_and_slow_down_adds_five_seconds_for_good() -> None:
    pending = flow().answered("authorization_pending", "", now=105.0)
    assert pending.wait_s(now=105.0) == 5.0
    slower = pending.answered("slow_down", "", now=110.0)
    assert slower.wait_s(now=110.0) == 10.0
    slowest = slower.answered("slow_down", "", now=120.0).answered("authorization_pending", "", now=135.0)
    assert slowest.wait_s(now=135.0) == 15.0


def test_each_failure_to_connect_doubles_the_wait_until_an_answer_comes() -> None:
    waits, silent = [], flow()
    for _ in range(6):
        silent = silent.unreachable(now=105.0)
        waits.append(silent.wait_s(now=105.0))
    assert waits == [10.0, 20.0, 40.0, MAX_SILENCE_S, MAX_SILENCE_S, MAX_SILENCE_S]
    assert silent.answered("authorization_pending", "", now=200.0).wait_s(now=200.0) == 5.0
    patient = flow(interval_s=90.0).unreachable(now=190.0)
    assert patient.wait_s(now=190.0) == 90.0, "never sooner than the interval"


@pytest.mark.parametrize(
    ("error", "code", "kind", "words"),
    [
        ("access_denied", "sign_in_denied", NeedsLogin, "denied on the approval page"),
        ("expired_token", "sign_in_expired", NeedsLogin, "not approved in time"),
        ("invalid_grant", "sign_in_refused", UserError, "invalid_grant (replayed)"),
    ],
)
def test_each_end_is_said(error: str, code: str, kind: type[EdgeError], words: str) -> None:
    with pytest.raises(kind) as caught:
        flow().answered(error, "replayed", now=105.0)
    assert caught.value.code == code
    assert words in caught.value.message and caught.value.hint


def test_it_ends_by_itself_when_the_time_is_over_and_is_not_asked_sooner_for_it() -> None:
    late = flow(expires_in_s=7.0).answered("authorization_pending", "", now=105.0)
    assert late.wait_s(now=105.0) == 2.0
    assert not late.is_due(now=107.0), "the interval holds"
    with pytest.raises(NeedsLogin) as caught:
        late.wait_s(now=107.0)
    assert caught.value.code == "sign_in_expired"


def test_the_secret_half_is_not_shown() -> None:
    assert "secret-device-code" not in repr(flow())
    assert flow().address == "http://localhost/device"
