"""`calls`: the record of the calls of the connector here, from the connector while it runs, else from its file."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import click

from edge_connector.cli.options import (
    directory_option,
    installation_directory,
    json_option,
    print_json,
    print_table,
    run_async,
)
from edge_connector.core.errors import NotConnected, UsageError, UserError

OUTCOMES = ("succeeded", "refused", "failed", "timed_out", "cancelled", "interrupted", "open")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Source(Protocol):
    """Whoever answers for the ledger."""

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]: ...


@asynccontextmanager
async def ledger_source(directory: Path) -> AsyncIterator[Source]:
    """The running connector, which knows what is not written yet, or else the file."""
    from edge_connector.control.client import ControlClient

    class Runtime:
        async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
            answer: dict[str, Any] = await client.request(method, **params)
            return answer

    client = ControlClient(directory)
    try:
        await client.__aenter__()
    except NotConnected:
        pass
    else:
        try:
            yield Runtime()
        finally:
            await client.close()
        return

    from edge_connector.config.paths import InstallationPaths
    from edge_connector.tools.ledger.reading import answer, reading_file

    with reading_file(InstallationPaths(directory).ledger_file) as connection:

        class File:
            async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
                return answer(connection, method, params)

        yield File()


@click.group()
def calls() -> None:
    """See what was called here and what came of it, and prove that the record is whole."""


@calls.command("list")
@click.option("--tool", default="", metavar="NAME", help="Only calls of this tool.")
@click.option(
    "--outcome",
    default="",
    type=click.Choice(("", *OUTCOMES)),
    metavar="WORD",
    help="Only with this outcome; `open` for none yet.",
)
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Only calls received since then: 2026-11-21T10:00:00Z, or 2h, 30m, 7d ago.",
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="The newest so many.")
@directory_option
@json_option
def list_calls(tool: str, outcome: str, since: str, limit: int, directory: str | None, as_json: bool) -> int:
    """List calls, the newest first."""
    params = {"tool": tool, "outcome": outcome, "since": moment(since), "limit": limit}
    document = run_async(_ask(installation_directory(directory), "calls.list", params))
    if as_json:
        print_json(document)
    elif not document["calls"]:
        click.echo("No calls. They appear here when somebody calls a tool of this connector.")
    else:
        print_table(
            ["received", "tool", "outcome", "ms", "attempt", "for", "id"],
            [
                [
                    call["receivedAt"],
                    call["tool"],
                    (call["outcome"] or call["state"]).replace("_", " "),
                    f"{call['durationMs']:.1f}" if call["outcome"] else "",
                    str(call["attempt"]),
                    call["agent"] or call["user"] or call["source"],
                    call["id"],
                ]
                for call in document["calls"]
            ],
        )
    return 0


@calls.command("show")
@click.argument("call_id", metavar="ID")
@directory_option
@json_option
def show_call(call_id: str, directory: str | None, as_json: bool) -> int:
    """Show one call: arguments without secrets, outcome, and each step with its time."""
    document = run_async(_ask(installation_directory(directory), "calls.show", {"id": call_id}))
    if as_json:
        print_json(document)
        return 0
    outcome = (document["outcome"] or document["state"]).replace("_", " ")
    rows = [
        ("call", document["id"]),
        ("tool", f"{document['tool']} ({document['repeat'] or 'unknown'})"),
        ("outcome", f"{outcome} after {document['durationMs']:.1f} ms" if document["outcome"] else f"open, {outcome}"),
        ("attempt", str(document["attempt"])),
        ("for", " ".join(filter(None, (document["user"], document["agent"]))) or document["source"]),
        *((word, document[f"{word}At"]) for word in _STEPS if f"{word}At" in document),
        ("arguments", _shown(document["arguments"], document["argumentsBytes"])),
    ]
    if document["outcome"] == "succeeded":
        rows.append(("result", _shown(document["result"], document["resultBytes"])))
    elif document["outcome"]:
        rows.append(("error", f"{document['code']}: {document['message']}"))
        if document["hint"]:
            rows.append(("fix", document["hint"]))
    for name, value in rows:
        click.echo(f"{name:<11}{value}")
    return 0


_STEPS = ("received", "accepted", "started", "finished", "reported", "confirmed")


@calls.command("export")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--since", default="", metavar="TIME", help="Only what happened since then, as for `calls list`.")
@directory_option
@json_option
def export(file: Path | None, since: str, directory: str | None, as_json: bool) -> int:
    """Write the record with its hash chain as JSON lines to FILE, or to standard output without one."""
    if as_json and file is None:
        raise UsageError(
            "export_needs_file", "With --json the lines go to a file.", hint="Name one: `calls export FILE --json`."
        )
    report = run_async(_export(installation_directory(directory), file, moment(since)))
    if as_json:
        print_json({"file": str(file), **report})
    elif file is not None:
        click.echo(f"Wrote {report['events']} events of {report['calls']} calls to {file}.")
        click.echo(f"Head: {report['headHash']}")
    return 0


@calls.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--head", default="", metavar="HASH", help="A head that was noted elsewhere: the chain has to contain it."
)
@directory_option
@json_option
def verify(file: Path | None, head: str, directory: str | None, as_json: bool) -> int:
    """Prove that no row was changed, left out or moved; of FILE, an export, or of the record here.

    Exit code 0 when it is intact, 1 when not.
    """
    if file is not None:
        report = _verify_file(file, head)
    else:
        report = run_async(_verify(installation_directory(directory), head))
    if as_json:
        print_json(report)
    elif report["intact"]:
        click.echo(
            f"Intact: {report['events']} events of {report['calls']} calls,"
            f" rows {report['anchorSeq'] + 1} to {report['headSeq']}."
        )
        click.echo(f"Head: {report['headHash']}")
    else:
        click.echo(f"Not intact: {len(report['findings']) + report['moreFindings']} findings.")
        for finding in report["findings"]:
            click.echo(f"  {finding['kind']}: {finding['sentence']}")
        if report["moreFindings"]:
            click.echo(f"  and {report['moreFindings']} more")
    return 0 if report["intact"] else 1


async def _ask(directory: Path, method: str, params: dict[str, Any]) -> dict[str, Any]:
    async with ledger_source(directory) as source:
        return await source.ask(method, params)


async def _verify(directory: Path, head: str) -> dict[str, Any]:
    from edge_connector.tools.ledger.pages import ChainPages

    pages = ChainPages(head=head)
    async with ledger_source(directory) as source:
        while (params := pages.next_request()) is not None:
            pages.take(await source.ask("calls.export", params))
    return _document(pages.report())


def _verify_file(file: Path, head: str) -> dict[str, Any]:
    from edge_connector.core.files import explain_os_error
    from edge_connector.tools.ledger.lines import verify_lines

    with explain_os_error(file), file.open("rb") as lines:
        return _document(verify_lines(lines, head=head))


async def _export(directory: Path, file: Path | None, since: str) -> dict[str, Any]:
    from edge_connector.core.clock import to_iso
    from edge_connector.tools.ledger.lines import LineWriter
    from edge_connector.tools.ledger.pages import ChainPages

    pages = ChainPages(since=since)
    lines = LineWriter(exported_at=to_iso(time.time()))
    async with ledger_source(directory) as source:
        with _target(file) as target:
            while (params := pages.next_request()) is not None:
                target.writelines(lines.take(pages.take(await source.ask("calls.export", params))))
            target.write(lines.end())
    return _document(pages.report())


def _target(file: Path | None) -> Any:
    """Where an export goes: a new file that its user alone may read, or standard output."""
    from contextlib import nullcontext

    from edge_connector.core.files import explain_os_error

    if file is None:
        return nullcontext(sys.stdout.buffer)
    with explain_os_error(file):
        try:
            return os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
        except FileExistsError as error:
            raise UserError(
                "export_exists", f"{file} already exists and is not overwritten.", hint="Name a new file."
            ) from error


def _document(report: Any) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(report)
    return document


def moment(text: str) -> str:
    """An RFC 3339 stamp from itself, or from how long ago it was.

    Raises:
        UsageError: it is neither.
    """
    from edge_connector.core.clock import from_iso, to_iso

    if not text:
        return ""
    if text[-1] in _UNITS_S and text[:-1].isdigit():
        return to_iso(max(time.time() - int(text[:-1]) * _UNITS_S[text[-1]], 0))
    try:
        return to_iso(from_iso(text))
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            "bad_time", f"--since is no time: {text[:60]!r}.", hint="Write 2026-11-21T10:00:00Z, or 2h, 30m or 7d."
        ) from error


def _shown(value: Any, size: int) -> str:
    if value is None:
        return f"not kept ({size} bytes)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
