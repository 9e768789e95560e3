"""Errors as instructions: each class answers "what now?", each instance says what is wrong and what to do next.

Anything that is not an `EdgeError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EdgeError(Exception):
    """Base of every error that a person or a peer may see.

    Attributes:
        code: stable machine name in snake case.
        message: one sentence that names the field or thing and its problem.
        hint: the next step, a sentence or a command; empty when there is none.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code  # type: ignore[misc]

    def __str__(self) -> str:
        return self.message

    def to_document(self) -> dict[str, Any]:
        """The error as the one JSON document that `--json` and HTTP answers carry."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class UserError(EdgeError):
    """Show it: the person's input or set-up has to change. Exit code 1."""


class UsageError(UserError):
    """Show it: the words of the command are wrong. Exit code 2."""

    exit_code = 2


class NeedsLogin(EdgeError):
    """Authenticate again. Exit code 3."""

    exit_code = 3


class NotConnected(EdgeError):
    """Reconnect: the peer cannot be reached now. Exit code 4."""

    exit_code = 4


class RetryLater(NotConnected):
    """Wait `after_s` seconds, then try again."""

    def __init__(self, code: str, message: str, *, after_s: float, hint: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.after_s = after_s


class LockHeld(EdgeError):
    """Another process owns this installation directory. Exit code 5."""

    exit_code = 5


class Fatal(EdgeError):
    """Refused for good: trying again cannot help until somebody acts. Exit code 6."""

    exit_code = 6
