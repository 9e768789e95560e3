"""Text of others made safe to show: on a terminal, in a line of a log.

Names, errors and results come from tools, platforms and files. A control character among them could move the cursor,
retitle the terminal, forge a line or turn the reading direction around; here it becomes its escape, `\\x1b`.
"""

from __future__ import annotations

_CONTROLS = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),  # Unicode's bidirectional controls (UAX 9)
    0x2028, 0x2029,
    *range(0xD800, 0xE000),  # no characters: they cannot be written at all
)  # fmt: skip
_ONE_LINE = {code: repr(chr(code))[1:-1] for code in _CONTROLS}
_LINES = {code: escape for code, escape in _ONE_LINE.items() if code not in (0x09, 0x0A)}
_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS if code not in (0x09, 0x0A, 0x0D)}


def one_line(text: str) -> str:
    """`text` without line ends and other controls."""
    return text if text.isprintable() else text.translate(_ONE_LINE)


def lines(text: str) -> str:
    """`text` with its line feeds and tabs, but without other controls."""
    return text if text.isprintable() else text.translate(_LINES)


def json_text(text: str) -> str:
    """A JSON document that means the same and has no controls within its strings."""
    return text if text.isprintable() else text.translate(_JSON)
