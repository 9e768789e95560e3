"""What workers print goes line by line into the connector's log, a bounded number of lines a second."""

from __future__ import annotations

import logging
import os
import time
from typing import IO

log = logging.getLogger(__name__)

LINES_PER_SECOND = 50
LINE_BYTES = 4096


class OutputReader:
    """Reads one pipe of one worker and never blocks."""

    def __init__(self, pipe: IO[bytes], *, worker: str, pid: int, stream: str) -> None:
        self._pipe = pipe
        self._worker = worker
        self._pid = pid
        self._stream = stream
        self._rest = b""
        self._second = 0.0
        self._left = LINES_PER_SECOND
        self._suppressed = 0
        self.dropped = 0
        os.set_blocking(pipe.fileno(), False)

    def fileno(self) -> int:
        """For the loop's reader."""
        return self._pipe.fileno()

    def read(self) -> bool:
        """Take what is there; False at the end of the pipe."""
        try:
            chunk = os.read(self._pipe.fileno(), 65536)
        except BlockingIOError:
            return True
        except OSError:
            chunk = b""
        if not chunk:
            return False
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES:  # a line without an end
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            if line.strip():
                self._emit(line)
        return True

    def close(self) -> None:
        """Log what is left and close the pipe."""
        if self._rest.strip():
            self._emit(self._rest)
        self._tell_suppressed()
        self._rest = b""
        self._pipe.close()

    def _emit(self, line: bytes) -> None:
        now = time.monotonic()
        if now - self._second >= 1:
            self._tell_suppressed()
            self._second, self._left = now, LINES_PER_SECOND
        if self._left <= 0:
            self._suppressed += 1
            self.dropped += 1
            return
        self._left -= 1
        text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip()
        log.info("%s worker=%s pid=%d stream=%s", text, self._worker, self._pid, self._stream)

    def _tell_suppressed(self) -> None:
        if self._suppressed:
            log.warning(
                "tool output suppressed lines=%d worker=%s pid=%d stream=%s",
                self._suppressed,
                self._worker,
                self._pid,
                self._stream,
            )
            self._suppressed = 0
