"""Measures how long the Qt loop is held up, and by what: a watchdog for tests and for hunting a stall.

It costs 200 wake-ups a second, so the program itself never runs it.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer

LIMIT_S = 0.016
"""One frame at 60 Hz."""
BEAT_MS = 5
STACK_FRAMES = 12
MAX_STALLS = 100


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop did nothing else for `blocked_s` seconds.

    Attributes:
        worked_s: processor time of the thread meanwhile: what a busy machine adds to `blocked_s` is not in it.
        stack: where it was caught; empty when it was not.
        in_slot: caught in Python: a slot or a callback, and not Qt's own layout and painting.
    """

    blocked_s: float
    worked_s: float
    stack: str
    in_slot: bool


class LoopWatch(QObject):
    """Notes every stall of the thread that it is started on.

    watch = LoopWatch(); watch.start(); ...; watch.stop(); assert not watch.slots
    """

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        super().__init__()
        self._limit_s = limit_s
        self.stalls: list[Stall] = []
        """At most the first 100."""
        self.longest_s = 0.0
        self.hardest_s = 0.0
        """The most processor time between two beats: of one turn of the loop, Qt's layout and painting with it."""
        self._beat = QTimer(self, interval=BEAT_MS, timerType=Qt.TimerType.PreciseTimer)
        self._beat.timeout.connect(self._on_beat)
        self._thread_id = threading.get_ident()
        self._last = self._waited = self._worked = 0.0
        self._caught, self._in_slot = "", False
        self._stopping = threading.Event()
        self._sampler: threading.Thread | None = None
        self._schedule = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")

    def start(self) -> None:
        """Watch from now on."""
        self._last, self._waited, self._worked = time.monotonic(), self._waited_s(), time.thread_time()
        self._beat.start()
        self._stopping.clear()
        self._sampler = threading.Thread(target=self._sample, name="loop watch", daemon=True)
        self._sampler.start()

    def stop(self) -> None:
        """Watch no more; idempotent."""
        if self._sampler is None:
            return
        self._on_beat()
        self._beat.stop()
        self._stopping.set()
        self._sampler.join()
        self._sampler = None

    @property
    def slots(self) -> list[Stall]:
        """The stalls that Python code made."""
        return [stall for stall in self.stalls if stall.in_slot]

    def describe(self) -> str:
        """The stalls in words, the longest first."""
        ordered = sorted(self.stalls, key=lambda stall: -stall.blocked_s)
        said = (
            f"{stall.blocked_s * 1000:.0f} ms, {stall.worked_s * 1000:.0f} ms of work\n{stall.stack}"
            for stall in ordered
        )
        return "\n".join(said) or "no stalls"

    def _on_beat(self) -> None:
        now, waited, worked = time.monotonic(), self._waited_s(), time.thread_time()
        # Time for which the system gave the processor to others is nobody's slot.
        blocked_s = (now - self._last) - (waited - self._waited) - BEAT_MS / 1000
        worked_s = worked - self._worked
        self._last, self._waited, self._worked = now, waited, worked
        self.longest_s = max(self.longest_s, blocked_s)
        self.hardest_s = max(self.hardest_s, worked_s)
        if blocked_s > self._limit_s and len(self.stalls) < MAX_STALLS:
            self.stalls.append(Stall(blocked_s, worked_s, self._caught, self._in_slot))
        self._caught, self._in_slot = "", False

    def _sample(self) -> None:
        """In a thread: catch the loop in the act."""
        while not self._stopping.wait(BEAT_MS / 1000):
            if time.monotonic() - self._last > BEAT_MS / 1000 + self._limit_s / 2:
                names = [] if self._caught else self._look()
                if names:
                    # Where Qt works by itself, the innermost Python frame is the one that runs its loop.
                    self._in_slot = not names[0].endswith((" exec", " run_forever"))
                    self._caught = "\n".join(reversed(names))

    def _look(self) -> list[str]:
        """Where the loop's thread is, innermost first; no frame is kept, so that none of its widgets dies here."""
        frame = sys._current_frames().get(self._thread_id)
        found: list[str] = []
        while frame is not None and len(found) < STACK_FRAMES:
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
            frame = frame.f_back
        return found

    def _waited_s(self) -> float:
        """How long this thread was ready to run and was not let (Linux; 0 elsewhere)."""
        try:
            return int(self._schedule.read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
