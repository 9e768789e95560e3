"""`status` and `stop`: commands to the connector that runs on this machine, over its command socket."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import click

from edge_connector.cli.options import directory_option, installation_directory, json_option, print_json, run_async, say
from edge_connector.config.paths import InstallationPaths
from edge_connector.control.client import ControlClient
from edge_connector.control.lock import read_lock
from edge_connector.core.errors import EdgeError, NotConnected


@click.command()
@directory_option
@json_option
@click.option("--watch", is_flag=True, help="Print a line at each change until Ctrl+C.")
def status(directory: str | None, as_json: bool, watch: bool) -> int:
    """Show the state of the running connector.

    Exit code 0 when it works, 1 when it does not, 4 when none runs.
    """
    return run_async(_status(installation_directory(directory), as_json=as_json, watch=watch))


async def _status(directory: Path, *, as_json: bool, watch: bool) -> int:
    async with ControlClient(directory) as client:
        if watch:
            last = ""
            async for document in client.watch():
                line = f"{document['since']} {document['sentence']}"
                if as_json:
                    print_json(document)
                elif line != last:
                    say(line)
                    last = line
            return 0
        document = await client.request("status")
    if as_json:
        print_json(document)
    else:
        _show_status(document)
    return 0 if document["state"] in ("working", "working_with_problems") else 1


def _show_status(document: dict[str, Any]) -> None:
    process, link, who, proven = (document[part] for part in ("process", "link", "authorised", "proven"))
    say(document["sentence"])
    for problem in document["problems"]:
        say(f"  {problem['severity']}: {problem['sentence']} (since {problem['since']})")
        say(f"  fix: {problem['fix']}")
    say()
    proof = f"{proven['ageS']} s ago, {proven['roundTripMs']} ms, {proven['kind']}" if proven.get("at") else "not yet"
    accepted = "accepted" if who["accepted"] else "not accepted yet"
    rows = [
        ["process", f"pid {process['pid']}, up {process['uptimeS']} s, version {process['version']}"],
        ["link", f"{link['phase']} to {link['url']}"],
        ["authorised", f"{accepted}: {who['deployment'] or who['deploymentId'] or who['method']} ({who['source']})"],
        ["proven", proof],
        ["signed in", _signed_in(document.get("signIn") or {})],
        ["organization", who["organization"] or who["organizationId"]],
        ["tools", f"{len(document['tools'])} ({document['bundle']['source']})"],
        ["calls", _calls(document["calls"])],
        ["ledger", _ledger(document["ledger"])],
        ["workers", str(len(document["workers"]))],
        ["health", f"http://{document['health']['host']}:{document['health']['port']}/statusz"],
        ["directory", process["directory"]],
    ]
    for name, value in rows:
        say(f"  {name:<13}{value}")


def _ledger(ledger: dict[str, Any]) -> str:
    if ledger["problem"]:
        return f"cannot be written ({ledger['problem']}), {ledger['waiting']} entries wait"
    return f"{ledger['calls']} calls, {ledger['sizeBytes'] / 1e6:.1f} MB"


def _signed_in(sign_in: dict[str, Any]) -> str:
    """Of the person; the link may live by a deployment's secret."""
    match sign_in.get("phase"):
        case "waiting":
            return "waiting for the approval in the browser"
        case "locked":
            return "not known while the keyring is locked"
        case "signed_in":
            place = "the keyring" if sign_in["keptIn"] == "keyring" else sign_in["keptIn"]
            until = f", until {sign_in['expiresAt']}" if sign_in["expiresAt"] else ""
            renewed = ", renewed by itself" if sign_in["renewable"] else ""
            return f"{sign_in['user'] or 'somebody'}; token in {place}{until}{renewed}"
    return "nobody"


def _calls(calls: dict[str, Any]) -> str:
    ended = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(calls["outcomes"].items()))
    return f"{calls['running']} running, {calls['queued']} queued of {calls['slots']} slots; {ended or 'none ended'}"


@click.command()
@directory_option
@json_option
@click.option("--force", is_flag=True, help="Stop although calls are running; they get the grace period to finish.")
@click.option(
    "--timeout", "timeout_s", type=float, default=60.0, show_default=True, help="Seconds to wait for the end."
)
def stop(directory: str | None, as_json: bool, force: bool, timeout_s: float) -> int:
    """Stop the connector of this installation directory and wait until it has ended."""
    home = installation_directory(directory)
    answer = run_async(_stop(home, force=force, timeout_s=timeout_s))
    if as_json:
        print_json(answer)
    else:
        say(f"Stopped (pid {answer['pid']}).")
    return 0


async def _stop(directory: Path, *, force: bool, timeout_s: float) -> dict[str, Any]:
    async with ControlClient(directory) as client:
        pid = client.hello["pid"]
        answer = await client.request("stop", force=force)
    deadline = time.monotonic() + timeout_s
    # The socket closes first; who starts the next connector needs the lock, which goes last.
    while await _answers(directory) or _holds_lock(directory, pid):
        if time.monotonic() > deadline:
            raise EdgeError(
                "still_stopping",
                f"The connector (pid {pid}) is still stopping after {timeout_s:.0f} s.",
                hint="It waits for running calls; look at `edge-connector status`.",
            )
        await asyncio.sleep(0.1)
    return {"stopped": True, "pid": pid, "running": answer["running"]}


def _holds_lock(directory: Path, pid: int) -> bool:
    found = read_lock(InstallationPaths(directory).lock_file)
    return found is not None and found.get("pid") == pid and _lives(pid)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


async def _answers(directory: Path) -> bool:
    try:
        async with ControlClient(directory):
            return True
    except NotConnected:
        return False
