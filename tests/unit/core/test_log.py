"""Logging: one line an event, and no secret ever in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_connector.core import log as logs
from edge_connector.core.errors import UserError


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("websockets", "aiohttp", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.NOTSET)


def test_line_has_time_level_and_room(tmp_path: Path) -> None:
    logs.configure("info", file=tmp_path / "logs" / "a.log", stderr=False)
    logging.getLogger("edge_connector.link.supervisor").info("link is down cause=%s", "x")
    line = (tmp_path / "logs" / "a.log").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    link\.supervisor link is down cause=x\n", line)


def test_level_is_obeyed_and_libraries_stay_quiet(tmp_path: Path) -> None:
    logs.configure("debug", file=tmp_path / "a.log", stderr=False)
    logging.getLogger("edge_connector.x").debug("ours")
    logging.getLogger("websockets.client").info("theirs")
    assert "ours" in (tmp_path / "a.log").read_text()
    assert "theirs" not in (tmp_path / "a.log").read_text()


def test_secrets_are_struck_out_of_messages_and_tracebacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", file=tmp_path / "a.log")
    logs.hide("sec_verysecret123")
    logs.hide(None)
    logs.hide("ab")
    try:
        raise ValueError("bad sec_verysecret123")
    except ValueError:
        logging.getLogger("edge_connector.x").exception("failed with %s ab", "sec_verysecret123")
    text = (tmp_path / "a.log").read_text()
    assert "verysecret" not in text + capsys.readouterr().err
    assert text.count("[redacted]") == 3, "the message, the source line and the exception of the traceback"
    assert "ab" in text


def test_configuring_twice_does_not_write_twice(tmp_path: Path) -> None:
    logs.configure("info", file=tmp_path / "a.log", stderr=False)
    logs.configure("info", file=tmp_path / "a.log", stderr=False)
    logging.getLogger("edge_connector.x").info("once")
    assert (tmp_path / "a.log").read_text().count("once") == 1


def test_unusable_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError):
        logs.configure("info", file=tmp_path / "file" / "a.log", stderr=False)


def test_neither_a_message_nor_an_exception_forges_a_line_or_moves_the_cursor(tmp_path: Path) -> None:
    logs.configure("info", file=tmp_path / "a.log", stderr=False)
    forged = "\n2026-01-31T12:00:00.000Z INFO    runtime.board state -> working\x1b[2J\u202e"
    logger = logging.getLogger("edge_connector.x")
    logger.info("said=%s", forged)
    try:
        raise ValueError(forged)
    except ValueError:
        logger.exception("it failed error=%s", forged)
    text = (tmp_path / "a.log").read_text()
    assert len(re.findall(r"^\d{4}-", text, re.MULTILINE)) == 2
    assert "\x1b" not in text and "\u202e" not in text
    assert "\n  Traceback (most recent call last):\n" in text
