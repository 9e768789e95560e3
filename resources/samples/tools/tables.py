"""CSV: what is in a table."""

from __future__ import annotations

import csv
from typing import Annotated

from _places import inside_data
from msgspec import Meta, Struct

from edge_connector.tools import ToolError, tool

MAX_DISTINCT = 10_000


class Column(Struct):
    """A column; numbers are summed up when every filled cell is one."""

    name: str
    kind: str
    filled: int
    distinct: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    total: float | None = None


class Summary(Struct):
    """A whole table."""

    path: str
    rows: int
    columns: list[Column]


@tool(risk="read", repeat="read")
def summarizeCsv(
    path: Annotated[str, Meta(description="CSV file in the data folder with a header line")] = "orders.csv",
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ",",
) -> Summary:
    """Count the rows of a CSV file and describe each column."""
    with inside_data(path).open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file, delimiter=delimiter)
        header = next(reader, None)
        if header is None:
            raise ToolError("empty_file", f"{path!r} is empty; a header line is needed.")
        tallies = [_Tally(name) for name in header]
        rows = 0
        for row in reader:
            rows += bool(row)
            for tally, cell in zip(tallies, row, strict=False):  # short rows end in empty cells
                tally.add(cell.strip())
    return Summary(path, rows, [tally.column() for tally in tallies])


class _Tally:
    """Sums up one column in constant memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.filled = 0
        self.distinct: set[str] = set()
        self.numeric = True
        self.low = float("inf")
        self.high = float("-inf")
        self.total = 0.0

    def add(self, cell: str) -> None:
        if not cell:
            return
        self.filled += 1
        if len(self.distinct) < MAX_DISTINCT:
            self.distinct.add(cell)
        if not self.numeric:
            return
        try:
            value = float(cell)
        except ValueError:
            self.numeric = False
            return
        self.low, self.high, self.total = min(self.low, value), max(self.high, value), self.total + value

    def column(self) -> Column:
        if not self.numeric or not self.filled:
            return Column(self.name, "text" if self.filled else "empty", self.filled, len(self.distinct))
        mean = round(self.total / self.filled, 6)
        total = round(self.total, 6)
        return Column(self.name, "number", self.filled, len(self.distinct), self.low, self.high, mean, total)
