"""One worker process as the runtime sees it: start, frames in and out, printed lines, end of the whole tree, reaping.

It decides nothing about calls or replacement; `pool` and `dispatch` do. POSIX only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Protocol

import msgspec

from edge_connector.core.tasks import TaskOwner
from edge_connector.tools import frames, proctree
from edge_connector.tools.active import ActiveCall
from edge_connector.tools.calls import ExecutorConfig, WorkerInfo
from edge_connector.tools.endings import Ending
from edge_connector.tools.environment import worker_command
from edge_connector.tools.output import OutputReader

log = logging.getLogger(__name__)

TERMINATE_GRACE_S = 0.5
"""Between SIGTERM and SIGKILL of the tree."""
CLOSE_GRACE_S = 1.0
"""For an idle worker to exit by itself."""
REAP_TIMEOUT_S = 10.0
"""A killed process that is not gone by then hangs in the kernel."""


class WorkerEvents(Protocol):
    """What a worker process tells its pool, on the loop's thread."""

    def worker_ready(self, worker: WorkerProcess, ready: frames.Ready) -> None: ...
    def worker_replied(self, worker: WorkerProcess, reply: frames.Done | frames.Fail) -> None: ...
    def worker_said(self, worker: WorkerProcess, event: frames.Progress | frames.LogLine) -> None: ...
    def worker_gone(self, worker: WorkerProcess) -> None: ...


class WorkerProcess:
    """A started worker.

    Attributes:
        calls: what it was given and has not answered, by sequence number.
        ready: it loaded its tools and serves.
        ending: it is closing, being killed or dead; give it nothing more.
        closing: it was told to finish by itself.
        killed: it was or is being killed by this side.
        verdict: how calls end that die with it and have no ending of their own.
        gone: set when the process is reaped.
        cleaned: set when also its leftover processes and files are gone.
    """

    def __init__(self, name: str, kind: str, config: ExecutorConfig, events: WorkerEvents, tasks: TaskOwner) -> None:
        self.name = name
        self.kind = kind
        self.calls: dict[int, ActiveCall] = {}
        self.calls_done = 0
        self.ready = False
        self.ending = False
        self.closing = False
        self.killed = False
        self.verdict: Ending | None = None
        self.loading = ""
        self.exit_reason = ""
        self.started_at = time.monotonic()
        self.idle_since = self.started_at
        self.gone = asyncio.Event()
        self.cleaned = asyncio.Event()
        self._config = config
        self._events = events
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._mark = f"{name}-{os.getpid()}-{os.urandom(6).hex()}"
        self._scratch = config.scratch_root / f"worker-{name}"
        self._splitter = frames.FrameSplitter()
        self._out = bytearray()
        self._flush_due = False
        self._writing = False
        self._pidfd = -1
        self._statistics: object | None = None
        self.outputs: list[OutputReader] = []

    def start(self, skip: list[str]) -> None:
        """Start the process and send it `Init`.

        Raises:
            OSError: the system cannot start one more process.
        """
        config = self._config
        environment = {**config.environment, proctree.MARK_VARIABLE: self._mark}
        self._data, theirs = socket.socketpair()
        self._control, their_control = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [*worker_command(), str(theirs.fileno()), str(their_control.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(), their_control.fileno()),
                env=environment,
                cwd=config.scratch_root,
                start_new_session=True,
            )
        except BaseException:
            self._data.close()
            self._control.close()
            raise
        finally:
            theirs.close()
            their_control.close()
        self.pid = self._process.pid
        self._data.setblocking(False)
        self._control.setblocking(False)
        self._loop.add_reader(self._data, self._readable)
        for stream, pipe in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            assert pipe is not None
            reader = OutputReader(pipe, worker=self.name, pid=self.pid, stream=stream)
            self.outputs.append(reader)
            self._loop.add_reader(reader.fileno(), self._output_readable, reader)
        self._watch_exit()
        log.debug("worker started worker=%s kind=%s pid=%d", self.name, self.kind, self.pid)
        self.send(
            frames.Init(
                kind=self.kind,
                implementations="" if config.implementations is None else str(Path(config.implementations).absolute()),
                scratch=str(self._scratch.absolute()),
                memory_bytes=config.worker_memory_bytes,
                max_result_bytes=config.max_result_bytes,
                log_file="" if config.log_file is None else str(Path(config.log_file).absolute()),
                platform_url=config.platform_url,
                mark=self._mark,
                skip=skip,
            )
        )

    # ---- frames out

    def send(self, frame: frames.Frame) -> None:
        """Queue a frame; all of one loop turn leave in one write.

        Raises:
            FrameError: the frame is too large.
        """
        frames.append(self._out, frame)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        try:
            if self._out:
                del self._out[: self._data.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:  # it died; its exit is reported by the watch
            self._out.clear()
        if self._out:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._data, self._flush)
            return  # `_flush_due` stays set: the writer goes on
        self._flush_due = False
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._data)

    def cancel(self, seq: int) -> None:
        """Ask the worker to stop one call."""
        if self.kind == "async":
            self.send(frames.Cancel(seq))
            return
        try:
            self._control.send(frames.SEQUENCE.pack(seq))
        except OSError:  # gone, or so stuck that its control line is full: the kill comes next
            pass

    # ---- frames in

    def _readable(self) -> None:
        try:
            chunk = self._data.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._data)
            self.ending = True
            if not self.gone.is_set():  # usually its exit is reported in a moment
                self._tasks.spawn(self._end_within(TERMINATE_GRACE_S), name=f"eof.{self.name}")
            return
        self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        try:
            for payload in self._splitter.feed(chunk):
                self._handle(frames.decode_from_worker(payload))
        except (frames.FrameError, msgspec.DecodeError) as error:
            log.error("worker sent no frame worker=%s pid=%d error=%s", self.name, self.pid, error)
            self._loop.remove_reader(self._data)
            self.kill()

    def _handle(self, frame: frames.FromWorker) -> None:
        if isinstance(frame, frames.Done | frames.Fail):
            self.calls_done += 1
            self._events.worker_replied(self, frame)
        elif isinstance(frame, frames.Progress | frames.LogLine):
            self._events.worker_said(self, frame)
        elif self.killed:
            pass  # its start took too long; what it still says must not change whose fault that was
        elif isinstance(frame, frames.Loading):
            self.loading = frame.module
        else:
            self.ready = True
            self.loading = ""
            self._events.worker_ready(self, frame)

    def _output_readable(self, reader: OutputReader) -> None:
        if not reader.read():
            self._loop.remove_reader(reader.fileno())

    # ---- the end

    def close(self) -> None:
        """Let an idle worker finish by itself; kill it if it does not."""
        if self.ending:
            return
        self.ending = self.closing = True
        self.send(frames.Stop())
        self._tasks.spawn(self._end_within(CLOSE_GRACE_S), name=f"close.{self.name}")

    async def _end_within(self, grace_s: float) -> None:
        try:
            async with asyncio.timeout(grace_s):
                await self.gone.wait()
        except TimeoutError:
            self.kill()

    def kill(self, verdict: Ending | None = None) -> None:
        """End the process and everything below it: SIGTERM, then SIGKILL. Returns at once; wait for `gone`."""
        self.ending = True
        if self.killed or self.gone.is_set():
            return
        self.killed = True
        self.verdict = self.verdict or verdict
        self._tasks.spawn(self._kill(), name=f"kill.{self.name}")

    async def _kill(self) -> None:
        await asyncio.to_thread(self._terminate)
        try:
            async with asyncio.timeout(TERMINATE_GRACE_S):
                await self.gone.wait()
            return
        except TimeoutError:
            pass
        await asyncio.to_thread(proctree.kill_tree, self.pid, self._mark)
        try:
            async with asyncio.timeout(REAP_TIMEOUT_S):
                await self.gone.wait()
        except TimeoutError:
            log.error("killed worker does not end worker=%s pid=%d", self.name, self.pid)

    def _terminate(self) -> None:
        proctree.send(proctree.descendants(self.pid) | {self.pid}, signal.SIGTERM)

    def _watch_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or an old or fenced kernel
            threading.Thread(target=self._wait_in_thread, name=f"wait.{self.name}", daemon=True).start()
            return
        self._loop.add_reader(self._pidfd, self._exited)

    def _wait_in_thread(self) -> None:
        self._process.wait()
        try:
            self._loop.call_soon_threadsafe(self._exited)
        except RuntimeError:  # the loop is closed: nobody is interested any more
            pass

    def _exited(self) -> None:
        if self.gone.is_set():
            return
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        status = self._process.wait()
        self.exit_reason = describe_exit(status)
        self.ending = True
        self._drain()
        self.gone.set()
        self._loop.remove_reader(self._data)
        self._loop.remove_writer(self._data)
        self._data.close()
        self._control.close()
        for reader in self.outputs:
            self._loop.remove_reader(reader.fileno())
            reader.read()
            reader.close()
        self._tasks.spawn(self._clean_up(disorderly=status != 0 or self.killed), name=f"clean.{self.name}")
        self._events.worker_gone(self)

    def _drain(self) -> None:
        """Read the answers it wrote before it died: those calls did end."""
        while True:
            try:
                chunk = self._data.recv(262144)
            except OSError:
                return
            if not chunk:
                return
            self._take(chunk)

    async def _clean_up(self, *, disorderly: bool) -> None:
        try:
            await asyncio.to_thread(self._remove_traces, disorderly)
        finally:
            self.cleaned.set()

    def _remove_traces(self, disorderly: bool) -> None:
        if disorderly and (ended := proctree.kill_marked(self._mark)):
            log.warning("ended what a worker left behind worker=%s processes=%d", self.name, ended)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def info(self) -> WorkerInfo:
        """Figures of now; `cpu_percent` is since the last look."""
        import psutil

        try:
            process = self._statistics
            if not isinstance(process, psutil.Process):
                process = self._statistics = psutil.Process(self.pid)
            with process.oneshot():
                cpu, memory = process.cpu_percent(None), process.memory_info().rss
        except psutil.Error:
            cpu, memory = 0.0, 0
        return WorkerInfo(self.pid, self.kind, self.calls_done, cpu, memory, len(self.calls))


def describe_exit(status: int) -> str:
    """`Popen.returncode` in words: `signal SIGKILL` or `exit status 3`."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
