"""Options that several commands share, and the configuration they lead to."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_connector.config.loading import LoadedConfig, load
from edge_connector.config.paths import choose_directory
from edge_connector.config.settings import SETTINGS
from edge_connector.core.printable import json_text, lines

T = TypeVar("T")

SCHEMA_VERSION = 1
F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document.")
directory_option = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Installation directory. Without it: EC_HOME, else the current one if it holds a config.json, "
    "else the user's data directory.",
)


def setting_options(*names: str) -> Callable[[F], F]:
    """One option for each named setting (all when none is named), for this invocation only. Secrets get none."""

    def add(function: F) -> F:
        for setting in reversed(SETTINGS):
            if setting.secret or (names and setting.name not in names):
                continue
            option = click.option(
                setting.flag,
                setting.name,
                metavar=setting.kind.value.upper(),
                help=f"{setting.help} [{setting.variables[0]}]",
            )
            function = option(function)
        return function

    return add


def load_config(directory: str | None, flags: dict[str, Any] | None = None) -> LoadedConfig:
    """The configuration of this invocation.

    Raises:
        UserError: what is wrong with it.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    return load(choose_directory(directory, os.environ), os.environ, given)


def installation_directory(directory: str | None) -> Path:
    """The installation directory of this invocation."""
    return choose_directory(directory, os.environ)


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine for a command."""
    return asyncio.run(coroutine)


def print_json(document: Any) -> None:
    """Print the one document of `--json`; objects carry their schema version."""
    if isinstance(document, dict) and "schemaVersion" not in document:
        document = {"schemaVersion": SCHEMA_VERSION, **document}
    sys.stdout.write(
        json_text(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)) + "\n"
    )


def say(text: str = "", *, err: bool = False) -> None:
    """Print text for a person, to standard error with `err`. It may hold what others said: controls are escaped."""
    click.echo(lines(text), err=err)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A plain table; the last column takes the width that is left."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", ratio=1 if number == len(columns) - 1 else None)
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    Console(highlight=False, soft_wrap=False).print(table)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(lines(text))
