"""`edge-connector doctor`: binds the checks of `runtime.doctor` to the command line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from edge_connector.cli.options import directory_option, installation_directory, json_option, print_json, run_async, say
from edge_connector.core.errors import UsageError
from edge_connector.core.printable import one_line

if TYPE_CHECKING:
    from edge_connector.core.checks import CheckResult

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "bright_black"}


@click.command()
@directory_option
@json_option
@click.option("--fix", "mend", is_flag=True, help="Do what is safe about what is found, and say what was done.")
@click.option("--only", metavar="ID,...", help="Only these checks and what they need.")
def doctor(directory: str | None, as_json: bool, mend: bool, only: str | None) -> int:
    """Look at this installation and say what is wrong and how to mend it.

    Works with and without a running connector, and leaves its session alone. Exit code 0 when no check failed
    (warnings included), 1 when one did.
    """
    # Imported here: the table of commands stays light.
    from edge_connector.core.checks import run_checks
    from edge_connector.runtime.doctor.registry import CHECKS
    from edge_connector.runtime.doctor.subject import Subject

    checks = CHECKS
    if only is not None:
        wanted = _with_needs({name.strip() for name in only.split(",")}, {check.id: check.needs for check in CHECKS})
        checks = tuple(check for check in CHECKS if check.id in wanted)
    home = installation_directory(directory)
    subject = Subject(home, os.environ)
    show = (lambda result: None) if as_json else _show
    results = run_async(run_checks(checks, subject, mend=mend, on_result=show))
    counts = {status: sum(1 for result in results if result.status == status) for status in COLOURS}
    if as_json:
        documents = [result.to_document() for result in results]
        print_json({"schemaVersion": 1, "directory": str(home), "checks": documents, "counts": counts})
    else:
        words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        say(f"\n{home}: {words}")
    return 1 if counts["fail"] else 0


def _with_needs(names: set[str], needs: dict[str, tuple[str, ...]]) -> set[str]:
    if unknown := names - needs.keys():
        raise UsageError(
            "unknown_check",
            f"There is no check `{sorted(unknown)[0]}`.",
            hint=f"The checks are: {', '.join(needs)}.",
        )
    found: set[str] = set()
    while names:
        name = names.pop()
        found.add(name)
        names |= set(needs[name]) - found
    return found


def _show(result: CheckResult) -> None:
    click.secho(f"{result.status.value:<8}", fg=COLOURS[result.status.value], nl=False)
    say(one_line(f"{result.what}: {result.proof}"))
    if result.mended:
        say(one_line(f"        mended: {result.mended}"))
    if result.fix:
        say(one_line(f"        fix: {result.fix}"))
    sys.stdout.flush()
