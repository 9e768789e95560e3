"""The table of all settings for people, made from their declarations.

`python -m edge_connector.config.document` prints it. It holds no prose of its own: docs/configuration.md carries the
table between two markers.
"""

from __future__ import annotations

import sys

from edge_connector.config.settings import SETTINGS, Kind, Setting

BEGIN = "<!-- settings: made by python -m edge_connector.config.document -->"
END = "<!-- end of settings -->"


def settings_table() -> str:
    """All settings as a Markdown table, in the order of their declaration."""
    rows = ["| `config.json` | environment | default | value | meaning |", "|---|---|---|---|---|"]
    rows += ["| " + " | ".join(_cells(setting)) + " |" for setting in SETTINGS]
    return "\n".join(rows) + "\n"


def with_table(document: str) -> str:
    """`document` with the current table between its markers.

    Raises:
        ValueError: the document does not hold both markers, in order.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document does not hold both markers")
    return f"{head}{BEGIN}\n\n{settings_table()}\n{END}{tail}"


def _cells(setting: Setting) -> tuple[str, ...]:
    keys = f"`{setting.key}`" + "".join(f" (earlier: `{key}`)" for key in setting.older_keys)
    variables = f"`{setting.variables[0]}`" + "".join(f", else `{name}`" for name in setting.variables[1:])
    return keys, variables, _default(setting), _value(setting), setting.help


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "not set"
    if setting.default == "":
        return "empty"
    if isinstance(setting.default, bool):
        return "`true`" if setting.default else "`false`"
    return f"`{setting.default}`"


def _value(setting: Setting) -> str:
    match setting.kind:
        case Kind.INT | Kind.FLOAT:
            unit = f" {setting.unit}" if setting.unit else ""
            return f"{setting.minimum:g} to {setting.maximum:.0f}{unit}"
        case Kind.URL:
            return "URL, " + " or ".join(f"`{scheme}://`" for scheme in setting.schemes)
        case Kind.CHOICE:
            return ", ".join(f"`{choice}`" for choice in setting.choices)
        case Kind.HOSTS | Kind.NAMES:
            return "list; commas in the environment"
        case Kind.BOOL:
            return "`true`, `false`; `1`, `0` in the environment"
        case Kind.PATH:
            return "path"
        case Kind.HOST:
            return "host name or address"
        case Kind.TEXT | Kind.WORD:
            return "text, secret" if setting.secret else "text"


if __name__ == "__main__":
    sys.stdout.write(settings_table())
