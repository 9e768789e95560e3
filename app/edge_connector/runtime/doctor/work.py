"""Checks of the work itself: the link's steadiness, the proof, the tools and how their last calls ended."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

from edge_connector.core.checks import Check, Finding, fail, in_thread, ok, skip, warn
from edge_connector.runtime.doctor.subject import Running, Subject
from edge_connector.runtime.state import PROOF_VALID_S
from edge_connector.tools.calls import MIB, CallOutcome, ExecutorConfig, ToolProblem
from edge_connector.tools.environment import scrubbed_environment
from edge_connector.tools.executor import ToolExecutor
from edge_connector.tools.ledger.reading import reading_file
from edge_connector.tools.ledger.tables import read_ends

DROPS_AN_HOUR = 6.0
SLOW_TOOL = (
    "Look for blocking work, long network calls and endless loops in the tool; put time limits on outside calls."
)
RAISING_TOOL = "Catch every exception in the tool and return a structured error object; the log has the traceback."


async def _link(subject: Subject) -> Finding:
    running = await _needed(subject)
    if isinstance(running, Finding):
        return running
    link, process = running.status["link"], running.status["process"]
    hours = max(process["uptimeS"] / 3600, 1 / 60)
    drops = link["reconnects"]
    seen = f"{link['phase']} since {link['since']}, {drops} reconnects in {process['uptimeS']:.0f} s"
    if link["phase"] != "open":
        reason = link["lastError"] or "no attempt has ended yet"
        return fail(f"{seen}: {reason}", "See the checks of the way above; the connector dials again by itself.")
    if drops >= DROPS_AN_HOUR and drops / hours > DROPS_AN_HOUR:
        return warn(
            seen,
            "Occasional drops are normal. Many mean an unstable network or a proxy that closes idle sockets: "
            "it must allow more than 30 s of silence.",
        )
    return ok(seen)


async def _proof(subject: Subject) -> Finding:
    running = await _needed(subject)
    if isinstance(running, Finding):
        return running
    proven = running.status["proven"]
    age_s = proven["ageS"]
    if running.status["state"] in ("paused", "asleep", "stopped"):
        return skip(f"no proof is asked for: {running.status['sentence']}")
    if age_s is None:
        return fail("no call has gone platform, connector, tool worker and back yet", "See the checks above.")
    seen = f"a call went through {age_s:.0f} s ago in {proven['roundTripMs']} ms ({proven['kind']})"
    if age_s > PROOF_VALID_S:
        return fail(f"{seen}; it counts for {PROOF_VALID_S:.0f} s", "See the checks above; the connector dials again.")
    if proven["kind"] == "local":
        return warn(f"{seen}: the platform answers no probes", "Update the platform.")
    return ok(seen)


async def _tools(subject: Subject) -> Finding:
    settings = subject.loaded.settings
    running = await subject.connector()
    if running is not None:
        offered = len(running.status["tools"])
        found = [
            (problem["sentence"], problem["fix"])
            for problem in running.status["problems"]
            if problem["code"] in ("tool_problem", "tools_rejected", "workers_unavailable")
        ]
    else:
        offered, problems = await _import_tools(subject)
        found = [(problem.message, problem.hint or "Mend the tool.") for problem in problems]
    seen = f"{offered} tools are served"
    if not found:
        return ok(f"{seen} ({settings.implementations_path})")
    sentences = " ".join(f"{sentence.rstrip('.')}." for sentence, _ in found)
    fixes = " ".join(dict.fromkeys(fix for _, fix in found))
    return fail(f"{seen}, {len(found)} problems: {sentences}", fixes)


async def _import_tools(subject: Subject) -> tuple[int, tuple[ToolProblem, ...]]:
    """Import the tools in workers of our own, as the connector would, and end those again."""
    settings = subject.loaded.settings
    path = settings.implementations_path
    with tempfile.TemporaryDirectory(prefix="edge-connector-doctor-") as scratch:
        executor = ToolExecutor(
            ExecutorConfig(
                implementations=path if path.exists() else None,
                scratch_root=Path(scratch),
                concurrency=1,
                worker_memory_bytes=settings.tool_memory_mb * MIB,
                max_children=settings.tool_max_children,
                environment=scrubbed_environment(os.environ, settings.tool_environment),
            ),
            _NoCalls(),
        )
        try:
            await executor.start()
            return len(executor.tools), executor.problems
        finally:
            await executor.stop()


class _NoCalls:
    """The sink of an executor that runs no calls."""

    def accepted(self, call_id: str) -> None: ...

    def progress(self, call_id: str, fraction: float | None, message: str) -> None: ...

    def finished(self, outcome: CallOutcome) -> None: ...


async def _calls(subject: Subject) -> Finding:
    running = await _needed(subject)
    if isinstance(running, Finding):
        return running
    if not running.recent:
        return ok("no tool was called yet")
    slow, raising = Counter[str](), Counter[str]()
    for call in running.recent:
        if call["outcome"] == "timed_out":
            slow[call["tool"]] += 1
        elif call["outcome"] == "failed":
            raising[call["tool"]] += 1
    seen = f"of the last {len(running.recent)} calls "
    bad = [f"{count} of {tool} timed out" for tool, count in slow.most_common(3)]
    bad += [f"{count} of {tool} failed" for tool, count in raising.most_common(3)]
    if not bad:
        return ok(f"{seen}none timed out and none failed")
    fixes = ([SLOW_TOOL] if slow else []) + ([RAISING_TOOL] if raising else [])
    return warn(seen + ", ".join(bad), " ".join(fixes))


async def _ledger(subject: Subject) -> Finding:
    path = subject.paths.ledger_file
    if not path.exists():
        return ok(f"there is none yet ({path})")
    events = await in_thread(lambda: _count_events(path))
    return ok(f"{events} events, {path.stat().st_size / MIB:.1f} MiB; `edge-connector calls verify` checks its chain")


def _count_events(path: Path) -> int:
    with reading_file(path) as connection:
        ends = read_ends(connection)
    return ends.head_seq - ends.anchor_seq


async def _needed(subject: Subject) -> Running | Finding:
    running = await subject.connector()
    return skip("no connector runs that could tell") if running is None else running


WORK_CHECKS: tuple[Check[Subject], ...] = (
    Check(
        id="tools",
        what="tools",
        looks_at="Each tool that cannot be imported or is not taken. Without a running connector they are imported "
        "in a worker process that ends again.",
        run=_tools,
        needs=("configuration",),
        timeout_s=45.0,
    ),
    Check(
        id="ledger",
        what="ledger of calls",
        looks_at="Whether it can be read, its size and the number of its events.",
        run=_ledger,
        needs=("directory",),
    ),
    Check(
        id="link",
        what="link",
        looks_at=f"The running connector's link, how often it was lost; warns above {DROPS_AN_HOUR:g} an hour.",
        run=_link,
        needs=("configuration",),
    ),
    Check(
        id="proof",
        what="proof",
        looks_at=f"The age of the last call that went the whole way; fails above {PROOF_VALID_S:.0f} s.",
        run=_proof,
        needs=("configuration",),
    ),
    Check(
        id="calls",
        what="last calls",
        looks_at="Tools whose last calls timed out or failed.",
        run=_calls,
        needs=("configuration",),
    ),
)
