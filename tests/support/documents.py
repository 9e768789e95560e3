"""The parts of docs/ that are made from the code: `make docs` writes them, a test compares them."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from edge_connector.cli.table import COMMANDS, edge_connector
from edge_connector.core.metrics import Metric
from edge_connector.core.problems import KINDS
from edge_connector.core.status import status_schema
from edge_connector.platform_api.operations import OPERATIONS
from edge_connector.platform_server.metrics import PLATFORM_METRICS
from edge_connector.runtime.doctor.registry import CHECKS
from edge_connector.runtime.metrics import CONNECTOR_METRICS
from tests.support.asyncapi import asyncapi_text

ROOT = Path(__file__).parent.parent.parent
STATUSZ = ROOT / "docs" / "statusz.schema.json"
ASYNCAPI = ROOT / "docs" / "tool-rpc.asyncapi.json"
APP = ROOT / "app" / "edge_connector"
ERROR_CLASSES = {
    "EdgeError": 1, "UserError": 1, "UsageError": 2, "NeedsLogin": 3, "NotConnected": 4, "RetryLater": 4, "LockHeld": 5,
    "Fatal": 6,
}  # fmt: skip


def problems() -> str:
    """The table of problems."""
    rows = ["| code | means | sentence | fix |", "|---|---|---|---|"]
    rows += [f"| `{kind.code}` | {kind.severity} | {kind.sentence} | {kind.fix} |" for kind in KINDS.values()]
    return "\n".join(rows) + "\n"


def error_codes() -> str:
    """Every error code in the sources with the rooms that use it and its exit code."""
    found: dict[str, tuple[set[str], set[int]]] = {}
    for path in sorted(APP.rglob("*.py")):
        room = path.relative_to(APP).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if (code := _error_code(node)) is not None:
                rooms, exits = found.setdefault(code[0], (set(), set()))
                rooms.add(room)
                exits.add(code[1])
    rows = ["| code | exit code | said by |", "|---|---|---|"]
    for name, (rooms, exits) in sorted(found.items()):
        rows.append(f"| `{name}` | {', '.join(map(str, sorted(exits)))} | {', '.join(sorted(rooms))} |")
    return "\n".join(rows) + "\n"


def _error_code(node: ast.AST) -> tuple[str, int] | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in ERROR_CLASSES:
        return None
    first = node.args[0] if node.args else None
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    return first.value, ERROR_CLASSES[node.func.id]


def commands() -> str:
    """Every command with its options."""
    parts = []
    context = click.Context(edge_connector, info_name="edge-connector")
    for name in COMMANDS:
        command = edge_connector.get_command(context, name)
        assert command is not None
        parts += _command(command, f"edge-connector {name}", context)
    return "\n".join(parts)


def _command(command: click.Command, path: str, parent: click.Context) -> list[str]:
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
        return [line for name, child in command.commands.items() for line in _command(child, f"{path} {name}", context)]
    words = " ".join(param.make_metavar(parent) for param in command.params if isinstance(param, click.Argument))
    lines = [
        f"### `{f'{path} {words}'.strip()}`",
        "",
        _prose(command.help or ""),
        "",
        "| option | meaning |",
        "|---|---|",
    ]
    for param in command.params:
        if isinstance(param, click.Option):
            value = "" if param.is_flag else f" {param.make_metavar(parent)}"
            lines.append(f"| `{', '.join(param.opts)}{value}` | {(param.help or '').replace('|', '/')} |")
    return [*lines, ""]


def _prose(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def operations() -> str:
    """The platform's HTTP operations."""
    rows = ["| method | path | scope | what it does |", "|---|---|---|---|"]
    rows += [f"| {item.method} | `{item.path}` | {item.scope.value} | {item.summary} |" for item in OPERATIONS]
    return "\n".join(rows) + "\n"


def checks() -> str:
    """The doctor's checks."""
    rows = ["| id | checks | looks at | needs | `--fix` |", "|---|---|---|---|---|"]
    for check in CHECKS:
        needs = ", ".join(f"`{need}`" for need in check.needs)
        rows.append(f"| `{check.id}` | {check.what} | {check.looks_at} | {needs} | {check.mends} |")
    return "\n".join(rows) + "\n"


def connector_metrics() -> str:
    """What a connector's `/metrics` may hold."""
    return _metrics(CONNECTOR_METRICS)


def platform_metrics() -> str:
    """What a platform's `/metrics` may hold."""
    return _metrics(PLATFORM_METRICS)


def _metrics(metrics: Sequence[Metric]) -> str:
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"


GENERATED: dict[str, dict[str, Callable[[], str]]] = {
    "docs/problems.md": {"problems": problems, "error codes": error_codes},
    "docs/commands.md": {"commands": commands},
    "docs/doctor.md": {"checks": checks},
    "docs/metrics.md": {"connector metrics": connector_metrics, "platform metrics": platform_metrics},
    "docs/platform.md": {"operations": operations},
}
"""File, and its generated parts by the name in their markers."""


def renew(text: str, name: str, made: str) -> str:
    """`text` with the part `name` made again."""
    begin, end = f"<!-- begin {name}: made by `make docs` -->", f"<!-- end {name} -->"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    assert found and closed, f"the markers of {name} are missing"
    return f"{head}{begin}\n\n{made.strip()}\n\n{end}{tail}"


def statusz_schema() -> str:
    """JSON Schema of `GET /statusz`."""
    return json.dumps(status_schema(), indent=2) + "\n"


def write_all() -> None:
    """Write every generated part."""
    STATUSZ.write_text(statusz_schema())
    ASYNCAPI.write_text(asyncapi_text())
    from edge_connector.config.document import with_table

    configuration = ROOT / "docs" / "configuration.md"
    configuration.write_text(with_table(configuration.read_text()))
    for file, parts in GENERATED.items():
        path = ROOT / file
        text = path.read_text()
        for name, make in parts.items():
            text = renew(text, name, make())
        path.write_text(text)


if __name__ == "__main__":
    write_all()
    sys.stdout.write("docs written\n")
