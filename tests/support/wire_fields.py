"""The fields of the wire's structs in the words of docs/tool-rpc.md. It reads types; it knows no message by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from edge_connector.wire import messages as m

DIRECTIONS: dict[str, Any] = {
    "connector → platform": m.FromConnector,
    "caller → platform": m.FromCaller,
    "platform → connector": m.ToConnector,
    "platform → caller": m.ToCaller,
}
"""Each way a message may travel, and the union of what travels there."""


@dataclass(frozen=True)
class FieldWords:
    """One row of a table of fields."""

    name: str
    type: str
    default: str
    """`required`, or the default as JSON."""


def message_types() -> list[type[m.Message]]:
    """Every message, in the order in which the module declares them."""
    known = {kind for union in DIRECTIONS.values() for kind in union.__args__}
    return [kind for kind in vars(m).values() if isinstance(kind, type) and kind in known]


def part_types() -> list[type[m.Part]]:
    """Every object inside messages, in the order in which the module declares them."""
    return [
        kind for kind in vars(m).values() if isinstance(kind, type) and issubclass(kind, m.Part) and kind is not m.Part
    ]


def directions_of(kind: type[m.Message]) -> list[str]:
    """The ways `kind` may travel."""
    return [words for words, union in DIRECTIONS.items() if kind in union.__args__]


def tag_of(kind: type[m.Message]) -> str:
    """The value of `type` on the wire."""
    return str(kind.__struct_config__.tag)


def fields_of(kind: type[msgspec.Struct]) -> list[FieldWords]:
    """The fields of `kind` in order."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return [
        FieldWords(name=f.encode_name, type=_type_words(f.type), default=_default_words(f)) for f in described.fields
    ]


def default_of(described: inspect.Field) -> Any:
    """The default as a JSON value; an object's is the empty object, because its own fields have defaults too."""
    value = described.default if described.default is not msgspec.NODEFAULT else described.default_factory()
    if isinstance(value, msgspec.Struct):
        return {}
    return msgspec.json.decode(msgspec.json.encode(value))


def _default_words(described: inspect.Field) -> str:
    if described.required:
        return "required"
    return msgspec.json.encode(default_of(described)).decode()


def _type_words(described: inspect.Type) -> str:
    match described:
        case inspect.RawType() | inspect.AnyType():
            return "any"
        case inspect.StrType():
            return "string"
        case inspect.BytesType():
            return "string (Base64)"
        case inspect.BoolType():
            return "boolean"
        case inspect.IntType():
            return "integer"
        case inspect.FloatType():
            return "number"
        case inspect.NoneType():
            return "null"
        case inspect.EnumType(cls=kind):
            return " or ".join(f"`{member.value}`" for member in kind)
        case inspect.ListType(item_type=item):
            return f"array of {_type_words(item)}"
        case inspect.DictType(value_type=value):
            return f"object of {_type_words(value)}"
        case inspect.TupleType(item_types=items):
            return "[" + ", ".join(_type_words(item) for item in items) + "]"
        case inspect.StructType(cls=kind):
            return f"`{kind.__name__}`"
        case inspect.UnionType(types=types):
            return " or ".join(_type_words(kind) for kind in types)
        case _:
            raise AssertionError(f"no words for {described!r}")
