"""Reading and writing the text of a desktop entry and its Exec line; pure. It knows no file.

Source: Desktop Entry Specification 1.5, sections "Basic format of the file", "Possible value types", "The Exec key".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GROUP = "Desktop Entry"
_RESERVED = frozenset(" \t\n\"'\\><~|&;$*?#()`")
"""Characters that a word of an Exec line may only hold inside quotes."""
_QUOTED_SPECIALS = frozenset('"`$\\')
"""Characters that need a backslash inside quotes."""
_STRING_ESCAPES = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


class EntryError(ValueError):
    """The text is no desktop entry, or the line no command."""


def exec_line(command: Sequence[str]) -> str:
    """The value of Exec for a command, as it stands in the file.

    Two rules apply one after the other: quoting of words, then the escaping of every string value. So a literal
    backslash stands there four times and a literal dollar sign as a dollar sign behind two backslashes.
    """
    return " ".join(map(_word, command)).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _word(word: str) -> str:
    word = word.replace("%", "%%")  # a single one would begin a field code
    if word and not _RESERVED.intersection(word):
        return word
    return '"' + "".join("\\" + char if char in _QUOTED_SPECIALS else char for char in word) + '"'


def parse_exec(value: str) -> tuple[str, ...]:
    """The command of an Exec value as it stands in the file.

    Raises:
        EntryError: the line cannot be read, or holds field codes, which this program never writes.
    """
    text = unescape(value)
    words: list[str] = []
    current: list[str] | None = None
    quoted = False
    position = 0
    while position < len(text):
        char = text[position]
        following = text[position + 1 : position + 2]
        if quoted and char == "\\" and following in _QUOTED_SPECIALS and following:
            current = [*(current or ()), following]
            position += 1
        elif char == '"':
            quoted = not quoted
            current = current or []
        elif char == " " and not quoted:
            if current is not None:
                words.append("".join(current))
            current = None
        elif char == "%":
            if following != "%":
                raise EntryError("field codes are not understood")
            current = [*(current or ()), "%"]
            position += 1
        elif not quoted and char in _RESERVED:
            raise EntryError(f"the character {char!a} stands outside quotes")
        else:
            current = [*(current or ()), char]
        position += 1
    if quoted:
        raise EntryError("a quote is not closed")
    if current is not None:
        words.append("".join(current))
    return tuple(words)


def escape(text: str) -> str:
    """A string value as it stands in the file."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return "\\s" + escaped[1:] if escaped.startswith(" ") else escaped


def unescape(value: str) -> str:
    """The string that a value stands for.

    Raises:
        EntryError: an escape that the specification does not have.
    """
    out: list[str] = []
    characters = iter(value)
    for char in characters:
        if char != "\\":
            out.append(char)
            continue
        code = next(characters, "")
        if code not in _STRING_ESCAPES:
            raise EntryError(f"the escape \\{code} is not known")
        out.append(_STRING_ESCAPES[code])
    return "".join(out)


def render(values: Mapping[str, str]) -> str:
    """A desktop entry of one group; the values stand as they shall in the file."""
    return f"[{GROUP}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def parse(text: str) -> dict[str, str]:
    """The keys of the main group, values as they stand in the file.

    Raises:
        EntryError: there is no such group, or a line that is none of group, key, comment and empty.
    """
    values: dict[str, str] = {}
    group = ""
    for line in text.split("\n"):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        if not equals or not group:
            raise EntryError(f"the line {line[:60]!a} is no key")
        if group == GROUP:
            values.setdefault(key.strip(), value.strip())
    if not values:
        raise EntryError(f"there is no group [{GROUP}]")
    return values
