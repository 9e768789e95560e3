"""What a call's arguments must be before they travel: a JSON object of legal depth. It knows no schema."""

from __future__ import annotations

from array import array
from itertools import accumulate

from msgspec import Raw

MAX_DEPTH = 240
"""The protocol allows 256 levels, those of the frame around the arguments included."""

MAX_BYTES = 8 * 1024 * 1024
"""As much as HTTP takes; with the call around them they stay well below the protocol's largest frame."""

_SQUARE = bytes.maketrans(b"{}", b"[]")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'{}[]"'))
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
"""As signed bytes: one level deeper, one level back."""
_ROUNDS = 2


def problem_of(arguments: Raw) -> str:
    """What is wrong with them, in words; empty when they may be sent.

    Valid JSON is assumed: it was decoded before.
    """
    data = bytes(arguments)
    if data[:1] != b"{":
        return "Expected `object` - at `$.arguments`"
    if len(data) > MAX_BYTES:
        return f"More than {MAX_BYTES} bytes - at `$.arguments`"
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        # A frame nested too deeply would cost the connector its session, and everybody else's calls with it.
        return f"More than {MAX_DEPTH} levels of nesting - at `$.arguments`"
    return ""


def _depth(data: bytes) -> int:
    """Levels of nesting. Every step is one pass in C: a step a token in Python held the loop for seconds."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two neighbouring quotes may go, also when they belong to two texts: every other quote stays opening or closing.
    brackets = data.translate(_SQUARE, _NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    if b'"' in brackets:
        brackets = b"".join(brackets.split(b'"')[::2])
    # Leaves first, because most brackets are leaves; not to the end, which takes a pass for each level.
    levels = 0
    while brackets and levels < _ROUNDS:
        brackets = brackets.replace(b"[]", b"")
        levels += 1
    return levels + max(accumulate(array("b", brackets.translate(_STEPS))), default=0)
