"""A worker for async tools: one event loop, each call a task, answers written together once per turn of the loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from types import FrameType

from msgspec import Raw

from edge_connector.core.loops import fastest_loop
from edge_connector.core.tasks import TaskOwner
from edge_connector.tools import frames, proctree
from edge_connector.tools.schemas import BoundTool
from edge_connector.tools.serving import failure, make_context, unknown_tool

log = logging.getLogger(__name__)


class AsyncServer:
    """Serves calls as tasks; also the port of their contexts."""

    def __init__(self, init: frames.Init, data: socket.socket) -> None:
        self._init = init
        self._data = data
        self._pid = os.getpid()
        self._thread = threading.get_ident()
        self._tools: dict[str, BoundTool] = {}
        self._splitter = frames.FrameSplitter()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._out = bytearray()
        self._flush_due = False
        self._writing = False
        self._terminating = False
        self._owner = TaskOwner("tools")

    def on_cancel(self, seq: int) -> None:
        """Async calls are cancelled by a frame; the control line only tells whether the runtime lives."""

    def on_terminate(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: leave, whatever the loop is doing."""
        self._terminating = True
        raise SystemExit(128 + number)

    # ---- the port of a context

    def progress(self, seq: int, fraction: float | None, message: str) -> None:
        self._send_from_any_thread(frames.Progress(seq, -1.0 if fraction is None else fraction, message))

    def log(self, seq: int, level: int, message: str) -> None:
        self._send_from_any_thread(frames.LogLine(seq, level, message))

    def is_cancelled(self, seq: int) -> bool:
        return seq in self._cancelled

    def _send_from_any_thread(self, frame: frames.Frame) -> None:
        if threading.get_ident() == self._thread:
            self._send(frame)
        else:
            self._loop.call_soon_threadsafe(self._send, frame)

    # ---- serving

    def serve(self, tools: dict[str, BoundTool], splitter: frames.FrameSplitter) -> None:
        """Until `Stop` or the end of the line."""
        self._tools = tools
        self._splitter = splitter
        with asyncio.Runner(loop_factory=fastest_loop()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._data.setblocking(False)
        self._loop.add_reader(self._data, self._readable)
        try:
            await self._stopped.wait()
        finally:
            self._loop.remove_reader(self._data)
            await self._owner.close(timeout_s=1.0)

    def _readable(self) -> None:
        try:
            chunk = self._data.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._stopped.set()
            return
        for payload in self._splitter.feed(chunk):
            frame = frames.decode_to_worker(payload)
            if isinstance(frame, frames.Call):
                self._running[frame.seq] = self._owner.spawn(self._run(frame), name=frame.tool)
            elif isinstance(frame, frames.Cancel):
                task = self._running.get(frame.seq)
                if task is not None:
                    self._cancelled.add(frame.seq)
                    task.cancel()
            elif isinstance(frame, frames.Stop):
                self._stopped.set()

    async def _run(self, call: frames.Call) -> None:
        seq = call.seq
        bound = self._tools.get(call.tool)
        reply: frames.Frame
        if bound is None:
            reply = unknown_tool(call)
        else:
            context = make_context(call, self, self._init.scratch)
            try:
                value = await bound.function(**bound.arguments(call.arguments, context))
                reply = frames.Done(seq, Raw(bound.encode(value, self._init.max_result_bytes)))
            except asyncio.CancelledError as error:
                if seq in self._cancelled:
                    reply = frames.Fail(seq, "cancelled", "cancelled", f"{call.tool} was cancelled.")
                else:
                    reply = failure(call, bound, error)
            except BaseException as error:
                reply = failure(call, bound, error)
            finally:
                if os.getpid() != self._pid:
                    os._exit(0)  # a child that the tool forked came back here instead of ending
                context.close()
        self._running.pop(seq, None)
        self._cancelled.discard(seq)
        # While other calls run, nobody can tell whose child a process is.
        if not self._running and (left := proctree.end_leftovers()):
            self.log(seq, logging.WARNING, f"left {left} processes running; they were ended")
        if self._terminating:
            self._stopped.set()
            if isinstance(reply, frames.Fail):
                return  # it failed because this process is ended; the runtime says so better
        self._send(reply)

    def _send(self, frame: frames.Frame) -> None:
        try:
            frames.append(self._out, frame)
        except frames.FrameError as error:
            log.error("frame not sent error=%s", error)
            return
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            sent = self._data.send(self._out)
            del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._stopped.set()
            return
        if self._out:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._data, self._flush)
            return  # `_flush_due` stays set: the writer goes on
        self._flush_due = False
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._data)
