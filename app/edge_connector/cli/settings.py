"""`config show|set|unset|validate`: binds the functions of `config.listing` to the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import click

from edge_connector.cli.options import (
    directory_option,
    installation_directory,
    json_option,
    print_json,
    print_table,
    run_async,
    say,
)
from edge_connector.config import listing
from edge_connector.config.edit import Edit
from edge_connector.config.paths import InstallationPaths, prepare_directory
from edge_connector.config.settings import BY_KEY
from edge_connector.control.client import ControlClient
from edge_connector.control.lock import RuntimeLock
from edge_connector.core.errors import LockHeld, NotConnected, UsageError

Verb = Literal["set", "unset"]


@click.group()
def config() -> None:
    """Show and change settings. Each value shows where it comes from."""


@config.command()
@directory_option
@json_option
def show(directory: str | None, as_json: bool) -> int:
    """Show every setting, its value and its origin."""
    found = listing.show(installation_directory(directory), os.environ)
    if as_json:
        print_json(found.to_document())
        return 0
    say(f"directory: {found.directory}")
    print_table(
        ["setting", "value", "origin"],
        [[row.key, f"{row.value} {row.unit}".strip(), row.origin] for row in found.rows],
    )
    for problem in found.problems:
        say(f"error: {problem.message}\nfix: {problem.hint}", err=True)
    return 0


@config.command("set")
@click.argument("key")
@click.argument("value")
@directory_option
@json_option
def set_(key: str, value: str, directory: str | None, as_json: bool) -> int:
    """Set KEY to VALUE in config.json.

    A secret is read from standard input: give `-` as its value.
    """
    value = _secret_value(key, value)
    return _edit(installation_directory(directory), "set", key, value, as_json=as_json)


@config.command()
@click.argument("key")
@directory_option
@json_option
def unset(key: str, directory: str | None, as_json: bool) -> int:
    """Take KEY out of config.json."""
    return _edit(installation_directory(directory), "unset", key, "", as_json=as_json)


@config.command()
@directory_option
@json_option
def validate(directory: str | None, as_json: bool) -> int:
    """Say everything that is wrong with the configuration."""
    home = installation_directory(directory)
    problems = listing.check(home, os.environ)
    if as_json:
        print_json(listing.check_document(home, problems))
    elif not problems:
        say("The configuration is right.")
    for problem in () if as_json else problems:
        say(f"error: {problem.message}\nfix: {problem.hint}", err=True)
    return 1 if problems else 0


def _secret_value(key: str, value: str) -> str:
    """The value of a secret from standard input; other values as they are.

    Raises:
        UsageError: a secret stands on the command line, where every user of the machine can read it.
    """
    setting = BY_KEY.get(key)
    if setting is None or not setting.secret:
        return value
    if value == "-":
        return sys.stdin.readline().rstrip("\r\n")
    raise UsageError(
        "secret_on_command_line",
        f"{key} is a secret, and other users of this machine can read command lines.",
        hint=f"Give it on standard input: `edge-connector config set {key} - < file`.",
    )


def _edit(home: Path, verb: Verb, key: str, value: str, *, as_json: bool) -> int:
    """Only the holder of the lock writes config.json: this command, or the connector that runs."""
    prepare_directory(home)
    lock = RuntimeLock(InstallationPaths(home).lock_file)
    try:
        lock.acquire(lambda: {"pid": os.getpid(), "program": f"edge-connector config {verb}"})
    except LockHeld as held:
        try:
            document = run_async(_edit_there(home, verb, key, value))
        except NotConnected as error:
            if error.code != "not_running":
                raise
            hint = "It is starting or stopping: try again in a moment."
            raise LockHeld(held.code, held.message, hint=hint) from error
        sentence = document.pop("sentence")
    else:
        try:
            edit = apply_edit(home, verb, key, value)
        finally:
            lock.release()
        document, sentence = listing.edit_document(edit), listing.edit_sentence(edit, verb=verb)
    if as_json:
        print_json(document)
    else:
        say(sentence)
        for warning in document["warnings"]:
            say(f"warning: {warning['message']}", err=True)
    return 0


def apply_edit(home: Path, verb: Verb, key: str, value: str) -> Edit:
    """Change config.json; the caller holds the lock."""
    if verb == "set":
        return listing.set_setting(home, key, value, os.environ)
    return listing.unset_setting(home, key, os.environ)


async def _edit_there(home: Path, verb: Verb, key: str, value: str) -> dict[str, Any]:
    async with ControlClient(home) as client:
        answer: dict[str, Any] = await client.request(f"config.{verb}", key=key, value=value)
        return answer
