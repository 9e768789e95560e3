"""The event loop of the desktop: qasync's Qt loop with one Qt timer for all callbacks, able to finish without Qt.

qasync starts one Qt timer for each callback and keeps those of cancelled callbacks until their time, so that a call
with a time-out of a minute would leave a timer behind for a minute. Here callbacks wait in Python, one Qt timer wakes
them, and cancelled ones are dropped. It starts no application and installs no signal handlers: `host` does.

While it runs, garbage is collected by it alone: cycles hold widgets, and one that another thread destroys crashes Qt.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import gc
import heapq
import itertools
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PySide6.QtCore import QSocketNotifier, Qt, QTimer
from PySide6.QtWidgets import QApplication
from qasync import QEventLoop

SLICE_S = 0.008
"""After so long in callbacks, Qt gets its turn to paint and to take input."""
PRECISE_BELOW_S = 1.0
"""Shorter waits use a precise Qt timer; longer ones a coarse one, which lets the processor sleep."""
LONGEST_WAIT_S = 3600.0
COMPACT_ABOVE = 64


class HasFileno(Protocol):
    """A socket or an open file."""

    def fileno(self) -> int: ...


File = int | HasFileno


@dataclass(frozen=True, slots=True)
class _Watched:
    file: File
    handle: asyncio.Handle
    notifier: QSocketNotifier | None


class DesktopLoop(QEventLoop):  # type: ignore[misc]  # qasync has no types
    """asyncio on Qt's loop.

    with asyncio.Runner(loop_factory=lambda: DesktopLoop(application)) as runner:
        runner.run(main())
    """

    def __init__(self, application: QApplication) -> None:
        self._due: collections.deque[asyncio.Handle] = collections.deque()
        self._waiting: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._cancelled = 0
        self._numbers = itertools.count()
        self._readers: dict[int, _Watched] = {}
        self._writers: dict[int, _Watched] = {}
        self._qt_gone = False
        self._in_callbacks = False
        self._collected_by_python = False
        self._thread = threading.get_ident()
        self._soon = QTimer(application)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._run_slice)
        self._later = QTimer(application)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._run_slice)
        self._armed_for = float("inf")
        super().__init__(application)

    # ---- callbacks

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._add_callback(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        self._write_to_self()
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        self._check_closed()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._waiting, (when, next(self._numbers), handle))
        handle._scheduled = True  # type: ignore[attr-defined]  # what BaseEventLoop.call_at does: cancel() then tells us
        if when < self._armed_for and not self._in_callbacks:
            self._arm_later()
        return handle

    def _add_callback(self, handle: asyncio.Handle, delay: float = 0) -> asyncio.Handle:
        assert not delay, "callbacks with a delay come through call_at"
        self._due.append(handle)
        if not self._in_callbacks and not self._qt_gone:
            self._soon.start()
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled += 1
        if self._cancelled > COMPACT_ABOVE and self._cancelled * 2 > len(self._waiting):
            self._waiting = [entry for entry in self._waiting if not entry[2].cancelled()]
            heapq.heapify(self._waiting)
            self._cancelled = 0

    def _run_slice(self) -> None:
        """Run what is due, for a slice at most, then arm the timers for the rest."""
        if not self._may_run():
            return
        self._in_callbacks = True
        try:
            end = self._take_due_timers() + SLICE_S
            for _ in range(len(self._due)):
                handle = self._due.popleft()
                if not handle.cancelled():
                    handle._run()
                if time.monotonic() > end:
                    break
        finally:
            self._in_callbacks = False
            if not self._qt_gone and not self.is_closed():
                if self._due:
                    self._soon.start()
                self._arm_later()
                _collect_garbage()

    def _may_run(self) -> bool:
        """Not between two runs, when Qt processes events but asyncio has no running loop, and not inside a callback.

        The latter is where somebody runs a Qt loop in a callback: tasks cannot be entered twice, so they wait.
        """
        return not self.is_closed() and not self._in_callbacks and (self.is_running() or self._qt_gone)

    def _before_run_forever(self) -> None:
        super()._before_run_forever()
        self._collected_by_python = gc.isenabled()
        gc.disable()
        self._soon.start()
        self._arm_later()

    def _after_run_forever(self) -> None:
        super()._after_run_forever()
        if self._collected_by_python:
            gc.enable()

    def _take_due_timers(self) -> float:
        now = self.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][2].cancelled()):
            _, _, handle = heapq.heappop(self._waiting)
            handle._scheduled = False  # type: ignore[attr-defined]
            if handle.cancelled():
                self._cancelled = max(self._cancelled - 1, 0)
            else:
                self._due.append(handle)
        return float(now)

    def _arm_later(self) -> None:
        while self._waiting and self._waiting[0][2].cancelled():
            heapq.heappop(self._waiting)
            self._cancelled = max(self._cancelled - 1, 0)
        if self._qt_gone:
            return
        if not self._waiting:
            self._later.stop()
            self._armed_for = float("inf")
            return
        when = self._waiting[0][0]
        wait_s = min(max(when - self.time(), 0.0), LONGEST_WAIT_S)
        precise = wait_s < PRECISE_BELOW_S
        self._later.setTimerType(Qt.TimerType.PreciseTimer if precise else Qt.TimerType.CoarseTimer)
        # Rounded up: a timer that fires a moment too early would only be armed again.
        self._later.start(int(wait_s * 1000) + 1)
        self._armed_for = when

    # ---- file descriptors

    def _add_reader(self, file: File, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        return self._watch(self._readers, QSocketNotifier.Type.Read, file, asyncio.Handle(callback, args, self, None))

    def _remove_reader(self, file: File) -> bool:
        return self._unwatch(self._readers, file)

    def _add_writer(self, file: File, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        return self._watch(self._writers, QSocketNotifier.Type.Write, file, asyncio.Handle(callback, args, self, None))

    def _remove_writer(self, file: File) -> bool:
        return self._unwatch(self._writers, file)

    def _watch(
        self, watched: dict[int, _Watched], kind: QSocketNotifier.Type, file: File, handle: asyncio.Handle
    ) -> asyncio.Handle:
        self._check_closed()
        self._unwatch(watched, file)
        fd = _number(file)
        notifier: QSocketNotifier | None = None
        if not self._qt_gone:
            notifier = QSocketNotifier(fd, kind)
            notifier.activated.connect(lambda *_: self._notified(watched, fd, handle))
        watched[fd] = _Watched(file, handle, notifier)
        return handle

    def _unwatch(self, watched: dict[int, _Watched], file: File) -> bool:
        fd = _number(file)
        if fd < 0:  # closed already: it has lost its number, but not its place here
            fd = next((number for number, one in watched.items() if one.file is file), -1)
        found = watched.pop(fd, None)
        if found is None:
            return False
        found.handle.cancel()
        if found.notifier is not None and not self._qt_gone:
            found.notifier.setEnabled(False)
            found.notifier.deleteLater()
        return True

    def _notified(self, watched: dict[int, _Watched], fd: int, handle: asyncio.Handle) -> None:
        # An activation may still be on its way when the descriptor is given to somebody else.
        found = watched.get(fd)
        if found is not None and found.handle is handle and self._may_run():
            handle._run()
            # A thread that called `call_soon_threadsafe` only wakes the loop.
            if self._due and not self._qt_gone:
                self._soon.start()

    def close(self) -> None:
        """Release everything; a closed loop runs nothing any more."""
        if self.is_closed():
            return
        for watched in (self._readers, self._writers):
            # asyncio closes its self-pipe through _remove_reader after this.
            for fd in [fd for fd in watched if fd != self._ssock.fileno()]:
                self._unwatch(watched, fd)
        for timer in (self._soon, self._later):
            timer.stop()
            timer.deleteLater()
        self._due.clear()
        self._waiting.clear()
        super().close()

    # ---- without Qt

    def finish_without_qt(self, is_done: Callable[[], bool], *, deadline_s: float) -> bool:
        """Go on by poll(2) until `is_done`, because Qt's own loop can run no more (its display is gone).

        Call it on the loop's thread, from inside Qt, outside any callback of this loop. Nothing that runs from here on
        may touch Qt. Returns False when `deadline_s` seconds were not enough.
        """
        assert threading.get_ident() == self._thread, "the loop belongs to its thread"
        self._qt_gone = True
        end = self.time() + deadline_s
        while not is_done():
            if self.time() > end:
                return False
            self._take_due_timers()
            if self._due:
                self._run_slice()
            self._poll(0.0 if self._due else min(self._seconds_to_next(), 1.0))
        return True

    def _seconds_to_next(self) -> float:
        return max(self._waiting[0][0] - self.time(), 0.0) if self._waiting else LONGEST_WAIT_S

    def _poll(self, timeout_s: float) -> None:
        poll = select.poll()
        for fd in self._readers.keys() | self._writers.keys():
            wanted = (select.POLLIN if fd in self._readers else 0) | (select.POLLOUT if fd in self._writers else 0)
            poll.register(fd, wanted)
        for fd, happened in poll.poll(int(timeout_s * 1000) + (timeout_s > 0)):
            if happened & ~select.POLLOUT and (reader := self._readers.get(fd)) is not None:
                reader.handle._run()
            if happened & ~select.POLLIN and (writer := self._writers.get(fd)) is not None:
                writer.handle._run()


def _collect_garbage() -> None:
    """What Python itself does on whatever thread makes the object that is one too many."""
    counts, limits = gc.get_count(), gc.get_threshold()
    if counts[0] > limits[0]:
        gc.collect(2 if counts[2] > limits[2] else 1 if counts[1] > limits[1] else 0)


def _number(file: File) -> int:
    return file if isinstance(file, int) else file.fileno()
