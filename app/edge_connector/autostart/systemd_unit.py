"""Reading and writing the systemd user unit of the headless runtime; pure. It knows no file.

Source: systemd.syntax(7) and systemd.service(5), section "Command lines".
"""

from __future__ import annotations

from collections.abc import Sequence

DIRECTORY_KEY = "X-EdgeConnectorDirectory"

_UNIT = """\
[Unit]
Description=Edge Connector for {description}
Documentation=man:systemd.service(5)
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=5
# 2 wrong usage, 3 sign-in needed, 5 another one runs, 6 refused for good: starting again cannot help.
RestartPreventExitStatus=2 3 5 6
TimeoutStopSec=60

[Install]
WantedBy=default.target

[X-Edge-Connector]
{directory_key}={directory}
"""


class UnitError(ValueError):
    """The text is no unit of ours, or its command cannot be read."""


def render(command: Sequence[str], directory: str) -> str:
    """The unit that runs `command` for the installation in `directory`."""
    return _UNIT.format(
        # A dollar sign is special in arguments only, never in the program's path (there `$$` would stay two).
        command=" ".join([_quote(command[0]), *(_quote(word.replace("$", "$$")) for word in command[1:])]),
        description=directory.replace("%", "%%"),
        directory_key=DIRECTORY_KEY,
        directory=directory,
    )


def parse(text: str) -> tuple[tuple[str, ...], str]:
    """Command and installation directory of a unit.

    Raises:
        UnitError: there is no command, or it cannot be read.
    """
    command: tuple[str, ...] = ()
    directory = ""
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key.strip() == "ExecStart":
            command = _split(value.strip())
        elif key.strip() == DIRECTORY_KEY:
            directory = value
    if not command:
        raise UnitError("there is no ExecStart line")
    return command, directory


def _quote(word: str) -> str:
    # In quotes only the backslash and the quote itself need a backslash; %% is a literal percent sign.
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _split(value: str) -> tuple[str, ...]:
    words: list[str] = []
    position = 0
    while position < len(value):
        if value[position] == " ":
            position += 1
            continue
        word, position = _quoted(value, position + 1) if value[position] == '"' else _bare(value, position)
        words.append(word.replace("%%", "%"))
    return (*words[:1], *(word.replace("$$", "$") for word in words[1:]))


def _quoted(value: str, position: int) -> tuple[str, int]:
    out: list[str] = []
    while position < len(value):
        char = value[position]
        if char == '"':
            return "".join(out), position + 1
        if char == "\\":
            position += 1
            char = value[position : position + 1]
            if char not in ("\\", '"'):
                raise UnitError(f"the escape \\{char} is not one that this program writes")
        out.append(char)
        position += 1
    raise UnitError("a quote is not closed")


def _bare(value: str, position: int) -> tuple[str, int]:
    end = value.find(" ", position)
    end = len(value) if end < 0 else end
    return value[position:end], end
