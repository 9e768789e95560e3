"""JSON merge patches (RFC 7396): what changed between two documents, and the document after a change."""

from __future__ import annotations

from typing import Any


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The patch that turns `before` into `after`; empty when equal. Null values cannot be told from removals."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            patch[key] = merge_patch(old, value)
        else:
            patch[key] = value
    return patch


def apply_patch(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`document` after `patch`; neither is changed."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = apply_patch(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result
