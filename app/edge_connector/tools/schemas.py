"""Makes a declared function callable with JSON: schemas, strict decoding of arguments, checked encoding of results.

It neither finds functions nor decides where they run.
"""

from __future__ import annotations

import copy
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from edge_connector.core.depth import MAX_DEPTH, deeper_than
from edge_connector.tools.api import ToolContext, ToolDeclaration
from edge_connector.tools.redaction import HIDDEN, redactor_for

NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}\Z")
RISKS = ("read", "write", "execute", "network", "spend")
REPEATS = ("read", "repeatable", "once")

_encode = msgspec.json.Encoder().encode


class DeclarationError(Exception):
    """The declaration of a tool cannot be served; the message is one sentence for its author."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class ArgumentsInvalid(Exception):
    """The arguments of a call do not fit; the message names the field."""


class ResultInvalid(Exception):
    """What a tool returned cannot be passed on. `code` says why."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class BoundTool:
    """A tool that can be called.

    Attributes:
        function: takes what `arguments` gives, as keywords.
        arguments: JSON and context in, keyword arguments out; raises `ArgumentsInvalid`.
        check_result: raises `ResultInvalid` when the JSON does not fit the declared result; None accepts all.
    """

    __slots__ = (
        "arguments",
        "check_result",
        "description",
        "function",
        "is_async",
        "name",
        "origin",
        "parameters",
        "repeat",
        "result",
        "risk",
        "source",
        "timeout_s",
        "title",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        declaration: ToolDeclaration,
        *,
        name: str,
        source: str,
        origin: str,
        parameters: bytes,
        result: bytes,
        arguments: Callable[[Raw, ToolContext], dict[str, Any]],
        check_result: Callable[[bytes], None] | None,
    ) -> None:
        _check(declaration, name)
        self.function = function
        self.name = name
        self.title = declaration.title or title_from_name(name)
        self.description = _description(function) if declaration.description is None else declaration.description
        self.risk = declaration.risk
        self.repeat = declaration.repeat
        self.timeout_s = declaration.timeout_s
        self.source = source
        self.origin = origin
        self.parameters = parameters
        self.result = result
        self.is_async = inspect.iscoroutinefunction(function)
        self.arguments = arguments
        self.check_result = check_result

    def encode(self, value: Any, limit_bytes: int) -> bytes:
        """The result as JSON.

        Raises:
            ResultInvalid: it cannot be written as JSON, is too large or too deep, or is not of the declared type.
        """
        try:
            data = _encode(value)
        except MemoryError:
            raise
        except Exception as error:  # whatever a foreign object does while it is encoded
            raise ResultInvalid(
                "result_not_json",
                f"{self.name} returned something that JSON cannot hold: {error}.",
                "Return numbers, strings, lists, dictionaries, dataclasses or msgspec structs.",
            ) from error
        if len(data) > limit_bytes:
            raise ResultInvalid(
                "result_too_large",
                f"{self.name} returned {len(data)} bytes, more than the limit of {limit_bytes}.",
                "Ask for less, or let the tool return parts.",
            )
        if deeper_than(data, MAX_DEPTH):
            raise ResultInvalid(
                "result_not_json",
                f"{self.name} returned something nested more than {MAX_DEPTH} levels deep.",
                "Return a flat list of parts that refer to each other.",
            )
        if self.check_result is not None:
            self.check_result(data)
        return data


def bind_function(function: Callable[..., Any], declaration: ToolDeclaration, *, source: str, origin: str) -> BoundTool:
    """Bind a typed function that `@tool` marked.

    Raises:
        DeclarationError: name, parameters or type hints cannot be served.
    """
    name = declaration.name or function.__name__
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # a hint is evaluated here and may raise anything
        raise DeclarationError("type_hint_invalid", f"The type hints of {name} cannot be read: {error}.") from error
    fields: list[tuple[str, Any, Any]] = []
    names: list[str] = []
    context_name = ""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(
                "parameter_kind", f"{name} takes {parameter}, which a JSON object cannot fill.", "Name each parameter."
            )
        hint = hints.get(parameter.name, Any)
        if hint is ToolContext:
            context_name = parameter.name
            continue
        names.append(parameter.name)
        fields.append((parameter.name, hint, _field_default(parameter.default)))
    result_type = hints.get("return", Any)
    try:
        struct = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        decoder = msgspec.json.Decoder(struct)
        parameters = _schema(struct)
        parameters.pop("title", None)
        _flag_secrets(parameters, declaration.secrets, name)
        result_decoder = None if result_type is Any else msgspec.json.Decoder(result_type)
        result_schema = {} if result_type is Any else _schema(result_type)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            "type_hint_invalid",
            f"The type hints of {name} have no JSON form: {error}.",
            "Use types that JSON can hold.",
        ) from error

    def arguments(raw: Raw, context: ToolContext) -> dict[str, Any]:
        try:
            decoded = decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise ArgumentsInvalid(str(error)) from error
        keywords = {field: getattr(decoded, field) for field in names}
        if context_name:
            keywords[context_name] = context
        return keywords

    def check_result(data: bytes) -> None:
        try:
            result_decoder.decode(data)  # type: ignore[union-attr]
        except msgspec.DecodeError as error:
            raise ResultInvalid(
                "result_invalid", f"{name} returned something else than it declares: {error}."
            ) from error

    return BoundTool(
        function,
        declaration,
        name=name,
        source=source,
        origin=origin,
        parameters=_encode(parameters),
        result=_encode(result_schema),
        arguments=arguments,
        check_result=None if result_decoder is None else check_result,
    )


def bind_handler(handler: Callable[..., Any], name: str, document: Mapping[str, Any], *, origin: str) -> BoundTool:
    """Bind a plain `handler(parameters, context)` whose schemas stand in a file beside it.

    Raises:
        DeclarationError: the document or one of its schemas is unusable.
    """
    import jsonschema_rs  # only a worker that serves such a tool pays for the import

    def validator(key: str, default: Any) -> tuple[Any, Any]:
        schema = document.get(key, default)
        try:
            # Its sentences quote the value: not where that may be a secret.
            mask = None if redactor_for(_encode(schema)) is None else HIDDEN
            return schema, jsonschema_rs.validator_for(schema, mask=mask)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise DeclarationError("schema_invalid", f"`{key}` of {name} is no JSON Schema: {error}.") from error

    parameters, parameters_validator = validator("parameters", {"type": "object"})
    result, result_validator = validator("result", {})

    def arguments(raw: Raw, context: ToolContext) -> dict[str, Any]:
        try:
            decoded = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ArgumentsInvalid(str(error)) from error
        if (problem := _first_error(parameters_validator, decoded)) is not None:
            raise ArgumentsInvalid(problem)
        return {"parameters": decoded, "context": context}

    def check_result(data: bytes) -> None:
        if (problem := _first_error(result_validator, msgspec.json.decode(data))) is not None:
            raise ResultInvalid("result_invalid", f"{name} returned something else than its schema says: {problem}.")

    if inspect.iscoroutinefunction(handler):

        async def call_async(parameters: Any, context: ToolContext) -> Any:
            return await handler(parameters, context)

        function: Callable[..., Any] = call_async
    else:

        def function(parameters: Any, context: ToolContext) -> Any:
            return handler(parameters, context)

    function.__doc__ = handler.__doc__
    try:
        declaration = msgspec.convert(
            {
                "name": name,
                "title": document.get("title"),
                "description": document.get("description"),
                "risk": document.get("risk", "execute"),
                "repeat": document.get("repeat", "once"),
                "timeout_s": document.get("timeoutS"),
            },
            ToolDeclaration,
        )
    except msgspec.ValidationError as error:
        raise DeclarationError("schema_invalid", f"The schema file of {name} is wrong: {error}.") from error
    return BoundTool(
        function,
        declaration,
        name=name,
        source="local",
        origin=origin,
        parameters=_encode(parameters),
        result=_encode(result),
        arguments=arguments,
        check_result=check_result if result not in ({}, True) else None,
    )


def _flag_secrets(parameters: dict[str, Any], secrets: tuple[str, ...], name: str) -> None:
    """Mark parameters as secret (JSON Schema 2020-12, validation, section 9.4)."""
    properties = parameters.get("properties", {})
    for secret in secrets:
        if secret not in properties:
            raise DeclarationError(
                "secret_unknown",
                f"{name} declares the secret {secret!r}, which is none of its parameters.",
                _one_of(tuple(properties)) if properties else "",
            )
        properties[secret] = {**properties[secret], "writeOnly": True}


def title_from_name(name: str) -> str:
    """`readTextFile` and `read_text_file` become `Read text file`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", re.sub(r"[_.\-]+", " ", name)).strip()
    words = " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words.split())
    return words[:1].upper() + words[1:]


def _check(declaration: ToolDeclaration, name: str) -> None:
    if not NAME_PATTERN.match(name):
        raise DeclarationError(
            "tool_name_invalid",
            f"{name!r} is no tool name.",
            "Use letters, digits, `_`, `.` and `-`, at most 128, with a letter or `_` first.",
        )
    if declaration.risk not in RISKS:
        raise DeclarationError("risk_unknown", f"{name} has the unknown risk {declaration.risk!r}.", _one_of(RISKS))
    if declaration.repeat not in REPEATS:
        raise DeclarationError(
            "repeat_unknown", f"{name} has the unknown repeat {declaration.repeat!r}.", _one_of(REPEATS)
        )
    timeout = declaration.timeout_s
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
        raise DeclarationError("timeout_invalid", f"{name} has the timeout {timeout!r}; it has to be above 0 seconds.")


def _one_of(words: tuple[str, ...]) -> str:
    return f"Use one of {', '.join(words)}."


def _description(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return re.split(r"\n\s*(?:Args|Arguments|Returns|Raises|Yields):\s*\n", text, maxsplit=1)[0].strip()


def _field_default(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return msgspec.NODEFAULT
    if isinstance(default, list | dict | set | bytearray):  # each call gets its own
        return msgspec.field(default_factory=lambda: copy.deepcopy(default))
    return msgspec.field(default=default)


def _schema(kind: Any) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one type, with what it refers to under `$defs`."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    target = schema.get("$ref", "").removeprefix("#/$defs/") if set(schema) == {"$ref"} else ""
    if (
        target and _encode(components).count(_encode(f"#/$defs/{target}")) == 0
    ):  # not recursive: stands at the top itself
        schema = components.pop(target)
    return {**schema, "$defs": components} if components else dict(schema)


def _first_error(validator: Any, instance: Any) -> str | None:
    for error in validator.iter_errors(instance):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        return f"{error.message} - at `${path}`"
    return None
