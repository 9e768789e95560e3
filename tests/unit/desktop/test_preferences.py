"""Preferences: remembered, whole or default, never in the way."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from edge_connector.desktop.preferences import FILE, Preferences, PreferenceStore


def test_what_was_saved_is_there_at_the_next_start(tmp_path: Path) -> None:
    store = PreferenceStore(tmp_path)
    assert store.value == Preferences()
    assert store.change(width=1200, page="tools", language="de")
    assert not (tmp_path / FILE).exists()
    store.save()
    assert PreferenceStore(tmp_path).value == Preferences(width=1200, page="tools", language="de")
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    store = PreferenceStore(tmp_path)
    assert not store.change(page="overview")
    store.save()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", Preferences()),
        (b"\xff\xfe", Preferences()),
        (b"[1]", Preferences()),
        (b"[" * 60_000, Preferences()),
        (b'{"width": "wide", "height": true, "page": 7, "unknown": 1}', Preferences()),
        (b'{"height": 700, "page": null}', Preferences(height=700)),
        (json.dumps({"page": "x" * 70_000}).encode(), Preferences()),
    ],
)
def test_a_damaged_file_costs_only_what_is_damaged(tmp_path: Path, content: bytes, expected: Preferences) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert PreferenceStore(tmp_path).value == expected


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PreferenceStore(tmp_path)
    (tmp_path / FILE).mkdir()
    store.change(width=900)
    with caplog.at_level(logging.WARNING):
        store.save()
    assert "preferences not saved" in caplog.text
    assert store.value.width == 900


def test_saves_from_threads_end_with_the_newest(tmp_path: Path) -> None:
    store = PreferenceStore(tmp_path)
    threads = []
    for width in range(800, 820):
        store.change(width=width)
        threads.append(threading.Thread(target=store.save))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert PreferenceStore(tmp_path).value.width == 819
