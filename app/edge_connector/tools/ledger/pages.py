"""An export page by page: what `calls.export` answers, and the proof over it. Pure.

pages = ChainPages(head="")                # or a hash noted elsewhere
while (params := pages.next_request()) is not None:
    lines = pages.take(answer("calls.export", params))
report = pages.report()
"""

from __future__ import annotations

from typing import Any

import msgspec

from edge_connector.tools.ledger.chain import ChainRow, ChainVerifier, VerifyReport
from edge_connector.tools.ledger.records import CallRow


class ExportPage(msgspec.Struct, kw_only=True, rename="camel"):
    """One answer to `calls.export`; the last one has no rows."""

    after: int
    anchor_hash: str
    head_seq: int
    head_hash: str
    rows: list[ChainRow]
    stray: list[CallRow] = []


class ChainPages:
    """Asks for one page after the other and verifies them."""

    def __init__(self, *, head: str = "", since: str = "") -> None:
        """`head` is a hash noted elsewhere; `since` leaves older events out."""
        self._head = head
        self._params: dict[str, Any] | None = {"since": since} if since else {}
        self._verifier: ChainVerifier | None = None
        self._ends: tuple[int, str] = (0, "")

    def next_request(self) -> dict[str, Any] | None:
        """Parameters of the next `calls.export`; None after the last."""
        return self._params

    def take(self, answer: dict[str, Any]) -> ExportPage:
        """The answer to the last request, verified."""
        page = msgspec.convert(answer, ExportPage)
        if self._verifier is None:
            self._verifier = ChainVerifier(page.after, page.anchor_hash, head=self._head)
            self._ends = (page.head_seq, page.head_hash)
        for row in page.rows:
            self._verifier.feed(row)
        for call in page.stray:
            self._verifier.stray(call)
        self._params = {"after": page.rows[-1].seq} if page.rows else None
        return page

    def report(self) -> VerifyReport:
        """What was proven, once there is no further request."""
        assert self._verifier is not None and self._params is None, "all pages were taken"
        return self._verifier.finish(*self._ends)
