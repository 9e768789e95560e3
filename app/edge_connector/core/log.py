"""Logging set-up: one line an event, UTC, to standard error and to a rotating file, with secrets struck out.

    2026-01-31T12:00:00.000Z INFO    runtime.board state connecting -> working (proven; link open)

A line has a moment, a level, the part that speaks and words, facts as `key=value`; only tracebacks have more lines,
indented.

A secret that is registered with `hide` never reaches a log, whatever code logs it.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import time
from pathlib import Path
from textwrap import indent
from typing import Any

from edge_connector.core.files import explain_os_error
from edge_connector.core.printable import lines, one_line

FILE_BYTES = 5 * 1024 * 1024
FILE_COUNT = 5
_MIN_SECRET_LENGTH = 8
"""Shorter strings would blacken ordinary words."""

_secrets: set[str] = set()


def hide(secret: str | None) -> None:
    """Strike `secret` out of every line logged from now on."""
    if secret and len(secret) >= _MIN_SECRET_LENGTH:
        _secrets.add(secret)


def redact(text: str) -> str:
    """`text` without any registered secret."""
    for secret in _secrets:
        if secret in text:
            text = text.replace(secret, "[redacted]")
    return text


class _LineFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(short)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        record.short = record.name.removeprefix("edge_connector.")
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        # What peers and tools say must neither look like a line of ours nor reach a terminal as an escape sequence.
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        # Its lines are indented: an exception's text may have lines that look like ours.
        return indent(lines(super().formatException(ei)), "  ")


class _RotatingFile(logging.handlers.RotatingFileHandler):
    """A full disk ends no program and fills no terminal: it is said once, until a line could be written again."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, maxBytes=FILE_BYTES, backupCount=FILE_COUNT, encoding="utf-8")
        self._is_failing = False
        self._errors: list[OSError] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._errors.clear()
        super().emit(record)
        if self._errors and not self._is_failing:
            sys.stderr.write(f"the log {self.baseFilename} cannot be written: {self._errors[0]}\n")
        self._is_failing = bool(self._errors)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._errors.append(error)
        else:  # a line that cannot be formatted is a bug, and shows as one
            super().handleError(record)


def configure(level: str, *, file: Path | None, stderr: bool = True) -> None:
    """Log at `level` (debug, info, warning, error) to standard error and, when given, to the rotating `file`.

    Raises:
        UserError: the file cannot be written.
    """
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    formatter = _LineFormatter()
    if stderr:
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(formatter)
        root.addHandler(console)
    if file is not None:
        with explain_os_error(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            rotating = _RotatingFile(file)
        rotating.setFormatter(formatter)
        root.addHandler(rotating)
    root.setLevel(level.upper())
    # The libraries tell their own story at INFO; ours is told by the link and the servers.
    for noisy in ("websockets", "aiohttp", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
