"""What a call's arguments must be before they travel: a JSON object of legal depth. It knows no schema."""

from __future__ import annotations

import re

from msgspec import Raw

MAX_DEPTH = 240
"""The protocol allows 256 levels, those of the frame around the arguments included."""

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def problem_of(arguments: Raw) -> str:
    """What is wrong with them, in words; empty when they may be sent.

    Valid JSON is assumed: it was decoded before.
    """
    data = bytes(arguments)
    if data[:1] != b"{":
        return "Expected `object` - at `$.arguments`"
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        # A frame nested too deeply would cost the connector its session, and everybody else's calls with it.
        return f"More than {MAX_DEPTH} levels of nesting - at `$.arguments`"
    return ""


def _depth(data: bytes) -> int:
    depth = deepest = 0
    for match in _TOKENS.finditer(data):
        token = data[match.start()]
        if token in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in b"]}":
            depth -= 1
    return deepest
