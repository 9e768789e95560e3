"""`autostart enable|disable|status`: starting the connector with the session; thin over `edge_connector.autostart`."""

from __future__ import annotations

import sys

import click

from edge_connector.autostart import facade
from edge_connector.autostart.entry import Kind
from edge_connector.cli.options import directory_option, installation_directory, json_option, print_json, say

runtime_option = click.option(
    "--runtime",
    is_flag=True,
    help="The headless runtime instead of the desktop application: a systemd user unit on Linux, an agent on macOS.",
)


@click.group()
def autostart() -> None:
    """Start the connector with your session. Several installations have an entry each."""


@autostart.command()
@directory_option
@runtime_option
@json_option
def enable(directory: str | None, runtime: bool, as_json: bool) -> int:
    """Switch autostart on, or mend its entry after the program moved; reads back what it wrote."""
    now = facade.enable(installation_directory(directory), _kind(runtime))
    if as_json:
        print_json(now.to_document())
    else:
        say(f"Autostart is on: {now.entry}")
        say(_when(now))
    return 0


@autostart.command()
@directory_option
@runtime_option
@json_option
def disable(directory: str | None, runtime: bool, as_json: bool) -> int:
    """Switch autostart off. What runs goes on running."""
    removed = facade.disable(installation_directory(directory), _kind(runtime))
    if as_json:
        print_json({"schemaVersion": facade.SCHEMA_VERSION, "enabled": False, "removed": removed})
    elif removed:
        say("Autostart is off. Removed: " + ", ".join(removed))
    else:
        say("Autostart was off already.")
    return 0


@autostart.command()
@directory_option
@runtime_option
@json_option
def status(directory: str | None, runtime: bool, as_json: bool) -> int:
    """Show the entry, what it starts and whether it would work.

    Exit code 0 when autostart is off, or on and would work; 1 when something is wrong with it.
    """
    now = facade.status(installation_directory(directory), _kind(runtime))
    if as_json:
        print_json(now.to_document())
        return 1 if now.problem else 0
    say(f"autostart   {'on' if now.enabled else 'off'}")
    say(f"entry       {now.entry}{'' if now.enabled else ' (not there)'}")
    if now.enabled:
        say(f"starts      {' '.join(now.command) or 'cannot be read'}")
        say(f"program     {'is there' if now.program_exists else 'is missing'}")
        say(f"next login  {_when(now) if now.would_start else 'does not start this installation'}")
    for place in now.abandoned:
        say(f"left over   {place}")
    if now.problem:
        say(f"error: {now.problem}\nfix: {now.fix}", err=True)
    return 1 if now.problem else 0


def _kind(runtime: bool) -> Kind:
    return Kind.RUNTIME if runtime else Kind.DESKTOP


def _when(now: facade.AutostartStatus) -> str:
    if now.kind is Kind.RUNTIME and sys.platform == "linux":
        from edge_connector.autostart.linux import lingers

        if lingers():
            return "It starts at boot."
        return "It starts at the next login; `loginctl enable-linger` makes that the next boot."
    return "It starts at the next login."
