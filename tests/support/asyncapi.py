"""The AsyncAPI 3.0 description of Tool RPC, made from the structs of `edge_connector.wire`. It adds no fact of its own.

python -m tests.support.asyncapi > docs/tool-rpc.asyncapi.json
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import msgspec
from msgspec import inspect as types

from edge_connector.wire import messages as m
from edge_connector.wire.close_codes import MEANING, RETRY, CloseCode
from tests.support.wire_fields import DIRECTIONS, default_of, message_types, part_types, tag_of

OPERATIONS = {
    "fromConnector": ("connector → platform", "receive", "What a connector sends."),
    "fromCaller": ("caller → platform", "receive", "What a caller sends."),
    "toConnector": ("platform → connector", "send", "What a connector receives."),
    "toCaller": ("platform → caller", "send", "What a caller receives."),
}
"""Operation, its direction, and the action as the platform sees it."""


def asyncapi_document() -> dict[str, Any]:
    """The description as a JSON document."""
    kinds = message_types()
    schemas = {kind.__name__: _object_schema(kind) for kind in (*kinds, *part_types())}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tool RPC",
            "version": f"{m.VERSION}.0.0",
            "description": "The protocol between a platform and its connectors and callers; rules are in tool-rpc.md. "
            "A frame is one of these messages, or an array of them.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "platform": {
                "host": "localhost:3001",
                "protocol": "ws",
                "description": "The platform's Tool RPC address; wss in production.",
                "security": [{"$ref": "#/components/securitySchemes/authorization"}],
            }
        },
        "channels": {
            "session": {
                "address": "/",
                "description": "One WebSocket.",
                "messages": {tag_of(kind): {"$ref": f"#/components/messages/{tag_of(kind)}"} for kind in kinds},
                "bindings": {
                    "ws": {
                        "method": "GET",
                        "headers": {
                            "type": "object",
                            "properties": {
                                "Authorization": {"type": "string"},
                                "Sec-WebSocket-Protocol": {"type": "string", "const": m.SUBPROTOCOL},
                            },
                            "required": ["Authorization", "Sec-WebSocket-Protocol"],
                        },
                        "bindingVersion": "0.1.0",
                    }
                },
                "x-close-codes": [
                    {"code": code.value, "name": code.name, "next": RETRY[code].value, "meaning": MEANING[code]}
                    for code in CloseCode
                ],
            }
        },
        "operations": {name: _operation(*facts) for name, facts in OPERATIONS.items()},
        "components": {
            "messages": {tag_of(kind): _message(kind) for kind in kinds},
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "authorization": {
                    "type": "httpApiKey",
                    "name": "Authorization",
                    "in": "header",
                    "description": "`Bearer <token>` or `Deployment <id>:<secret>`",
                }
            },
        },
    }


def _operation(direction: str, action: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/session"},
        "messages": [
            {"$ref": f"#/channels/session/messages/{tag_of(kind)}"} for kind in DIRECTIONS[direction].__args__
        ],
    }


def _message(kind: type[m.Message]) -> dict[str, Any]:
    return {
        "name": tag_of(kind),
        "title": kind.__name__,
        "summary": inspect.cleandoc(kind.__doc__ or ""),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _object_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a struct; `msgspec.json.schema` cannot, because some defaults are raw JSON."""
    described = types.type_info(kind)
    assert isinstance(described, types.StructType)
    properties: dict[str, Any] = {} if described.tag is None else {"type": {"const": described.tag}}
    required = [] if described.tag is None else ["type"]
    for each in described.fields:
        properties[each.encode_name] = _schema(each.type)
        if each.required:
            required.append(each.encode_name)
        else:
            properties[each.encode_name]["default"] = default_of(each)
    return {
        "title": kind.__name__,
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "type": "object",
        "properties": properties,
        "required": required,
    }


def _schema(described: types.Type) -> dict[str, Any]:
    match described:
        case types.RawType() | types.AnyType():
            return {}
        case types.StrType():
            return {"type": "string"}
        case types.BytesType():
            return {"type": "string", "contentEncoding": "base64"}
        case types.BoolType():
            return {"type": "boolean"}
        case types.NoneType():
            return {"type": "null"}
        case types.IntType(ge=least, le=most):
            return {"type": "integer"} | _bounds(least, most)
        case types.FloatType(ge=least, le=most):
            return {"type": "number"} | _bounds(least, most)
        case types.EnumType(cls=kind):
            return {"type": "string", "enum": [member.value for member in kind]}
        case types.ListType(item_type=item):
            return {"type": "array", "items": _schema(item)}
        case types.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _schema(value)}
        case types.TupleType(item_types=items):
            return {
                "type": "array",
                "prefixItems": [_schema(item) for item in items],
                "minItems": len(items),
                "maxItems": len(items),
            }
        case types.StructType(cls=kind):
            return {"allOf": [{"$ref": f"#/components/schemas/{kind.__name__}"}]}
        case types.UnionType(types=kinds):
            return {"anyOf": [_schema(kind) for kind in kinds]}
        case _:
            raise AssertionError(f"no schema for {described!r}")


def _bounds(least: float | None, most: float | None) -> dict[str, Any]:
    return {word: bound for word, bound in (("minimum", least), ("maximum", most)) if bound is not None}


def asyncapi_text() -> str:
    """The description as the committed file has it."""
    return json.dumps(asyncapi_document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(asyncapi_text())
