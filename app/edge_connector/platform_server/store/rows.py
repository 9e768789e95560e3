"""Tables as structs: the columns of a table are the fields of its struct, by name. It knows no table."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

R = TypeVar("R", bound=msgspec.Struct)


def columns(row: type[msgspec.Struct]) -> str:
    """The columns of `row`, for SQL."""
    return ", ".join(row.__struct_fields__)


def insert(table: str, row: type[msgspec.Struct], *, verb: str = "INSERT") -> str:
    """The statement that puts a `row` into `table`."""
    marks = ", ".join("?" * len(row.__struct_fields__))
    return f"{verb} INTO {table} ({columns(row)}) VALUES ({marks})"


def all_rows(
    connection: sqlite3.Connection, table: str, row: type[R], tail: str = "", parameters: Sequence[Any] = ()
) -> list[R]:
    """The rows of `table`; `tail` is what comes after its name in the statement."""
    found = connection.execute(f"SELECT {columns(row)} FROM {table} {tail}", parameters).fetchall()
    return [
        msgspec.convert(dict(zip(row.__struct_fields__, values, strict=True)), row, strict=False) for values in found
    ]
