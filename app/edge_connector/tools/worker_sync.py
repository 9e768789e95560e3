"""A worker for sync tools: one call at a time on the main thread, blocking reads, no event loop.

The main thread is where a signal can interrupt a tool, which is how its calls are cancelled.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from types import FrameType

from msgspec import Raw

from edge_connector.tools import frames, proctree
from edge_connector.tools.api import CallCancelled
from edge_connector.tools.schemas import BoundTool
from edge_connector.tools.serving import failure, make_context, unknown_tool


class SyncServer:
    """Serves calls one after the other; also the port of their contexts."""

    def __init__(self, init: frames.Init, data: socket.socket) -> None:
        self._init = init
        self._data = data
        self._send_lock = threading.Lock()  # a tool may report progress from its own threads
        self._pid = os.getpid()
        self._current = 0
        self._cancelled = 0
        self._raised = 0
        self._stopping = False
        self._main = threading.main_thread().ident or 0

    # ---- signals and the control line

    def on_cancel(self, seq: int) -> None:
        """On the control thread: interrupt the main thread if it still runs this call."""
        self._cancelled = seq
        signal.pthread_kill(self._main, signal.SIGUSR1)

    def on_terminate(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: leave through the tool's `finally` blocks."""
        self._stopping = True
        raise SystemExit(128 + number)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        # The call may have ended while the signal was on its way; the next one must not be hit.
        if self._current and self._cancelled == self._current != self._raised:
            self._raised = self._current
            raise CallCancelled

    # ---- the port of a context

    def progress(self, seq: int, fraction: float | None, message: str) -> None:
        self._send(frames.encode(frames.Progress(seq, -1.0 if fraction is None else fraction, message)))

    def log(self, seq: int, level: int, message: str) -> None:
        self._send(frames.encode(frames.LogLine(seq, level, message)))

    def is_cancelled(self, seq: int) -> bool:
        return self._cancelled == seq

    def _send(self, data: bytes | bytearray) -> None:
        with self._send_lock:
            self._data.sendall(data)

    # ---- serving

    def serve(self, tools: dict[str, BoundTool], splitter: frames.FrameSplitter) -> None:
        """Until `Stop` or the end of the line."""
        signal.signal(signal.SIGUSR1, self._on_interrupt)
        while True:
            chunk = self._data.recv(262144)
            if not chunk:
                return
            for payload in splitter.feed(chunk):
                frame = frames.decode_to_worker(payload)
                if isinstance(frame, frames.Call):
                    reply = self._guarded(frame, tools)
                    if os.getpid() != self._pid:
                        os._exit(0)  # a child that the tool forked came back here instead of ending
                    if self._stopping:
                        return  # it failed because this process is ended; the runtime says so better
                    if left := proctree.end_leftovers():
                        self.log(frame.seq, logging.WARNING, f"left {left} processes running; they were ended")
                    self._send(reply)
                elif isinstance(frame, frames.Stop):
                    return

    def _guarded(self, call: frames.Call, tools: dict[str, BoundTool]) -> bytearray:
        """The answer to the call. `CallCancelled` may strike anywhere until `_current` is 0 again."""
        try:
            self._current = call.seq
            try:
                return self._run(call, tools.get(call.tool))
            finally:
                self._current = 0
        except CallCancelled as error:
            self._current = 0
            return frames.encode(failure(call, None, error))

    def _run(self, call: frames.Call, bound: BoundTool | None) -> bytearray:
        if bound is None:
            return frames.encode(unknown_tool(call))
        context = make_context(call, self, self._init.scratch)
        try:
            value = bound.function(**bound.arguments(call.arguments, context))
            return frames.encode(frames.Done(call.seq, Raw(bound.encode(value, self._init.max_result_bytes))))
        except BaseException as error:
            return frames.encode(failure(call, bound, error))
        finally:
            context.close()
