"""Schemas from type hints, strict arguments, checked results."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Raw

from edge_connector.core.depth import MAX_DEPTH
from edge_connector.tools.api import DECLARATION, ToolContext, tool
from edge_connector.tools.schemas import (
    ArgumentsInvalid,
    BoundTool,
    DeclarationError,
    ResultInvalid,
    bind_function,
    bind_handler,
    title_from_name,
)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Node(msgspec.Struct):
    name: str
    children: list[Node] = []


def bind(function: Any) -> BoundTool:
    return bind_function(function, getattr(function, DECLARATION), source="local", origin="here")


@tool(risk="read", repeat="read", timeout_s=3)
def example(
    count: Annotated[int, Meta(ge=1, le=9, description="How many")],
    context: ToolContext,
    where: Point = Point(1),  # noqa: B008
    tags: list[str] = ["a"],  # noqa: B006
    mode: Literal["fast", "slow"] = "fast",
    *,
    when: dt.date | None = None,
) -> list[Point]:
    """Do something.

    With a second paragraph.

    Args:
        count: not part of the description.
    """
    return [where] * count


def test_schema_of_a_typed_function() -> None:
    bound = bind(example)
    parameters = msgspec.json.decode(bound.parameters)
    assert parameters["additionalProperties"] is False and parameters["required"] == ["count"]
    assert parameters["properties"]["count"] == {
        "description": "How many",
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
    }
    assert parameters["properties"]["mode"] == {"enum": ["fast", "slow"], "default": "fast"}
    assert "context" not in parameters["properties"]
    assert parameters["$defs"]["Point"]["properties"]["y"]["default"] == 0
    result = msgspec.json.decode(bound.result)
    assert result["type"] == "array" and result["items"] == {"$ref": "#/$defs/Point"}
    assert bound.description == "Do something.\n\nWith a second paragraph."
    assert (bound.title, bound.risk, bound.repeat, bound.timeout_s, bound.is_async) == (
        "Example",
        "read",
        "read",
        3,
        False,
    )


def test_recursive_types_keep_their_reference() -> None:
    @tool
    def tree() -> Node:
        return Node("x")

    schema = msgspec.json.decode(bind(tree).result)
    assert schema["$ref"] == "#/$defs/Node" and "Node" in schema["$defs"]


def test_schemas_are_valid_json_schema_and_judge_like_the_decoder() -> None:
    import jsonschema_rs

    bound = bind(example)
    validator = jsonschema_rs.validator_for(msgspec.json.decode(bound.parameters))
    for document in (
        {"count": 1},
        {"count": 0},
        {"count": 1, "x": 1},
        {},
        {"count": "1"},
        {"count": 1, "where": {"x": 1}},
    ):
        try:
            bound.arguments(Raw(msgspec.json.encode(document)), ToolContext())
            accepted = True
        except ArgumentsInvalid:
            accepted = False
        assert accepted == validator.is_valid(document), document


def test_arguments_are_typed_and_defaults_are_fresh() -> None:
    bound = bind(example)
    context = ToolContext()
    first = bound.arguments(Raw(b'{"count": 2, "where": {"x": 5}, "when": "2026-01-31"}'), context)
    assert first["where"] == Point(5) and first["when"] == dt.date(2026, 1, 31) and first["context"] is context
    first["tags"].append("b")
    assert bound.arguments(Raw(b'{"count": 1}'), context)["tags"] == ["a"]


@pytest.mark.parametrize(
    "text", [b"[]", b"null", b"{", b'{"count": 10}', b'{"count": 1, "mode": "odd"}', b'{"count":"1"}']
)
def test_arguments_that_do_not_fit(text: bytes) -> None:
    with pytest.raises(ArgumentsInvalid):
        bind(example).arguments(Raw(text), ToolContext())


def test_results() -> None:
    bound = bind(example)
    assert bound.encode([Point(1, 2)], 100) == b'[{"x":1,"y":2}]'
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    for value, code in (([Point(1)] * 50, "result_too_large"), ("x", "result_invalid"), (cyclic, "result_not_json")):
        with pytest.raises(ResultInvalid) as raised:
            bound.encode(value, 100)
        assert raised.value.code == code


def nested(levels: int, innermost: Any = 1) -> Any:
    for _ in range(levels):
        innermost = [innermost]
    return innermost


def test_results_nested_too_deeply_are_refused() -> None:
    @tool
    def anything() -> Any: ...

    @tool
    def lists() -> list[Any]:
        return []

    for bound in (bind(anything), bind(lists)):
        assert bound.encode(nested(MAX_DEPTH), 10_000) == b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH
        for levels in (MAX_DEPTH + 1, 600):
            with pytest.raises(ResultInvalid, match="levels") as raised:
                bound.encode(nested(levels), 10_000)
            assert raised.value.code == "result_not_json"


def test_unreadable_hints() -> None:
    @tool
    def lost(a: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
        ...

    with pytest.raises(DeclarationError) as raised:
        bind(lost)
    assert raised.value.code == "type_hint_invalid" and "Missing" in raised.value.message


def test_handler_arguments_and_results_are_validated() -> None:
    def handler(parameters: Any, context: ToolContext) -> Any:
        return parameters["n"]

    document = {
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        "result": {"type": "integer", "maximum": 5},
    }
    bound = bind_handler(handler, "plain", document, origin="here")
    keywords = bound.arguments(Raw(b'{"n": 3}'), ToolContext())
    assert bound.encode(bound.function(**keywords), 100) == b"3"
    with pytest.raises(ArgumentsInvalid, match=r"\$\.n"):
        bound.arguments(Raw(b'{"n": "x"}'), ToolContext())
    with pytest.raises(ArgumentsInvalid):
        bound.arguments(Raw(b"[]"), ToolContext())
    with pytest.raises(ResultInvalid):
        bound.encode(6, 100)


def test_what_is_wrong_with_a_secret_is_said_without_it() -> None:
    def handler(parameters: Any, context: ToolContext) -> Any:
        return None

    document = {"parameters": {"properties": {"pin": {"type": "integer", "writeOnly": True}}}}
    bound = bind_handler(handler, "plain", document, origin="here")
    with pytest.raises(ArgumentsInvalid, match=r"\$\.pin") as error:
        bound.arguments(Raw(b'{"pin": "sesame"}'), ToolContext())
    assert "sesame" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("readTextFile", "Read text file"),
        ("read_text_file", "Read text file"),
        ("getCPU", "Get CPU"),
        ("a.b-c", "A b c"),
    ],
)
def test_titles(name: str, title: str) -> None:
    assert title_from_name(name) == title
