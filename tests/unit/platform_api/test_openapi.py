"""The generated document describes every operation, and only those."""

from __future__ import annotations

import json
import re
from typing import Any

from edge_connector.platform_api.openapi import openapi_document
from edge_connector.platform_api.operations import OPERATIONS, Scope, access_table


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*(references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(references(value) for value in node))
    return set()


def test_each_operation_is_described_with_bodies_and_security() -> None:
    document = openapi_document("http://localhost:3000")
    assert document["servers"] == [{"url": "http://localhost:3000"}]
    for operation in OPERATIONS:
        item = document["paths"][operation.path][operation.method.lower()]
        assert item["operationId"] == operation.name
        assert str(operation.status) in item["responses"]
        assert ("requestBody" in item) == (operation.request is not None or operation.raw_body)
        assert (item["security"] == []) == (operation.scope is Scope.PUBLIC)
        named = {parameter["name"] for parameter in item.get("parameters", ()) if parameter["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", operation.path))
    described = sum(len(methods) for methods in document["paths"].values())
    assert described == len(OPERATIONS) == len(access_table())


def test_every_reference_has_its_schema_and_the_document_is_json() -> None:
    document = openapi_document()
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= schemas
    assert json.loads(json.dumps(document)) == document
    call = document["components"]["schemas"]["CallRequest"]
    assert call["properties"]["timeoutMs"]["minimum"] == 0
    assert call["required"] == ["tool"]
