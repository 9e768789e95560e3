"""Printed lines of workers, bounded."""

from __future__ import annotations

import os

import pytest

from edge_connector.tools.output import LINE_BYTES, LINES_PER_SECOND, OutputReader


def read_all(data: bytes) -> OutputReader:
    receiver, sender = os.pipe()
    with os.fdopen(receiver, "rb", buffering=0) as pipe:
        reader = OutputReader(pipe, worker="1.1", pid=5, stream="stdout")
        assert reader.read(), "an empty pipe is not its end"
        os.write(sender, data)
        os.close(sender)
        while reader.read():
            pass
        reader.close()
    return reader


def test_lines_bytes_and_a_last_line_without_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    read_all(b"one\n\n  \ntwo \xff\nthree")
    assert [message.split(" worker=")[0] for message in caplog.messages] == [
        "one",
        "two \N{REPLACEMENT CHARACTER}",
        "three",
    ]


def test_floods_are_counted_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reader = read_all(b"x\n" * 1000)
    assert reader.dropped == 1000 - LINES_PER_SECOND
    assert f"lines={reader.dropped}" in caplog.messages[-1]


def test_an_endless_line_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    read_all(b"x" * (LINE_BYTES + 10_000))
    assert len(caplog.messages[0]) < LINE_BYTES + 100
