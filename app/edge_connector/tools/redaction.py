"""Hides the secret fields of a tool's arguments, by flags in its parameter schema. Pure.

A field is secret when its schema says `"writeOnly": true` (JSON Schema 2020-12, validation, section 9.4) or
`"x-secret": true`. In the arguments of a tool that has such a field, whatever the schema does not describe is hidden
too: it may be the secret under a misspelt name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

HIDDEN = "[hidden]"
"""What stands in the place of a secret."""
MAX_NESTING = 64
"""Deeper values are hidden as a whole."""

Redactor = Callable[[str], str]

_BRANCHES = ("anyOf", "oneOf", "allOf")
_MARKS = (b"writeOnly", b"x-secret")


def redactor_for(parameters: bytes | msgspec.Raw) -> Redactor | None:
    """A function from the JSON text of arguments to the text without secrets; None when there is nothing to hide.

    The function answers `"[hidden]"` (a JSON string) for text that is no JSON.
    """
    raw = bytes(parameters)
    if not any(mark in raw for mark in _MARKS):
        return None
    schema = msgspec.json.decode(raw)

    def redact(text: str) -> str:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return msgspec.json.encode(HIDDEN).decode()
        return msgspec.json.encode(_redacted(value, [schema], schema, 0)).decode()

    return redact


def _redacted(value: Any, schemas: list[Any], root: Any, depth: int) -> Any:
    known = _resolved(schemas, root)
    if known is None or not known or depth > MAX_NESTING:
        return HIDDEN
    if isinstance(value, dict):
        return {key: _redacted(item, _of_property(key, known), root, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, _of_item(index, known), root, depth + 1) for index, item in enumerate(value)]
    return value


def _resolved(schemas: list[Any], root: Any) -> list[Mapping[str, Any]] | None:
    """All schemas that apply, references and branches included; None when one of them marks a secret."""
    found: list[Mapping[str, Any]] = []
    waiting, seen = list(schemas), set()
    while waiting:
        schema = waiting.pop()
        if schema is True:
            found.append({"additionalProperties": True, "items": True})
            continue
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        if schema.get("writeOnly") is True or schema.get("x-secret") is True:
            return None
        found.append(schema)
        if isinstance(reference := schema.get("$ref"), str):
            waiting.append(_target(reference, root))
        for key in _BRANCHES:
            if isinstance(branches := schema.get(key), list):
                waiting += branches
        waiting += [schema[key] for key in ("if", "then", "else") if key in schema]
    return found


def _target(reference: str, root: Any) -> Any:
    """What a reference into the same document points to (RFC 6901); nothing for other documents."""
    if not reference.startswith("#"):
        return None
    place = root
    for part in reference[1:].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(place, dict) or part not in place:
            return None
        place = place[part]
    return place


def _of_property(key: str, schemas: list[Mapping[str, Any]]) -> list[Any]:
    found = []
    for schema in schemas:
        properties = schema.get("properties")
        if isinstance(properties, dict) and key in properties:
            found.append(properties[key])
        elif isinstance(schema.get("patternProperties"), dict):
            found += schema["patternProperties"].values()
        elif "additionalProperties" in schema:
            found.append(schema["additionalProperties"])
    return found


def _of_item(index: int, schemas: list[Mapping[str, Any]]) -> list[Any]:
    found = []
    for schema in schemas:
        prefix = schema.get("prefixItems")
        if isinstance(prefix, list) and index < len(prefix):
            found.append(prefix[index])
        elif "items" in schema:
            found.append(schema["items"])
    return found
