"""The fields of a form for a tool's arguments, read from its JSON Schema, and the values that typed text stands for.

Pure: it makes no widgets (`tool_form` does) and does not replace the connector's own validation of the arguments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MAX_REFERENCES = 32


class FieldKind(StrEnum):
    """How a value is entered."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    LIST = "list"
    OBJECT = "object"
    JSON = "json"
    """Anything else, as JSON text."""


@dataclass(frozen=True, slots=True)
class Field:
    """One argument.

    Attributes:
        has_default: whether `default` is given; it may be null.
        choices: the allowed values of a choice.
        limits: `minimum`, `maximum`, `minLength`, `maxLength` where the schema has them.
    """

    name: str
    kind: FieldKind
    required: bool
    help: str = ""
    has_default: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    limits: Mapping[str, float] | None = None

    @property
    def example(self) -> str:
        """The default as it would be typed; empty without one."""
        if not self.has_default or self.default is None:
            return ""
        return self.default if isinstance(self.default, str) else json.dumps(self.default, ensure_ascii=False)


class FieldError(Exception):
    """Typed text stands for no value of the field. `key` and `words` make the sentence from the catalogue."""

    def __init__(self, key: str, field: Field, **words: str) -> None:
        super().__init__(key)
        self.key = key
        self.field = field
        self.words = {"field": field.name, **words}


UNSET = object()
"""What `parse` returns for an argument that is not given."""


def fields_of(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of an object schema (draft 2020-12), required ones first, else in the schema's order."""
    root = schema
    schema = _resolved(schema, root)
    required = set(schema.get("required") or ())
    properties = schema.get("properties") or {}
    fields = [_field(name, inner, root, required=name in required) for name, inner in properties.items()]
    return tuple(sorted(fields, key=lambda field: not field.required))


def parse(field: Field, text: str) -> Any:
    """The value that `text` stands for, or `UNSET`.

    Raises:
        FieldError: it stands for none.
    """
    blank = not text if field.kind is FieldKind.TEXT else not text.strip()
    if blank:
        if field.required and not (field.kind is FieldKind.TEXT and field.default == ""):
            raise FieldError("form.missing", field)
        return text if field.required else UNSET
    match field.kind:
        case FieldKind.TEXT:
            return _checked_length(field, text)
        case FieldKind.INTEGER:
            return _checked_range(field, _number(field, text, whole=True))
        case FieldKind.NUMBER:
            return _checked_range(field, _number(field, text, whole=False))
    value = _json(field, text)
    if field.kind is FieldKind.LIST and not isinstance(value, list):
        raise FieldError("form.not_list", field)
    if field.kind is FieldKind.OBJECT and not isinstance(value, dict):
        raise FieldError("form.not_object", field)
    return value


def _field(name: str, schema: Any, root: Mapping[str, Any], *, required: bool) -> Field:
    outer = schema if isinstance(schema, Mapping) else {}
    inner = _without_null(_resolved(outer, root), root)
    kind, choices = _kind(inner)
    limits = {
        key: inner[key]
        for key in ("minimum", "maximum", "minLength", "maxLength")
        if isinstance(inner.get(key), int | float)
    }
    holder = outer if "default" in outer else inner
    help_ = outer.get("description") or inner.get("description") or ""
    return Field(
        name=name,
        kind=kind,
        required=required,
        help=str(help_),
        has_default="default" in holder,
        default=holder.get("default"),
        choices=choices,
        limits=limits,
    )


def _kind(schema: Mapping[str, Any]) -> tuple[FieldKind, tuple[Any, ...]]:
    if isinstance(schema.get("enum"), list):
        return FieldKind.CHOICE, tuple(schema["enum"])
    if "const" in schema:
        return FieldKind.CHOICE, (schema["const"],)
    kinds = {
        "string": FieldKind.TEXT,
        "integer": FieldKind.INTEGER,
        "number": FieldKind.NUMBER,
        "boolean": FieldKind.BOOLEAN,
        "array": FieldKind.LIST,
        "object": FieldKind.OBJECT,
    }
    found = schema.get("type")
    return (kinds.get(found, FieldKind.JSON) if isinstance(found, str) else FieldKind.JSON), ()


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with its reference into the same document followed; `{}` for one that leads nowhere."""
    for _ in range(MAX_REFERENCES):
        target = schema.get("$ref")
        if not isinstance(target, str):
            return schema
        found: Any = root
        for part in target.removeprefix("#").strip("/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            found = found.get(part) if isinstance(found, Mapping) and part else found
        if not isinstance(found, Mapping):
            return {}
        schema = found
    return {}


def _without_null(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one schema of `anyOf: [X, null]` or `type: [x, null]`; everything else unchanged."""
    for word in ("anyOf", "oneOf"):
        parts = schema.get(word)
        if isinstance(parts, list):
            real = [part for part in parts if isinstance(part, Mapping) and part.get("type") != "null"]
            if len(real) == 1:
                return _resolved(real[0], root)
    types = schema.get("type")
    if isinstance(types, list):
        real_types = [one for one in types if one != "null"]
        if len(real_types) == 1:
            return {**schema, "type": real_types[0]}
    return schema


def _number(field: Field, text: str, *, whole: bool) -> int | float:
    text = text.strip()
    try:
        # Through JSON: Python's own would take 1_000 and nan.
        value = json.loads(text.removeprefix("+"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    wanted = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise FieldError("form.not_integer" if whole else "form.not_number", field)
    return value


def _checked_range(field: Field, value: int | float) -> int | float:
    limits = field.limits or {}
    if "minimum" in limits and value < limits["minimum"]:
        raise FieldError("form.too_small", field, limit=f"{limits['minimum']:g}")
    if "maximum" in limits and value > limits["maximum"]:
        raise FieldError("form.too_large", field, limit=f"{limits['maximum']:g}")
    return value


def _checked_length(field: Field, text: str) -> str:
    limits = field.limits or {}
    if "minLength" in limits and len(text) < limits["minLength"]:
        raise FieldError("form.too_short", field, limit=f"{limits['minLength']:g}")
    if "maxLength" in limits and len(text) > limits["maxLength"]:
        raise FieldError("form.too_long", field, limit=f"{limits['maxLength']:g}")
    return text


def _json(field: Field, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise FieldError("form.not_json", field, line=str(error.lineno), column=str(error.colno)) from error
    except (ValueError, RecursionError) as error:
        raise FieldError("form.not_json", field, line="1", column="1") from error


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")
