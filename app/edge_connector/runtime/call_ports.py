"""What the call desk needs of others, and what it knows of a call without an outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge_connector.tools.calls import CallOutcome, CallRequest, ToolInfo
from edge_connector.tools.ledger.ledger import Marked
from edge_connector.tools.ledger.records import CallRow


class Executor(Protocol):
    """What runs the calls."""

    def submit(self, request: CallRequest) -> None:
        """Start or queue a call; its outcome comes back exactly once."""
        ...

    def cancel(self, call_id: str, reason: str) -> None:
        """Stop a call; unknown ids are ignored."""
        ...

    def tool(self, name: str) -> ToolInfo | None:
        """The tool of that name, if it is served."""
        ...


class Ledger(Protocol):
    """What keeps the calls, as `tools.ledger.CallLedger` does on a disk. No method waits for the disk."""

    known: dict[str, None]
    """Ids of calls that are over."""

    def take_unfinished(self) -> list[CallRow]:
        """What an earlier process could not deliver, once."""
        ...

    def received(self, request: CallRequest, info: ToolInfo | None, *, is_local: bool = False) -> None: ...

    def mark(
        self, request: CallRequest, info: ToolInfo, done: Callable[[Marked], None], *, is_local: bool = False
    ) -> None:
        """Put the start of a `once` call on the disk, then call `done`, never before this returns."""
        ...

    def accepted(self, call_id: str) -> None: ...

    def finished(self, outcome: CallOutcome, *, is_reported: bool, is_local: bool = False) -> None: ...

    def reported(self, call_id: str) -> None: ...

    def confirmed(self, call_id: str) -> None: ...

    def find(self, call_id: str, done: Callable[[CallRow | None], None]) -> None:
        """Look a call up and call `done` later."""
        ...


class OpenCall:
    """A call without an outcome.

    Attributes:
        began: wall-clock moment of its arrival.
        attempt: the newest attempt that asked for it.
        is_held_back: the executor does not have it: it is looked up, or its mark is being written.
        is_recorded: the ledger has it.
        cancelled: why it was cancelled while it was held back.
    """

    __slots__ = ("attempt", "began", "cancelled", "is_held_back", "is_recorded", "request")

    def __init__(self, request: CallRequest, began: float) -> None:
        self.request = request
        self.began = began
        self.attempt = request.attempt
        self.is_held_back = False
        self.is_recorded = False
        self.cancelled: str | None = None
