"""Fields of a form: kinds from schemas, values from text, and what is said about wrong text."""

from __future__ import annotations

from typing import Any

import pytest

from edge_connector.core.words import WORDS
from edge_connector.desktop.window.fields import UNSET, Field, FieldError, FieldKind, fields_of, parse


def one(schema: dict[str, Any], *, required: bool = False, defs: dict[str, Any] | None = None) -> Field:
    """The field of a schema's only property."""
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"] if required else [], "$defs": defs or {}}
    (field,) = fields_of(whole)
    return field


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, FieldKind.TEXT),
        ({"type": "integer"}, FieldKind.INTEGER),
        ({"type": "number"}, FieldKind.NUMBER),
        ({"type": "boolean"}, FieldKind.BOOLEAN),
        ({"enum": ["a", 1, None]}, FieldKind.CHOICE),
        ({"const": 4}, FieldKind.CHOICE),
        ({"type": "array"}, FieldKind.LIST),
        ({"type": "object"}, FieldKind.OBJECT),
        ({}, FieldKind.JSON),
        (True, FieldKind.JSON),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, FieldKind.INTEGER),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, FieldKind.JSON),
        ({"type": ["string", "null"]}, FieldKind.TEXT),
        ({"$ref": "#/$defs/colour"}, FieldKind.CHOICE),
        ({"anyOf": [{"$ref": "#/$defs/colour"}, {"type": "null"}]}, FieldKind.CHOICE),
        ({"$ref": "#/$defs/nowhere"}, FieldKind.JSON),
        ({"$ref": "#/$defs/circle"}, FieldKind.JSON),
    ],
)
def test_kinds(schema: Any, kind: FieldKind) -> None:
    defs = {"colour": {"enum": ["red", "blue"]}, "circle": {"$ref": "#/$defs/circle"}}
    assert one(schema, defs=defs).kind is kind


def test_required_ones_come_first_and_facts_are_kept() -> None:
    fields = fields_of(
        {
            "$ref": "#/$defs/Arguments",
            "$defs": {
                "Arguments": {
                    "type": "object",
                    "properties": {
                        "a": {"type": "string", "default": "x", "description": "First."},
                        "b": {"type": "integer", "minimum": 1},
                    },
                    "required": ["b"],
                }
            },
        }
    )
    assert [(field.name, field.required) for field in fields] == [("b", True), ("a", False)]
    assert (fields[1].help, fields[1].example, fields[0].example) == ("First.", "x", "")


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "string"}, "", UNSET),
        ({"type": "string"}, " a ", " a "),
        ({"type": "integer"}, " 12 ", 12),
        ({"type": "integer"}, "+3", 3),
        ({"type": "integer"}, "123456789012345678901234567890", 123456789012345678901234567890),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "number"}, "7", 7),
        ({"type": "array"}, " ", UNSET),
        ({"type": "array"}, "[1, {}]", [1, {}]),
        ({"type": "object"}, '{"a": null}', {"a": None}),
        ({}, "null", None),
        ({}, '"text"', "text"),
    ],
)
def test_values(schema: dict[str, Any], text: str, expected: Any) -> None:
    found = parse(one(schema), text)
    assert found is expected or (found == expected and type(found) is type(expected))


@pytest.mark.parametrize(
    ("schema", "text", "key"),
    [
        ({"type": "integer"}, "", "form.missing"),
        ({"type": "string"}, "", "form.missing"),
        ({"type": "array"}, "\n", "form.missing"),
        ({"type": "integer"}, "1.5", "form.not_integer"),
        ({"type": "integer"}, "1_000", "form.not_integer"),
        ({"type": "integer"}, "true", "form.not_integer"),
        ({"type": "integer"}, "9" * 5000, "form.not_integer"),
        ({"type": "number"}, "NaN", "form.not_number"),
        ({"type": "number"}, "1,5", "form.not_number"),
        ({"type": "integer", "minimum": 3}, "2", "form.too_small"),
        ({"type": "number", "maximum": 0.5}, "0.6", "form.too_large"),
        ({"type": "string", "minLength": 2}, "a", "form.too_short"),
        ({"type": "string", "maxLength": 2}, "abc", "form.too_long"),
        ({"type": "array"}, "{}", "form.not_list"),
        ({"type": "object"}, "[]", "form.not_object"),
        ({"type": "object"}, "{'a': 1}", "form.not_json"),
        ({}, "[NaN]", "form.not_json"),
        ({}, "[" * 100_000, "form.not_json"),
    ],
)
def test_wrong_text_is_named(schema: dict[str, Any], text: str, key: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse(one(schema, required=True), text)
    assert caught.value.key == key
    for words in WORDS.values():
        assert "x" in words[key].format(**caught.value.words)


def test_a_required_text_whose_default_is_empty_may_be_empty() -> None:
    assert parse(one({"type": "string", "default": ""}, required=True), "") == ""
