"""A SQLite database, opened so that a query cannot change it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from _places import DATA, inside_data
from msgspec import Meta, Struct

from edge_connector.tools import ToolContext, ToolError, tool

SAMPLE = "inventory.sql"


class QueryResult(Struct):
    """Rows in the order of `columns`; `truncated` when the query had more."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


@tool(risk="read", repeat="read", timeout_s=30)
def querySqlite(
    sql: Annotated[str, Meta(description="One SELECT; values as ?", examples=["SELECT * FROM product"])],
    parameters: Annotated[list[str | int | float | None], Meta(description="Values for the ? in order")] = [],  # noqa: B006
    database: Annotated[str, Meta(description="Database file in the data folder; empty: the sample inventory")] = "",
    max_rows: Annotated[int, Meta(ge=1, le=10_000)] = 100,
    *,
    context: ToolContext,
) -> QueryResult:
    """Query a SQLite database. The sample inventory has the tables product(id, name, price, stock) and
    movement(id, product_id, day, amount).
    """
    file = inside_data(database) if database else _make_sample(context.scratch / "inventory.db")
    try:
        # mode=ro lets SQLite itself refuse every change, whatever the statement says.
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            cursor = connection.execute(sql, parameters)
            rows = cursor.fetchmany(max_rows + 1)
            columns = [column[0] for column in cursor.description or ()]
    except sqlite3.Error as error:
        raise ToolError("query_failed", f"SQLite says: {error}.", detail={"sql": sql}) from error
    values = [[_as_json(value) for value in row] for row in rows[:max_rows]]
    return QueryResult(columns, values, len(rows) > max_rows)


def _make_sample(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / SAMPLE).read_text(encoding="utf-8"))
    return path


def _as_json(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
