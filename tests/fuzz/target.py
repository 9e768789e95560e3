"""What a target is, and what several of them share."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_connector.core.errors import EdgeError

NOW = 1_800_000_000.0
SECRET_MARK = "do-not-quote-me"
JSON = (
    b"{}",
    b"[]",
    b"null",
    b"[[[[[[[[1]]]]]]]]",
    b'{"a":{"b":[1,2,{"c":"\\ud83d\\ude00"}]}}',
    b'"\\ud800"',
    b"1e400",
)


@dataclass(frozen=True)
class Target:
    """One thing to feed."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


@cache
def work_folder() -> Path:
    """Where targets write; made anew after it was removed."""
    return Path(tempfile.mkdtemp(prefix="ec-fuzz-"))


def text(data: bytes) -> str:
    """Text as the operating system hands over arbitrary bytes (PEP 383), without NUL, which no variable can hold."""
    return data.replace(b"\0", b"").decode(errors="surrogateescape")


def expect_sentence(error: EdgeError) -> None:
    """A refusal has a code, names its problem in one line, and quotes no secret."""
    assert error.code.replace("_", "").isalnum(), error.code
    assert error.message and "\n" not in error.message, repr(error.message)
    assert SECRET_MARK not in error.message + error.hint


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop that targets run on."""
    return asyncio.new_event_loop()
