"""Each check is silent on good evidence and names what is wrong in bad evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_connector.cli.drill.checks import CHECKS, MIN_SUCCEEDED
from edge_connector.cli.drill.evidence import (
    LOST,
    MISSING,
    Answer,
    CallRecord,
    Census,
    Entry,
    Evidence,
    Kept,
    Overheard,
    Run,
)

CENSUS = Census({"socket": 5, "file": 3}, threads=3, workers=2, tasks=10)


def good() -> Evidence:
    """A drill in which all went well: half of the calls with a key."""
    evidence = Evidence(
        before={"connector": CENSUS, "platform": CENSUS},
        after={"connector": CENSUS, "platform": CENSUS},
        exit_codes={"connector": 0, "platform": 0},
        recovery={"state": "working", "provenAfterFault": True, "problems": [], "seconds": 5.5},
    )
    for number in range(1, MIN_SUCCEEDED + 5):
        answer = Answer("succeeded", "", f"call_{number}", {"square": number * number})
        again = [answer] if number % 2 else []
        call = CallRecord(number, "markOnce", "once", {}, answer.result, "key" if again else "", [answer, *again])
        evidence.calls.append(call)
        evidence.runs.append(Run(number, answer.call_id))
        evidence.history[answer.call_id] = Kept("succeeded")
        evidence.overheard.outcomes[answer.call_id] = ["succeeded"]
        evidence.overheard.receipts.add(answer.call_id)
        evidence.overheard.sent_at[answer.call_id] = 100.0
        evidence.ledger[answer.call_id] = Entry("succeeded", is_open=False)
    refused = CallRecord(99, "markOnce", "once", {}, None, "", [Answer("refused", "connector_unavailable")])
    lost = CallRecord(98, "markRead", "read", {}, None, "", [Answer(LOST, "platform_unreachable")])
    evidence.calls += [refused, lost]
    # What is read-only may run again, and a lost call may have run.
    evidence.runs += [Run(98, "call_98"), Run(98, "call_98")]
    return evidence


def findings(evidence: Evidence) -> dict[str, list[str]]:
    """What each check finds, for those that find something."""
    return {check.id: found for check in CHECKS if (found := check.findings(evidence))}


def test_good_evidence_passes_every_check() -> None:
    assert findings(good()) == {}


def _never_answered(evidence: Evidence) -> None:
    evidence.calls[0].answers.clear()


def _two_answers(evidence: Evidence) -> None:
    evidence.calls[0].answers[1] = replace(evidence.calls[0].answers[1], outcome="interrupted")


def _silence(evidence: Evidence) -> None:
    evidence.calls[1].silences = 1


def _ran_twice(evidence: Evidence) -> None:
    evidence.runs.append(Run(2, "call_other"))
    evidence.ledger["call_other"] = Entry("succeeded", is_open=False)


def _refused_but_ran(evidence: Evidence) -> None:
    evidence.runs.append(Run(99, "call_99"))
    evidence.ledger["call_99"] = Entry("succeeded", is_open=False)


def _run_of_nobody(evidence: Evidence) -> None:
    evidence.runs.append(Run(12345, "call_x"))


def _wrong_result(evidence: Evidence) -> None:
    evidence.calls[1].answers[0] = replace(evidence.calls[1].answers[0], result={"square": -1})


def _succeeded_without_run(evidence: Evidence) -> None:
    evidence.runs.pop(0)


def _confirmed_and_forgotten(evidence: Evidence) -> None:
    evidence.history["call_2"] = Kept(MISSING)


def _confirmed_and_changed(evidence: Evidence) -> None:
    evidence.history["call_2"] = Kept("interrupted")


def _told_and_changed(evidence: Evidence) -> None:
    evidence.overheard = Overheard()
    evidence.history["call_1"] = Kept("interrupted", late="succeeded")


def _unconfirmed(evidence: Evidence) -> None:
    evidence.unconfirmed = 3


def _broken_chain(evidence: Evidence) -> None:
    evidence.broken_links.append(17)


def _not_in_ledger(evidence: Evidence) -> None:
    del evidence.ledger["call_3"]


def _open_in_ledger(evidence: Evidence) -> None:
    evidence.ledger["call_3"] = Entry("succeeded", is_open=True)


def _other_in_ledger(evidence: Evidence) -> None:
    evidence.ledger["call_3"] = Entry("failed", is_open=False)


def _orphan(evidence: Evidence) -> None:
    evidence.strays.append("4711: sleep 600 (below the connector)")


def _descriptor(evidence: Evidence) -> None:
    evidence.after["connector"] = replace(CENSUS, descriptors={"socket": 5, "file": 4})


def _task(evidence: Evidence) -> None:
    evidence.after["platform"] = replace(CENSUS, tasks=11)


def _threads(evidence: Evidence) -> None:
    evidence.after["platform"] = replace(CENSUS, threads=60)


def _file(evidence: Evidence) -> None:
    evidence.left_files.append("tmp/edge-tool-x")


def _complaint(evidence: Evidence) -> None:
    evidence.complaints.append("connector: Task exception was never retrieved")


def _not_working(evidence: Evidence) -> None:
    evidence.recovery.update(state="connecting", problems=["disconnected"])


def _no_proof(evidence: Evidence) -> None:
    evidence.recovery["provenAfterFault"] = False


def _bad_exit(evidence: Evidence) -> None:
    evidence.exit_codes["platform"] = -11


def _nothing_got_through(evidence: Evidence) -> None:
    for call in evidence.calls:
        call.answers = [Answer("refused", "connector_unavailable")]
    evidence.runs.clear()
    evidence.overheard = Overheard()


@pytest.mark.parametrize(
    ("spoil", "check", "says"),
    [
        (_never_answered, "one_outcome", "call 1 (markOnce) never got an outcome"),
        (_two_answers, "one_outcome", "was told two things: succeeded as call_1, then interrupted"),
        (_silence, "one_outcome", "call 2 (markOnce) was left without an answer"),
        (_ran_twice, "nothing_twice", "call 2 (markOnce) ran 2 times, as call_2, call_other"),
        (_refused_but_ran, "nothing_twice", "call 99 (markOnce) was refused (connector_unavailable), but it ran"),
        (_run_of_nobody, "nothing_twice", "a run of call 12345, which nobody made"),
        (_wrong_result, "nothing_lost", "got the wrong result {'square': -1}"),
        (_succeeded_without_run, "nothing_lost", "call 1 (markOnce) succeeded, but it never ran"),
        (_confirmed_and_forgotten, "nothing_lost", "call_2 was confirmed as succeeded, but the platform does not know"),
        (_confirmed_and_changed, "nothing_lost", "call_2 was confirmed as succeeded, but the platform keeps inter"),
        (_told_and_changed, "nothing_lost", "was told succeeded, the platform keeps interrupted"),
        (_unconfirmed, "nothing_lost", "3 outcomes were never confirmed"),
        (_broken_chain, "ledger_agrees", "the chain is broken at row 17"),
        (_not_in_ledger, "ledger_agrees", "call 3 ran as call_3, but the ledger does not have it"),
        (_open_in_ledger, "ledger_agrees", "call_3 is still open in the ledger"),
        (_other_in_ledger, "ledger_agrees", "call 3 succeeded, the ledger says failed"),
        (_orphan, "no_orphans", "4711: sleep 600"),
        (_descriptor, "nothing_leaked", "connector holds more descriptors than before: file 3 to 4"),
        (_task, "nothing_leaked", "platform has more tasks than before: 10 to 11"),
        (_threads, "nothing_leaked", "platform has more threads than before: 3 to 60"),
        (_file, "nothing_leaked", "left behind: tmp/edge-tool-x"),
        (_complaint, "nothing_leaked", "in the log: connector: Task exception"),
        (_not_working, "recovered", "the connector is connecting (disconnected)"),
        (_no_proof, "recovered", "without a proof since the fault"),
        (_bad_exit, "recovered", "platform ended with -11"),
        (_nothing_got_through, "enough", "only 0 of"),
    ],
)
def test_bad_evidence_is_named_by_its_check_alone(spoil: Callable[[Evidence], None], check: str, says: str) -> None:
    evidence = good()
    spoil(evidence)
    found = findings(evidence)
    assert list(found) == [check]
    assert any(says in finding for finding in found[check]), found


def test_a_worker_more_brings_what_it_needs_and_no_more() -> None:
    evidence = good()
    evidence.after["connector"] = Census({"socket": 10, "file": 3}, threads=3, workers=3, tasks=12)
    assert findings(evidence) == {}
    evidence.after["connector"] = Census({"socket": 11, "file": 3}, threads=3, workers=3, tasks=12)
    assert list(findings(evidence)) == ["nothing_leaked"]
    # A worker less has to leave as little behind.
    evidence.after["connector"] = Census({"socket": 1, "file": 3}, threads=3, workers=1, tasks=10)
    assert list(findings(evidence)) == ["nothing_leaked"]


def test_a_platform_killed_right_after_it_sent_a_call_without_key_need_not_know_it() -> None:
    evidence = good()
    _confirmed_and_forgotten(evidence)
    evidence.platform_kills.append(100.1)
    assert findings(evidence) == {}
    evidence.platform_kills[:] = [99.9, 103.0]
    assert list(findings(evidence)) == ["nothing_lost"]
