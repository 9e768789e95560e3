"""The entry of a tool worker process: `python -m edge_connector.tools.worker DATA_FD CONTROL_FD PARENT_PID`.

It imports `core` and msgspec at most, so that a worker starts quickly and stays small. Only the runtime starts it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edge_connector.tools import frames, limits, proctree

if TYPE_CHECKING:
    from edge_connector.tools.worker_async import AsyncServer
    from edge_connector.tools.worker_sync import SyncServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve calls until the runtime says stop or is gone. Returns the exit status."""
    data_fd, control_fd, parent = (int(text) for text in (sys.argv[1:] if arguments is None else arguments)[-3:])
    for descriptor in (data_fd, control_fd):
        os.set_inheritable(descriptor, False)  # a tool's own children must not hold the line open
    limits.die_with_parent(parent)
    limits.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the runtime
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        with socket.socket(fileno=data_fd) as data:
            return _serve(data, socket.socket(fileno=control_fd))
    finally:
        proctree.kill_descendants()


def _serve(data: socket.socket, control: socket.socket) -> int:
    splitter = frames.FrameSplitter()
    received: list[bytes] = []
    while not received:
        chunk = data.recv(65536)
        if not chunk:
            return 0
        received = splitter.feed(chunk)
    init = frames.decode_to_worker(received[0])
    if not isinstance(init, frames.Init):
        raise frames.FrameError("the first frame has to be Init")
    server = _make_server(init, data)
    signal.signal(signal.SIGTERM, server.on_terminate)
    threading.Thread(target=_watch, args=(control, server.on_cancel), name="control", daemon=True).start()

    from edge_connector.tools.serving import load_tools, ready_frame

    limits.limit_memory(init.memory_bytes)
    loaded = load_tools(init, lambda module: data.sendall(frames.encode(frames.Loading(module))))
    data.sendall(frames.encode(ready_frame(loaded)))
    server.serve(loaded.tools, splitter)
    return 0


def _make_server(init: frames.Init, data: socket.socket) -> SyncServer | AsyncServer:
    if init.kind == "sync":
        from edge_connector.tools.worker_sync import SyncServer

        return SyncServer(init, data)
    from edge_connector.tools.worker_async import AsyncServer

    return AsyncServer(init, data)


def _watch(control: socket.socket, on_cancel: Callable[[int], None]) -> None:
    """The thread on the control line: hands on cancelled calls; at its end takes the whole tree down."""
    pending = b""
    while True:
        try:
            chunk = control.recv(4096)
        except OSError:
            chunk = b""
        if not chunk:
            # The runtime is gone, perhaps by kill -9: nobody else is left to find detached descendants.
            proctree.kill_descendants()
            os._exit(0)
        pending += chunk
        while len(pending) >= frames.SEQUENCE.size:
            (seq,) = frames.SEQUENCE.unpack_from(pending)
            pending = pending[frames.SEQUENCE.size :]
            on_cancel(seq)


if __name__ == "__main__":
    sys.exit(main())
