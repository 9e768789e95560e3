"""`edge-connector logs`: the log of an installation, as it is and as it grows."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_connector.cli.options import directory_option, installation_directory, json_option, print_json, say
from edge_connector.config.paths import InstallationPaths
from edge_connector.core.clock import to_iso
from edge_connector.core.errors import UsageError, UserError
from edge_connector.core.files import explain_os_error
from edge_connector.core.printable import json_text

if TYPE_CHECKING:
    from edge_connector.core.log_reading import Entry, LogFile

DEFAULT_LINES = 50
LOOK_S = 0.2
"""How often a log that is followed is looked at."""
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written, until Ctrl+C.")
@click.option(
    "--lines",
    "-n",
    "limit",
    type=click.IntRange(0),
    help=f"So many of the last entries. [default: {DEFAULT_LINES}; all with --since]",
)
@click.option("--since", metavar="TIME|DURATION", help="Entries from then on, e.g. 2026-01-31T12:00:00Z, 15m, 2h, 1d.")
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="debug",
    help="Least important level that is shown. [default: all that was written]",
)
@directory_option
@json_option
def logs(follow: bool, limit: int | None, since: str | None, level: str, directory: str | None, as_json: bool) -> int:
    """Show the log of this installation, over its rotated parts.

    With --json one document with `entries`; with --follow and --json one entry a line.
    """
    from edge_connector.core.log_reading import LogFile

    start = "" if since is None else moment(since, time.time())
    path = InstallationPaths(installation_directory(directory)).log_file
    if limit is None and since is None:
        limit = DEFAULT_LINES
    log = LogFile(path)
    try:
        with explain_os_error(path):
            found = log.last(limit, level=level, since=start)
            if follow:
                _follow(log, path, found, level=level, since=start, as_json=as_json)
    finally:
        log.close()
    if not found and not _is_there(path):
        raise UserError(
            "no_log",
            f"There is no log yet: {path} does not exist.",
            hint="It is written by `edge-connector run` and by the desktop; name another installation with --dir.",
        )
    if as_json:
        print_json({"schemaVersion": 1, "file": str(path), "entries": [entry.to_document() for entry in found]})
    else:
        _print(found)
    return 0


def _follow(log: LogFile, path: Path, found: list[Entry], *, level: str, since: str, as_json: bool) -> None:
    """Show entries as they come; ended by Ctrl+C alone."""
    if not _is_there(path):
        say(f"There is no log yet: waiting for {path}.", err=True)
    while True:
        for entry in found:
            if entry.is_wanted(level=level, since=since):
                document = json_text(json.dumps(entry.to_document(), ensure_ascii=False)) if as_json else str(entry)
                say(document)
        sys.stdout.flush()
        time.sleep(LOOK_S)
        found = log.new_entries()


def _print(found: list[Entry]) -> None:
    for entry in found:
        say(str(entry))


def _is_there(path: Path) -> bool:
    return path.exists() or Path(f"{path}.1").exists()


def moment(text: str, now: float) -> str:
    """The stamp that `--since` means: a duration before `now` (Unix seconds), or a time (local without a zone).

    Raises:
        UsageError: it is neither.
    """
    if match := re.fullmatch(r"(\d{1,9})([smhd])", text.strip()):
        return to_iso(max(now - int(match[1]) * UNITS_S[match[2]], 0.0))
    try:
        # Without a zone it is this machine's time.
        return to_iso(datetime.fromisoformat(text.strip()).astimezone(UTC).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            "wrong_since",
            f"--since {text[:60]!a} is neither a time nor a duration.",
            hint="Give a time such as 2026-01-31T12:00:00Z, or a duration such as 30s, 15m, 2h or 1d.",
        ) from error
