"""`edge-connector drill`: the short form of the fault tests, for everybody and on any machine."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from edge_connector.cli.options import json_option, print_json
from edge_connector.cli.platform import need_platform_extra
from edge_connector.core.errors import EdgeError, UserError

if TYPE_CHECKING:
    from edge_connector.cli.drill.evidence import Evidence

EVENTS = 19
"""Each kind of fault once."""
STORM_S = 22.0
LIMIT_S = 90.0
"""A drill takes half a minute; one that hangs is a failure, not a wait."""
MAX_SHOWN = 10


@click.command()
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Repeat the storm of this seed. [default: a new one]")
@json_option
def drill(seed: int | None, as_json: bool) -> int:
    """Let faults loose on a platform and a connector of its own, and check what came of the calls.

    For half a minute connections are cut, frozen, slowed, corrupted and refused, and connector, platform and a tool
    worker are killed, while callers call tools. Then the checks are made. It uses a temporary folder and free ports;
    your installation is not touched. Exit code 0 when every check holds, 1 when one does not.
    """
    need_platform_extra()
    if sys.platform != "linux":
        raise UserError("drill_not_here", "The drill counts processes and descriptors as Linux shows them.")
    chosen = secrets.randbelow(2**32) if seed is None else seed
    return asyncio.run(_drill(chosen, as_json=as_json))


async def _drill(seed: int, *, as_json: bool) -> int:
    from edge_connector.runtime.main import stop_signals

    task = asyncio.current_task()
    assert task is not None, "runs in a task"
    interrupted = False

    def on_signal(name: str) -> None:
        nonlocal interrupted
        # Once: whatever comes later must not end the clearing up.
        if not interrupted:
            interrupted = True
            task.cancel()

    with stop_signals(on_signal):
        try:
            async with asyncio.timeout(LIMIT_S):
                return await _run(seed, as_json=as_json)
        except TimeoutError as error:
            hint = f"Repeat it with --seed {seed}; if it hangs again, report that."
            raise UserError("drill_hangs", f"The drill did not end within {LIMIT_S:.0f} s.", hint=hint) from error
        except asyncio.CancelledError:
            if not interrupted:
                raise
            if as_json:
                print_json(EdgeError("interrupted", "The drill was interrupted.").to_document())
            return 130


async def _run(seed: int, *, as_json: bool) -> int:
    from edge_connector.cli.drill.checks import CHECKS
    from edge_connector.cli.drill.plan import storm
    from edge_connector.cli.drill.world import World, summary

    started = time.monotonic()
    events: list[dict[str, Any]] = []

    def say(text: str) -> None:
        if not as_json:
            click.echo(text)

    def on_event(text: str) -> None:
        at_s = round(time.monotonic() - started, 1)
        events.append({"atS": at_s, "fault": text})
        say(f"  {at_s:5.1f} s  {text}")

    say(f"Drill with seed {seed}: a platform and a connector of its own, and faults.")
    async with World(seed=seed, on_event=on_event) as world:
        over = time.monotonic() + STORM_S
        # On a slow machine the last faults are left out rather than waited for.
        await world.weather(itertools.takewhile(lambda _: time.monotonic() < over, storm(seed, EVENTS)))
        await world.recover()
        evidence = await world.close_books()
    counts = summary(evidence)
    checks = [(check, check.findings(evidence)) for check in CHECKS]
    passed = not any(findings for _, findings in checks)
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        print_json(_document(seed, passed, seconds, counts, checks, events, evidence))
        return 0 if passed else 1
    outcomes = ", ".join(f"{count} {word}" for word, count in counts["outcomes"].items())
    say(f"\n{counts['calls']} calls ({outcomes}), {counts['runs']} runs, {counts['confirmed']} confirmed.\n")
    for check, findings in checks:
        say(f"{'FAIL' if findings else 'ok  '} {check.title}")
        for finding in findings[:MAX_SHOWN]:
            say(f"       {finding}")
        if len(findings) > MAX_SHOWN:
            say(f"       and {len(findings) - MAX_SHOWN} more")
    say(f"\n{'Passed' if passed else 'Failed'} in {seconds:.0f} s. The same again: edge-connector drill --seed {seed}")
    return 0 if passed else 1


def _document(
    seed: int,
    passed: bool,
    seconds: float,
    counts: dict[str, Any],
    checks: list[tuple[Any, list[str]]],
    events: list[dict[str, Any]],
    evidence: Evidence,
) -> dict[str, Any]:
    return {
        "seed": seed,
        "passed": passed,
        "seconds": seconds,
        **counts,
        "recovery": evidence.recovery,
        "checks": [
            {"id": check.id, "title": check.title, "status": "fail" if findings else "ok", "findings": findings}
            for check, findings in checks
        ],
        "faults": events,
    }
