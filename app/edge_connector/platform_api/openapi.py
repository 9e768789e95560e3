"""The OpenAPI 3.1 document, generated from the table of operations; nothing in it is written by hand."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edge_connector import __version__
from edge_connector.platform_api import models as m
from edge_connector.platform_api.oauth import OAuthError
from edge_connector.platform_api.operations import CREATE_CALL, OPERATIONS, Operation, Scope

_REF = "#/components/schemas/{name}"


def openapi_document(server_url: str = "") -> dict[str, Any]:
    """The document; `server_url` is the base that its paths are relative to."""
    types: list[Any] = [m.ErrorReply, OAuthError]
    for operation in OPERATIONS:
        types += [t for t in (operation.request, operation.response, operation.query) if t is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        item = _operation_item(operation, by_type, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = item
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Edge Connector platform", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A server token (`ect_...`) or a session token (JWT).",
                },
                "deployment": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Deployment <id>:<secret>`.",
                },
            },
        },
    }
    if server_url:
        document["servers"] = [{"url": server_url}]
    return document


def _operation_item(
    operation: Operation[Any, Any], by_type: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    answer = {"content": {operation.media_type: {"schema": by_type[str(operation.response)]}}}
    failure = {
        "description": "What is wrong and what to do next.",
        "content": {"application/json": {"schema": by_type[str(OAuthError if operation.oauth else m.ErrorReply)]}},
    }
    item: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "x-scope": operation.scope.value,
        "security": _security(operation.scope),
        "responses": {str(operation.status): {"description": operation.summary, **answer}, "default": failure},
    }
    if operation is CREATE_CALL:
        item["responses"]["202"] = {"description": "Started; poll the call by its id.", **answer}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.query is not None:
        for name, schema in components[operation.query.__name__]["properties"].items():
            required = name in components[operation.query.__name__].get("required", [])
            parameters.append({"name": name, "in": "query", "required": required, "schema": schema})
    if operation is CREATE_CALL:
        text = "The same key gives the same call and the same outcome for a day."
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": False, "description": text}
            | {"schema": {"type": "string", "maxLength": 200}}
        )
    if parameters:
        item["parameters"] = parameters
    if operation.request is not None:
        media_type = "application/x-www-form-urlencoded" if operation.oauth else "application/json"
        content = {media_type: {"schema": by_type[str(operation.request)]}}
        item["requestBody"] = {"required": not operation.optional_body, "content": content}
    elif operation.raw_body:
        item["requestBody"] = {"required": True, "content": {"application/json": {"schema": {}}}}
    return item


def _security(scope: Scope) -> list[dict[str, list[str]]]:
    if scope is Scope.PUBLIC:
        return []
    if scope is Scope.IDENTITY:
        return [{"bearer": []}, {"deployment": []}]
    return [{"bearer": []}]
