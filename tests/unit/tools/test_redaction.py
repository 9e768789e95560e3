"""Secrets of arguments, found by the schema's flags and hidden wherever they stand."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_connector.tools.api import ToolDeclaration
from edge_connector.tools.redaction import HIDDEN, redactor_for
from edge_connector.tools.schemas import DeclarationError, bind_function

SECRET = {"type": "string", "writeOnly": True}


def redact(schema: Any, value: Any) -> Any:
    redactor = redactor_for(msgspec.json.encode(schema))
    assert redactor is not None
    return msgspec.json.decode(redactor(msgspec.json.encode(value).decode()))


def test_a_schema_without_secrets_needs_no_work() -> None:
    assert redactor_for(b'{"properties":{"x":{"type":"string"}}}') is None


@pytest.mark.parametrize(
    ("schema", "value", "shown"),
    [
        ({"properties": {"p": SECRET, "x": {}}}, {"p": "s", "x": 1}, {"p": HIDDEN, "x": 1}),
        ({"properties": {"p": {"x-secret": True}}}, {"p": {"deep": ["s"]}}, {"p": HIDDEN}),
        ({"properties": {"p": SECRET}}, {"P": "s", "p": "s"}, {"P": HIDDEN, "p": HIDDEN}),
        ({"properties": {"a": {"items": SECRET}}}, {"a": ["s", "t"]}, {"a": [HIDDEN, HIDDEN]}),
        (
            {"properties": {"a": {"prefixItems": [{"type": "string"}, SECRET]}}},
            {"a": ["name", "s", "more"]},
            {"a": ["name", HIDDEN, HIDDEN]},
        ),
        (
            {"properties": {"a": {"additionalProperties": {"properties": {"p": SECRET, "x": {}}}}}},
            {"a": {"one": {"p": "s", "x": 1}}},
            {"a": {"one": {"p": HIDDEN, "x": 1}}},
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"properties": {"p": SECRET, "x": {}}}}},
            {"a": {"p": "s", "x": 1}},
            {"a": {"p": HIDDEN, "x": 1}},
        ),
        ({"properties": {"p": {"anyOf": [{"type": "null"}, SECRET]}}}, {"p": "s"}, {"p": HIDDEN}),
        ({"properties": {"p": SECRET, "x": {"type": "object"}}}, {"x": {"any": "s"}}, {"x": {"any": HIDDEN}}),
        ({"properties": {"p": SECRET}, "patternProperties": {"^x": {}}}, {"x1": 1}, {"x1": 1}),
        ({"properties": {"p": SECRET}, "additionalProperties": True}, {"q": {"r": 1}}, {"q": {"r": 1}}),
        ({"writeOnly": True}, {"p": "s"}, HIDDEN),
        ({"properties": {"p": SECRET}, "$ref": "https://elsewhere.example/x"}, {"q": 1}, {"q": HIDDEN}),
        ({"properties": {"p": SECRET}}, ["s"], [HIDDEN]),
    ],
)
def test_secrets_are_hidden(schema: Any, value: Any, shown: Any) -> None:
    assert redact(schema, value) == shown


def test_recursive_schemas_end() -> None:
    node = {"properties": {"p": SECRET, "next": {"$ref": "#/$defs/N"}}}
    shown = redact({"$ref": "#/$defs/N", "$defs": {"N": node}}, {"next": {"next": {"p": "s"}}})
    assert shown == {"next": {"next": {"p": HIDDEN}}}
    assert redact({"$ref": "#", "properties": {"p": SECRET}}, {"p": "s"}) == {"p": HIDDEN}


def test_what_is_no_json_is_hidden_as_a_whole() -> None:
    redactor = redactor_for(msgspec.json.encode({"properties": {"p": SECRET}}))
    assert redactor is not None
    assert redactor('{"p": "s"') == f'"{HIDDEN}"'


@given(
    st.recursive(st.just("sesame") | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_no_value_below_a_secret_is_ever_shown(value: Any) -> None:
    assert "sesame" not in msgspec.json.encode(redact({"properties": {"p": SECRET}}, {"p": value})).decode()


class Login(msgspec.Struct):
    user: str
    password: Annotated[str, msgspec.Meta(extra_json_schema={"writeOnly": True})]


def test_an_author_declares_secrets() -> None:
    def sign_in(login: Login, token: str, host: str = "x") -> str:
        return login.user

    bound = bind_function(sign_in, ToolDeclaration(secrets=("token",)), source="local", origin="here")
    redactor = redactor_for(bound.parameters)
    assert redactor is not None
    given_text = '{"login":{"user":"ann","password":"s"},"token":"t","host":"h"}'
    assert msgspec.json.decode(redactor(given_text)) == {
        "login": {"user": "ann", "password": HIDDEN}, "token": HIDDEN, "host": "h",
    }  # fmt: skip
    with pytest.raises(DeclarationError) as error:
        bind_function(sign_in, ToolDeclaration(secrets=("tokn",)), source="local", origin="here")
    assert error.value.code == "secret_unknown" and "token" in error.value.hint
