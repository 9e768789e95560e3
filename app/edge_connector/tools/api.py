"""What the author of a tool imports: the decorator, the context of a call, and the error with a code.

It runs nothing: loading is in `loader`, calling in the workers. It imports the standard library alone, so that a module
with tools can be imported and tested anywhere.
"""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

Risk = Literal["read", "write", "execute", "network", "spend"]
"""What a call may do to the world; policy and consent decide by it."""
Repeat = Literal["read", "repeatable", "once"]
"""May a call whose outcome is unknown be sent again: it changes nothing, it changes the same thing twice, or never."""

DECLARATION = "__edge_tool__"
"""Attribute of a function that `@tool` marks."""
PROGRESS_INTERVAL_S = 0.05
"""Progress that follows the last one sooner than this is dropped: it would only be overwritten."""

LOG_LINES_PER_SECOND = 100
"""Lines of one call beyond that are counted instead."""
TEXT_CHARACTERS = 4_000
"""Longer messages and log lines are cut."""


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """What `@tool` was told; `None` means: take it from the function."""

    name: str | None = None
    title: str | None = None
    description: str | None = None
    risk: str = "execute"
    repeat: str = "once"
    timeout_s: float | None = None
    secrets: tuple[str, ...] = ()


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    risk: Risk = "execute",
    repeat: Repeat = "once",
    timeout_s: float | None = None,
    secrets: tuple[str, ...] = (),
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    risk: Risk = "execute",
    repeat: Repeat = "once",
    timeout_s: float | None = None,
    secrets: tuple[str, ...] = (),
) -> F | Callable[[F], F]:
    """Offer a typed function, sync or async, as a tool. The function itself stays as it is and can be called in tests.

    The schemas of arguments and result come from the type hints; `typing.Annotated` with `msgspec.Meta` adds words and
    bounds. A parameter annotated `ToolContext` receives the context of the call. Without a declaration a tool is
    taken for the worst: it executes something, and must not be repeated.

    Args:
        name: how callers name it, `[A-Za-z_][A-Za-z0-9_.-]{0,127}`; the function's name by default.
        title: a few words for people; made from the name by default.
        description: when to use it; the docstring by default.
        risk: what a call may do to the world.
        repeat: may a call be sent again when its outcome is unknown.
        timeout_s: seconds a call may take; the connector's default otherwise.
        secrets: parameters whose values are never kept or shown; a field deeper inside gets
            `msgspec.Meta(extra_json_schema={"writeOnly": True})`.
    """
    declaration = ToolDeclaration(name, title, description, risk, repeat, timeout_s, secrets)

    def mark(target: F) -> F:
        setattr(target, DECLARATION, declaration)
        return target

    return mark if function is None else mark(function)


class ToolError(Exception):
    """Raised by a tool to fail with a code that callers can rely on.

    Args:
        code: stable name in snake case, e.g. `file_not_found`.
        message: one sentence for people.
        detail: anything JSON can hold; passed to the caller as it is.
    """

    def __init__(self, code: str, message: str, *, detail: Any = None, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail
        self.hint = hint


class CallCancelled(BaseException):
    """Raised inside a sync tool whose call was cancelled or ran out of time.

    Not an `Exception`, so that a broad `except` in a tool does not swallow it. Async tools see
    `asyncio.CancelledError`.
    """


class ContextPort(Protocol):
    """Where a context sends what a tool says; the worker implements it."""

    def progress(self, seq: int, fraction: float | None, message: str) -> None: ...
    def log(self, seq: int, level: int, message: str) -> None: ...
    def is_cancelled(self, seq: int) -> bool: ...


class ToolContext:
    """One call as its tool sees it. `ToolContext()` without arguments serves in an author's own tests."""

    __slots__ = (
        "_deadline",
        "_last_progress",
        "_log",
        "_port",
        "_scratch",
        "_scratch_path",
        "_seq",
        "agent",
        "call_id",
        "deployment",
        "organization",
        "tool",
        "user",
    )

    def __init__(
        self,
        *,
        call_id: str = "",
        tool: str = "",
        user: str = "",
        organization: str = "",
        deployment: str = "",
        agent: str = "",
        remaining_s: float | None = None,
        seq: int = 0,
        port: ContextPort | None = None,
        scratch_path: str | None = None,
    ) -> None:
        self.call_id = call_id
        self.tool = tool
        self.user = user
        self.organization = organization
        self.deployment = deployment
        self.agent = agent
        self._deadline = None if remaining_s is None else time.monotonic() + remaining_s
        self._seq = seq
        self._port = port
        self._log: logging.Logger | None = None
        self._scratch: Path | None = None
        self._scratch_path = scratch_path
        self._last_progress = 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the deadline, never below 0; None without a deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """True once the caller gave up or the time is over: finish soon."""
        return self._port is not None and self._port.is_cancelled(self._seq)

    def progress(self, fraction: float | None = None, message: str = "") -> None:
        """Tell the caller how far the call is; at most 20 a second are passed on.

        Args:
            fraction: 0.0 to 1.0; None, or what is no finite number, when unknown.
            message: what is being done now.
        """
        now = time.monotonic()
        if self._port is None or (now - self._last_progress < PROGRESS_INTERVAL_S and fraction != 1):
            return
        self._last_progress = now
        # A number that is none (0/0 of an empty job) is unknown progress; JSON cannot carry it.
        known = fraction is not None and math.isfinite(fraction)
        share = min(max(float(fraction), 0.0), 1.0) if known and fraction is not None else None
        self._port.progress(self._seq, share, _transportable(message))

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines appear in the connector's log with the id of this call."""
        if self._log is None:
            self._log = logging.Logger(f"tool.{self.tool}", logging.DEBUG)
            if self._port is not None:
                self._log.addHandler(_PortHandler(self._port, self._seq))
        return self._log

    @property
    def scratch(self) -> Path:
        """A directory for this call alone, made on first use and removed when the call ends."""
        if self._scratch is None:
            if self._scratch_path is None:
                self._scratch = Path(tempfile.mkdtemp(prefix="edge-tool-"))
            else:
                self._scratch = Path(self._scratch_path)
                self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._scratch

    def close(self) -> None:
        """Remove the scratch directory; the worker calls it after the tool."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


class _PortHandler(logging.Handler):
    def __init__(self, port: ContextPort, seq: int) -> None:
        super().__init__()
        self._target = port
        self._seq = seq
        self._second = 0.0
        self._left = LOG_LINES_PER_SECOND
        self._suppressed = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._second >= 1:
            if self._suppressed:
                self._target.log(self._seq, logging.WARNING, f"{self._suppressed} lines suppressed")
            self._second, self._left, self._suppressed = now, LOG_LINES_PER_SECOND, 0
        if self._left <= 0:
            self._suppressed += 1
            return
        self._left -= 1
        self._target.log(self._seq, record.levelno, _transportable(self.format(record)))


def _transportable(text: str) -> str:
    """Text that fits a frame: bounded, and without the lone surrogates that UTF-8 cannot hold."""
    return str(text)[:TEXT_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
