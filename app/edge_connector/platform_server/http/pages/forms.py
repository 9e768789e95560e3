"""Fields of forms as the request structs of the HTTP API, with a sentence for each field that is wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_PROBLEMS = {
    "name": "This needs 1 to 100 characters.",
    "organization": "This needs 1 to 100 characters.",
    "email": "This is not an e-mail address; it looks like name@example.org.",
    "description": "This may have at most 1000 characters.",
    "password": "This may have at most 200 characters.",
}
_CHOICE = "Choose one of the list."


def filled(kind: type[T], fields: Mapping[str, str]) -> tuple[T | None, dict[str, str]]:
    """The struct of a form, or by field what is wrong with it; an optional field left empty keeps its default."""
    values, problems = {}, {}
    for field in msgspec.structs.fields(kind):
        text = fields.get(field.name, "")
        if not text.strip() and not field.required:
            continue
        try:
            values[field.name] = msgspec.convert(
                text if field.name == "password" else text.strip(), field.type, strict=False
            )
        except msgspec.ValidationError:
            problems[field.name] = _PROBLEMS.get(field.name, _CHOICE)
    return (None, problems) if problems else (kind(**values), {})


def password_problems(fields: Mapping[str, str], *, length: tuple[int, int]) -> dict[str, str]:
    """What is wrong with a new password that is typed twice."""
    password = fields.get("password", "")
    if not length[0] <= len(password) <= length[1]:
        return {"password": f"A password has {length[0]} to {length[1]} characters; this has {len(password)}."}
    if password != fields.get("password_again", ""):
        return {"password_again": "This is not the same password."}
    return {}
