"""Bytes as arguments and schemas of tools."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from edge_connector.tools.api import ToolContext, ToolDeclaration
from edge_connector.tools.schemas import ArgumentsInvalid, BoundTool, DeclarationError, bind_function, bind_handler
from tests.fuzz.target import JSON, Target


def _example(
    name: str, number: int, share: float = 0.5, tags: list[str] | None = None, more: dict[str, Any] | None = None
) -> None:
    """A tool with parameters of every kind."""


@cache
def _tools() -> tuple[BoundTool, ...]:
    schema = {
        "parameters": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 9}, "n": {"multipleOf": 0.1}},
            "additionalProperties": {"anyOf": [{"type": "null"}, {"type": "array", "uniqueItems": True}]},
        }
    }
    function = bind_function(_example, ToolDeclaration(), source="local", origin="here")
    return function, bind_handler(lambda parameters, context: None, "given", schema, origin="here")


def _context() -> ToolContext:
    return object.__new__(ToolContext)


def tool_arguments(data: bytes) -> None:
    """Arguments of a call, as the wire lets them through: keywords or ArgumentsInvalid."""
    try:
        raw = msgspec.json.decode(data, type=Raw)
        bytes(raw).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    for tool in _tools():
        try:
            keywords = tool.arguments(raw, _context())
        except ArgumentsInvalid as error:
            assert str(error)
        else:
            assert set(keywords) <= {"name", "number", "share", "tags", "more", "parameters", "context"}


def tool_schema(data: bytes) -> None:
    """A schema file beside a handler: a tool, or a DeclarationError; the tool then judges arguments."""
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if b"$ref" in data or b"$dynamicRef" in data or b"$schema" in data:  # no look-ups elsewhere from here
        return
    try:
        tool = bind_handler(lambda parameters, context: None, "given", document, origin="here")
    except DeclarationError as error:
        assert error.message
        return
    for arguments in (b"{}", b'{"a":1,"b":[null,"x"]}'):
        try:
            tool.arguments(Raw(arguments), _context())
        except ArgumentsInvalid:
            pass
        tool.encode({"a": [1]}, 1000) if tool.check_result is None else None


TARGETS: dict[str, Target] = {
    "tool_arguments": Target(
        tool_arguments,
        (b'{"name":"x","number":1,"share":0.5,"tags":["a"],"more":{"k":null}}', b'{"name":"x","number":1e400}', *JSON),
    ),
    "tool_schema": Target(
        tool_schema,
        (
            b'{"parameters":{"type":"object","properties":{"a":{"type":"integer","minimum":0}}},"result":{"type":"array"}}',
            b'{"title":"t","risk":"read","repeat":"once","timeoutS":1.5}',
            b'{"parameters":{"patternProperties":{"^(a+)+$":{}},"format":"x"},"timeoutS":-1}',
            b'{"parameters":true,"result":false}',
            *JSON,
        ),
    ),
}  # fmt: skip
