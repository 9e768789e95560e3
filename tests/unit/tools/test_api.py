"""What an author sees without any worker."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import edge_connector.tools
from edge_connector.tools import CallCancelled, ToolContext, ToolError, tool
from edge_connector.tools.api import DECLARATION, LOG_LINES_PER_SECOND, TEXT_CHARACTERS, ToolDeclaration


def test_the_function_stays_a_function_and_is_taken_for_the_worst() -> None:
    @tool
    def plain(a: int) -> int:
        return a + 1

    assert plain(1) == 2
    assert getattr(plain, DECLARATION) == ToolDeclaration(risk="execute", repeat="once")


def test_unknown_names_of_the_package() -> None:
    with pytest.raises(AttributeError):
        edge_connector.tools.nothing  # noqa: B018


def test_a_bare_context_serves_in_an_authors_tests() -> None:
    context = ToolContext()
    context.progress(0.5, "half")
    context.log.info("nothing listens")
    (context.scratch / "file").write_text("x")
    folder = context.scratch
    context.close()
    assert not folder.exists() and context.remaining_s is None and not context.cancelled


class Port:
    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def progress(self, seq: int, fraction: float | None, message: str) -> None:
        self.said.append((seq, fraction, message))

    def log(self, seq: int, level: int, message: str) -> None:
        self.said.append((seq, level, message))

    def is_cancelled(self, seq: int) -> bool:
        return seq == 2


def test_progress_is_bounded_in_value_and_rate() -> None:
    port = Port()
    context = ToolContext(seq=1, port=port, remaining_s=-5)
    for step in range(1000):
        context.progress(step / 10, "x")
    context.progress(1, "end")
    assert port.said[0] == (1, 0.0, "x") and port.said[-1] == (1, 1.0, "end") and len(port.said) < 100
    assert context.remaining_s == 0 and not context.cancelled and ToolContext(seq=2, port=port).cancelled


def test_log_lines_go_to_the_port() -> None:
    port = Port()
    ToolContext(seq=3, port=port).log.warning("paper %s", "out")
    assert port.said == [(3, logging.WARNING, "paper out")]


def test_what_a_tool_says_is_bounded_and_can_be_encoded() -> None:
    port = Port()
    context = ToolContext(seq=3, port=port)
    for _ in range(5000):
        context.log.info("x" * 10_000)
    assert len(port.said) <= 2 * LOG_LINES_PER_SECOND + 2 and len(port.said[0][2]) == TEXT_CHARACTERS
    context.progress(1, "lone \ud800 surrogate")
    assert port.said[-1] == (3, 1.0, "lone ? surrogate")


def test_a_broad_except_does_not_swallow_a_cancel() -> None:
    assert not issubclass(CallCancelled, Exception)
    error = ToolError("code", "message", detail={"a": 1})
    assert (error.code, str(error), error.detail) == ("code", "message", {"a": 1})
