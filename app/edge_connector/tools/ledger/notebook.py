"""What the loop notes of calls until it is written: one object a call, so that noting costs the loop next to nothing.

It writes nothing: `ledger` takes the notes and hands them to the writer thread.
"""

from __future__ import annotations

from edge_connector.core.clock import Clock
from edge_connector.tools.calls import CallOutcome, CallRequest, ToolInfo
from edge_connector.tools.ledger.writing import Noted

HOLD_S = 0.25
"""How long a call that may be repeated waits for its receipt, so that most are written once, whole. The outcome of a
`once` call, and one that could not be sent, are written at once."""


class Notebook:
    """Notes in the order in which they are to be written; all methods are for the loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fresh: dict[str, Noted] = {}
        """Calls that are not in the file yet, the oldest first."""
        self._later: dict[str, Noted] = {}
        """News of calls that are."""
        self._ready: list[Noted] = []

    @property
    def waiting(self) -> int:
        """Notes that are not handed over."""
        return len(self._fresh) + len(self._later) + len(self._ready)

    def _schedule(self) -> None:
        """Something was noted: see that it is written soon."""
        raise NotImplementedError

    def _hurry(self) -> None:
        """Something was noted that must not be lost: see that it is written now."""
        raise NotImplementedError

    # ---- what happens to calls

    def received(self, request: CallRequest, info: ToolInfo | None, *, is_local: bool = False) -> None:
        """A call came that may run without waiting for the disk."""
        call_id = request.id
        if (older := self._fresh.pop(call_id, None) or self._later.pop(call_id, None)) is not None:
            self._ready.append(older)
        noted = self._fresh[call_id] = Noted(call_id, request, info)
        noted.received = self._clock.wall()
        noted.is_local = is_local
        self._schedule()

    def accepted(self, call_id: str) -> None:
        """The platform was told that the call takes longer than an instant."""
        self._news(call_id).accepted = self._clock.wall()

    def finished(self, outcome: CallOutcome, *, is_reported: bool, is_local: bool = False) -> None:
        """A call has its outcome; `is_reported` when it was sent at once."""
        noted = self._news(outcome.id)
        noted.outcome = outcome
        noted.is_local = is_local
        noted.finished = self._clock.wall()
        if is_reported:
            noted.reported = noted.finished
        elif self._fresh.pop(outcome.id, None) is not None:
            self._ready.append(noted)
        if not is_reported or noted.request is None:
            # Nobody else has it for sure, or it is that of a `once` call.
            self._hurry()

    def reported(self, call_id: str) -> None:
        """The outcome was sent later, or again."""
        self._news(call_id).reported = self._clock.wall()

    def confirmed(self, call_id: str) -> None:
        """The platform keeps the outcome."""
        noted = self._news(call_id)
        noted.confirmed = self._clock.wall()
        if self._fresh.pop(call_id, None) is not None:
            self._ready.append(noted)

    def _news(self, call_id: str) -> Noted:
        """Where to note what happened to the call."""
        noted = self._fresh.get(call_id) or self._later.get(call_id)
        if noted is None:
            noted = self._later[call_id] = Noted(call_id)
            self._schedule()
        return noted

    def _say(self, text: str) -> None:
        """Put something about the ledger itself into the chain."""
        noted = Noted("")
        noted.received, noted.note = self._clock.wall(), text
        self._ready.append(noted)
        self._schedule()

    # ---- towards the file

    def _take(self, *, everything: bool) -> list[Noted]:
        """What is to be written now: in order for each call, and of young calls only those that are over."""
        taken, self._ready = self._ready, []
        now = self._clock.wall()
        old = []
        for call_id, noted in self._fresh.items():
            # A clock that was set back makes nobody young.
            if not everything and noted.received is not None and now - HOLD_S < noted.received <= now:
                break
            old.append(call_id)
        taken += [self._fresh.pop(call_id) for call_id in old]
        if self._later:
            taken += self._later.values()
            self._later = {}
        return taken

    def _put_back(self, notes: list[Noted]) -> None:
        """These could not be written; they go first the next time."""
        self._ready[:0] = notes

    def _drop_oldest(self, count: int) -> None:
        self._ready = self._take(everything=True)[count:]
