"""An exported ledger: JSON lines with a head, the rows of the chain in order, and an end. Pure.

The head says where the chain begins, the end where it stopped; with the rows between them anybody can compute the
hashes again (docs/ledger.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from edge_connector.core.errors import UserError
from edge_connector.tools.ledger.chain import ChainRow, ChainVerifier, VerifyReport
from edge_connector.tools.ledger.pages import ExportPage
from edge_connector.tools.ledger.records import CallRow

SCHEMA_VERSION = 1
_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, kw_only=True, rename="camel", tag="head"):
    """First line. The first row follows the row `after`, whose hash is `anchorHash`."""

    schema_version: int
    exported_at: str
    after: int
    anchor_hash: str


class Row(ChainRow, kw_only=True, rename="camel", tag="row"):
    """One event, with the call's own row beside the newest event about it."""


class Stray(msgspec.Struct, kw_only=True, rename="camel", tag="stray"):
    """A row of a call that no event speaks of: somebody put it there."""

    row: CallRow


class End(msgspec.Struct, kw_only=True, rename="camel", tag="end"):
    """Last line: the newest row when the export began."""

    head_seq: int
    head_hash: str


_decoder = msgspec.json.Decoder(Head | Row | Stray | End)


class LineWriter:
    """Makes the lines of an export, each with its line feed, from its pages."""

    def __init__(self, *, exported_at: str) -> None:
        """`exported_at`: RFC 3339."""
        self._exported_at = exported_at
        self._end: End | None = None

    def take(self, page: ExportPage) -> Iterator[bytes]:
        """The lines of the next page."""
        if self._end is None:
            self._end = End(head_seq=page.head_seq, head_hash=page.head_hash)
            yield _line(
                Head(
                    schema_version=SCHEMA_VERSION,
                    exported_at=self._exported_at,
                    after=page.after,
                    anchor_hash=page.anchor_hash,
                )
            )
        for row in page.rows:
            yield _line(Row(seq=row.seq, call=row.call, body=row.body, hash=row.hash, row=row.row))
            if row.seq > self._end.head_seq:
                self._end = End(head_seq=row.seq, head_hash=row.hash)
        for call in page.stray:
            yield _line(Stray(row=call))

    def end(self) -> bytes:
        """The last line, after all pages."""
        assert self._end is not None, "there is always a first page"
        return _line(self._end)


def verify_lines(lines: Iterable[bytes], *, head: str = "") -> VerifyReport:
    """Prove an export; `head` is a hash noted elsewhere.

    Raises:
        UserError: `not_an_export`: the first line is no head, or a line cannot be read.
    """
    verifier: ChainVerifier | None = None
    end: End | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = _decoder.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _no_export(f"line {number} cannot be read: {error}") from error
        if verifier is None:
            if not isinstance(found, Head):
                raise _no_export("its first line is no head")
            if found.schema_version != SCHEMA_VERSION:
                raise _no_export(f"it has schema version {found.schema_version}, this program knows {SCHEMA_VERSION}")
            verifier = ChainVerifier(found.after, found.anchor_hash, head=head)
        elif isinstance(found, Row):
            verifier.feed(found)
        elif isinstance(found, Stray):
            verifier.stray(found.row)
        elif isinstance(found, End):
            end = found
    if verifier is None:
        raise _no_export("it is empty")
    if end is None:
        raise _no_export("its end is missing")
    return verifier.finish(end.head_seq, end.head_hash)


def _line(value: Any) -> bytes:
    return _encode(value) + b"\n"


def _no_export(problem: str) -> UserError:
    return UserError(
        "not_an_export",
        f"This is no whole export of a call ledger: {problem}.",
        hint="Make one with `edge-connector calls export FILE`.",
    )
