"""The questions that a drill answers, each decided alone from what was written down. Pure.

Each check returns what it found wrong, one sentence a finding; an empty list means that it holds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from edge_connector.cli.drill.evidence import LOST, MISSING, Census, Evidence

DESCRIPTORS_OF_A_WORKER = 5
"""Its socket, its output pipes, and what watches its end."""
MIN_SUCCEEDED = 20
UNWRITTEN_S = 0.3
"""A call without a key is written down a moment after it was sent: a platform that is killed before never knew it."""
TASKS_OF_A_WORKER = 5
SPARE_THREADS = min(32, (os.cpu_count() or 1) + 4) + 4
"""The thread pool of asyncio grows on demand to so many (concurrent.futures); a few others come with databases."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question and how it is decided."""

    id: str
    title: str
    findings: Callable[[Evidence], list[str]]


def one_outcome(evidence: Evidence) -> list[str]:
    """Each call ended once at its caller, and asking again with its key gave the same."""
    found = []
    for call in evidence.calls:
        if not call.answers:
            found.append(f"call {call.number} ({call.tool}) never got an outcome")
            continue
        if call.silences:
            found.append(f"call {call.number} ({call.tool}) was left without an answer, over an open connection")
        first = call.answers[0]
        for other in call.answers[1:]:
            if other != first:
                told = f"{first.outcome} as {first.call_id}, then {other.outcome} as {other.call_id}"
                found.append(f"call {call.number} ({call.tool}) was told two things: {told}")
                break
    return found


def nothing_twice(evidence: Evidence) -> list[str]:
    """No tool that may run once ran twice, and what was refused never ran."""
    runs = Counter(run.number for run in evidence.runs)
    found = []
    for call in evidence.calls:
        times = runs.pop(call.number, 0)
        if call.repeat == "once" and times > 1:
            ids = sorted({run.call for run in evidence.runs if run.number == call.number})
            found.append(f"call {call.number} ({call.tool}) ran {times} times, as {', '.join(ids)}")
        if call.outcome == "refused" and times:
            found.append(f"call {call.number} ({call.tool}) was refused ({call.answers[0].code}), but it ran")
    found += [f"a run of call {number}, which nobody made" for number in runs]
    return found


def nothing_lost(evidence: Evidence) -> list[str]:
    """Results are the right ones, and whatever was confirmed to the connector or told to a caller is kept."""
    ran = {run.number for run in evidence.runs}
    found = []
    for call in evidence.calls:
        wrong = [each.result for each in call.answers if each.outcome == "succeeded" and each.result != call.expected]
        found += [f"call {call.number} ({call.tool}) got the wrong result {str(result)[:100]}" for result in wrong]
        if call.outcome in ("succeeded", "failed") and call.number not in ran:
            found.append(f"call {call.number} ({call.tool}) {call.outcome}, but it never ran")
        if call.key and call.call_id and call.outcome != LOST:
            kept = evidence.history.get(call.call_id)
            if kept is not None and kept.outcome != call.outcome:
                told = f"{call.outcome}, the platform keeps {kept.outcome}"
                found.append(f"call {call.number} ({call.tool}) was told {told}")
    keyed = {call.call_id for call in evidence.calls if call.key}
    for call_id in sorted(evidence.overheard.receipts):
        kept, reported = evidence.history.get(call_id), evidence.overheard.outcomes.get(call_id)
        if kept is None or not reported:
            continue
        if kept.outcome == MISSING:
            sent_at = evidence.overheard.sent_at.get(call_id, 0.0)
            if call_id not in keyed and any(0 <= kill - sent_at < UNWRITTEN_S for kill in evidence.platform_kills):
                continue
            found.append(f"{call_id} was confirmed as {reported[0]}, but the platform does not know it")
        elif not {kept.outcome, kept.late} & set(reported):
            # More than one: a call that may be repeated was sent again after an interruption.
            told = " and ".join(reported)
            found.append(f"{call_id} was confirmed as {told}, but the platform keeps {kept.outcome}")
    if evidence.unconfirmed:
        found.append(f"{evidence.unconfirmed} outcomes were never confirmed to the connector")
    return found


def no_orphans(evidence: Evidence) -> list[str]:
    """Nothing that a connector or a platform started lives longer than it."""
    return list(evidence.strays)


def nothing_leaked(evidence: Evidence) -> list[str]:
    """As many descriptors, threads and tasks as before, no file left, and no complaint in the logs."""
    found = [f"left behind: {name}" for name in evidence.left_files]
    for program, after in evidence.after.items():
        found += grown(program, evidence.before[program], after)
    found += [f"in the log: {line}" for line in evidence.complaints]
    return found


def grown(program: str, before: Census, after: Census) -> list[str]:
    """What a program holds more of than before; workers are made on demand and bring what they need."""
    more_workers = after.workers - before.workers
    found = []
    if sum(after.descriptors.values()) > sum(before.descriptors.values()) + more_workers * DESCRIPTORS_OF_A_WORKER:
        kinds = ", ".join(
            f"{kind} {before.descriptors.get(kind, 0)} to {count}"
            for kind, count in sorted(after.descriptors.items())
            if count > before.descriptors.get(kind, 0)
        )
        found.append(
            f"{program} holds more descriptors than before: {kinds} (workers: {before.workers} to {after.workers})"
        )
    told = before.tasks is not None and after.tasks is not None
    if told and (after.tasks or 0) > (before.tasks or 0) + max(more_workers, 0) * TASKS_OF_A_WORKER:
        found.append(f"{program} has more tasks than before: {before.tasks} to {after.tasks}")
    if after.threads > before.threads + SPARE_THREADS:
        found.append(f"{program} has more threads than before: {before.threads} to {after.threads}")
    return found


def recovered(evidence: Evidence) -> list[str]:
    """After the last fault the connector works again by itself, with a proof that is younger than the fault."""
    end = evidence.recovery
    found = []
    if end.get("state") != "working":
        problems = ", ".join(end.get("problems", [])) or "no problem named"
        found.append(f"the connector is {end.get('state', 'gone')} ({problems})")
    elif not end.get("provenAfterFault"):
        found.append("the connector says that it works, without a proof since the fault")
    found += [f"{program} ended with {code}" for program, code in evidence.exit_codes.items() if code != 0]
    return found


def ledger_agrees(evidence: Evidence) -> list[str]:
    """The connector's ledger is whole, has every call that may run once and ran, and waits for nothing."""
    once = {call.number: call for call in evidence.calls if call.repeat == "once"}
    found = [f"the chain is broken at row {seq}" for seq in evidence.broken_links]
    unknown = [run for run in evidence.runs if run.number in once and run.call not in evidence.ledger]
    found += [f"call {run.number} ran as {run.call}, but the ledger does not have it" for run in unknown]
    found += [f"{call_id} is still open in the ledger" for call_id, entry in evidence.ledger.items() if entry.is_open]
    for call in once.values():
        entry = evidence.ledger.get(call.call_id)
        if entry is not None and call.outcome == "succeeded" and entry.outcome not in ("succeeded", "interrupted"):
            found.append(f"call {call.number} succeeded, the ledger says {entry.outcome or 'nothing'}")
    return found


def enough(evidence: Evidence) -> list[str]:
    """So many calls got through that the other checks say something."""
    succeeded = sum(call.outcome == "succeeded" for call in evidence.calls)
    return [] if succeeded >= MIN_SUCCEEDED else [f"only {succeeded} of {len(evidence.calls)} calls succeeded"]


CHECKS = (
    Check("one_outcome", "each call has exactly one outcome", one_outcome),
    Check("nothing_twice", "nothing ran twice that may run once", nothing_twice),
    Check("nothing_lost", "no confirmed result is lost or wrong", nothing_lost),
    Check("ledger_agrees", "the connector's ledger is whole and agrees", ledger_agrees),
    Check("no_orphans", "no process is orphaned", no_orphans),
    Check("nothing_leaked", "no descriptor, task or file is leaked", nothing_leaked),
    Check("recovered", "works again by itself, with proof", recovered),
    Check("enough", "enough calls got through to prove something", enough),
)
