"""The log is read back as it was written, over its rotations, without a gap."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from edge_connector.core import log as logs
from edge_connector.core.log_reading import Entry, LogFile, entries

log = logging.getLogger("edge_connector.test")


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


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log that is rotated after some 20 entries."""
    monkeypatch.setattr(logs, "FILE_BYTES", 1500)
    path = tmp_path / "a.log"
    logs.configure("debug", file=path, stderr=False)
    return path


def messages(found: list[Entry]) -> list[str]:
    return [entry.message for entry in found]


def test_an_entry_comes_back_as_it_was_written(file: Path) -> None:
    log.warning("something happened count=%d", 3)
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("it failed")
    reader = LogFile(file)
    first, second = reader.last(None, level="debug", since="")
    assert (first.level, first.part, first.message) == ("warning", "test", "something happened count=3")
    assert second.message == "it failed" and second.more[0].startswith("  Traceback") and "why" in second.more[-1]
    assert f"{first}\n{second}\n" == file.read_text()
    reader.close()


def test_a_message_of_somebody_else_cannot_look_like_a_line_of_ours(file: Path) -> None:
    log.info("reason=%s", "x\n2026-01-01T00:00:00.000Z ERROR   forged all is lost\x1b[2J\u2028")
    text = file.read_text()
    assert text.count("\n") == 1 and "\x1b" not in text and "\u2028" not in text
    assert "x\\n2026" in text and "\\x1b[2J" in text
    reader = LogFile(file)
    assert [entry.part for entry in reader.last(None, level="debug", since="")] == ["test"]
    reader.close()


def test_the_last_entries_are_found_over_the_rotated_parts(file: Path) -> None:
    for number in range(60):
        log.info("entry number=%03d", number)
    assert Path(f"{file}.1").exists()
    reader = LogFile(file)
    assert messages(reader.last(40, level="debug", since="")) == [f"entry number={n:03d}" for n in range(20, 60)]
    assert len(reader.last(None, level="debug", since="")) == 60
    assert reader.last(0, level="debug", since="") == []
    reader.close()


def test_the_log_stays_within_its_bound(file: Path) -> None:
    for number in range(2000):
        log.info("entry number=%d", number)
    parts = sorted(path.name for path in file.parent.iterdir())
    assert parts == ["a.log", *(f"a.log.{number}" for number in range(1, logs.FILE_COUNT + 1))]
    assert all(path.stat().st_size <= 1500 for path in file.parent.iterdir())


def test_level_and_moment_are_chosen(file: Path) -> None:
    log.info("one")
    log.error("two")
    reader = LogFile(file)
    assert messages(reader.last(None, level="warning", since="")) == ["two"]
    assert reader.last(None, level="debug", since="9999") == []
    reader.close()


@pytest.mark.parametrize("look_every", [1, 7, 33, 60])
def test_following_over_rotations_loses_and_repeats_nothing(file: Path, look_every: int) -> None:
    log.info("before")
    reader = LogFile(file)
    seen = messages(reader.last(1, level="debug", since=""))
    for number in range(180):
        log.info("entry number=%03d", number)
        if number % look_every == 0:
            seen += messages(reader.new_entries())
    for _ in range(2):
        seen += messages(reader.new_entries())
    assert seen == ["before", *(f"entry number={n:03d}" for n in range(180))]
    reader.close()


def test_following_waits_for_the_file_and_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    reader = LogFile(path)
    assert reader.last(10, level="debug", since="") == [] and reader.new_entries() == []
    line = "2026-01-01T00:00:00.000Z INFO    x word=ä\n".encode()
    with path.open("wb", buffering=0) as file:
        file.write(line[:-2])
        assert reader.new_entries() == [] and reader.new_entries() == []
        file.write(line[-2:])
        assert reader.new_entries() == [], "it may still get more lines"
        (entry,) = reader.new_entries()
        assert entry.message == "word=ä"
        file.truncate(0)
        file.seek(0)
        file.write(line.replace(b"word", b"new"))
        assert messages([entry for _ in range(3) for entry in reader.new_entries()]) == ["new=ä"]
    reader.close()


def test_lines_before_the_first_entry_and_foreign_ones_belong_to_no_entry() -> None:
    lines = ["rest of a traceback", "2026-01-01T00:00:00.000Z INFO    x one", "  more", "2026 INFO x no"]
    (entry,) = entries(lines)
    assert entry.message == "one" and entry.more == ["  more", "2026 INFO x no"]


def test_a_full_disk_is_said_once(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (handler,) = [found for found in logging.getLogger().handlers if isinstance(found, RotatingFileHandler)]
    log.info("fits")

    class Full:
        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

        def flush(self) -> None: ...

        def seek(self, *_: int) -> None: ...

        def tell(self) -> int:
            return 0

    stream = handler.stream
    monkeypatch.setattr(handler, "stream", Full())
    log.info("one")
    log.info("two")
    monkeypatch.setattr(handler, "stream", stream)
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1 and "No space left" in said and "Traceback" not in said
    log.info("fits again")
    assert "fits again" in file.read_text()
