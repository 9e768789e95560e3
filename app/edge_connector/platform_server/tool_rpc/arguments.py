"""What a call's arguments must be before they travel: a JSON object of legal depth. It knows no schema."""

from __future__ import annotations

from msgspec import Raw

from edge_connector.core.depth import MAX_DEPTH, deeper_than

MAX_BYTES = 8 * 1024 * 1024
"""As much as HTTP takes; with the call around them they stay well below the protocol's largest frame."""


def problem_of(arguments: Raw) -> str:
    """What is wrong with them, in words; empty when they may be sent.

    Valid JSON is assumed: it was decoded before.
    """
    data = bytes(arguments)
    if data[:1] != b"{":
        return "Expected `object` - at `$.arguments`"
    if len(data) > MAX_BYTES:
        return f"More than {MAX_BYTES} bytes - at `$.arguments`"
    if deeper_than(data, MAX_DEPTH):
        # A frame nested too deeply would cost the connector its session, and everybody else's calls with it.
        return f"More than {MAX_DEPTH} levels of nesting - at `$.arguments`"
    return ""
