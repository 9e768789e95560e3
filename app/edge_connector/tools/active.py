"""A call between `submit` and its outcome: only data, `dispatch` moves it along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw

from edge_connector.tools.calls import CallRequest, ToolInfo
from edge_connector.tools.endings import Ending

if TYPE_CHECKING:
    from edge_connector.tools.process import WorkerProcess

NEVER = float("inf")


class ActiveCall:
    """One call that is queued or running; times are monotonic seconds.

    Attributes:
        seq: its number in this process, growing; the worker knows it by this.
        worker: None while it is queued.
        ending: set once it was told to stop; decides its outcome.
        kill_at: when its worker is ended if it still runs.
        finished: its outcome was reported; nothing may be reported again.
    """

    __slots__ = (
        "accepted",
        "arguments",
        "deadline",
        "ending",
        "finished",
        "info",
        "kill_at",
        "request",
        "seq",
        "started",
        "submitted",
        "uses_probe_slot",
        "worker",
    )

    def __init__(
        self, request: CallRequest, info: ToolInfo, arguments: Raw, seq: int, submitted: float, deadline: float
    ) -> None:
        self.request = request
        self.arguments = arguments
        self.info = info
        self.seq = seq
        self.submitted = submitted
        self.started = 0.0
        self.deadline = deadline
        self.worker: WorkerProcess | None = None
        self.accepted = False
        self.ending: Ending | None = None
        self.kill_at = NEVER
        self.finished = False
        self.uses_probe_slot = False
