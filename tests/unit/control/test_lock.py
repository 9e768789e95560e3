"""The runtime lock: one holder, crashes mend themselves, a deleted file is noticed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_connector.control.lock import RuntimeLock, read_lock
from edge_connector.core.errors import LockHeld, UserError
from tests.support.waiting import eventually_sync

HOLDER = """
import sys, time
from pathlib import Path
from edge_connector.control.lock import RuntimeLock
lock = RuntimeLock(Path(sys.argv[1]))
lock.acquire(lambda: {"pid": __import__("os").getpid()})
print("held", flush=True)
sys.stdin.read()
"""


def content() -> dict[str, int]:
    return {"pid": os.getpid()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge-runtime.lock"


def start_holder(path: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def test_content_is_readable_and_the_file_goes_with_the_release(path: Path) -> None:
    lock = RuntimeLock(path)
    lock.acquire(content)
    assert read_lock(path) == {"pid": os.getpid()}
    lock.write({"pid": os.getpid(), "healthPort": 1})
    assert read_lock(path) == {"pid": os.getpid(), "healthPort": 1}
    lock.release()
    lock.release()
    assert not path.exists()


def test_second_holder_is_refused_with_the_documented_message(path: Path) -> None:
    holder = start_holder(path)
    try:
        with pytest.raises(LockHeld) as refusal:
            RuntimeLock(path).acquire(content)
        assert refusal.value.message == f"Edge runtime already running (pid {holder.pid})"
        assert refusal.value.exit_code == 5
        assert "edge-connector stop" in refusal.value.hint
    finally:
        end(holder)


def test_lock_of_a_killed_holder_is_free_although_its_file_stays(path: Path) -> None:
    holder = start_holder(path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert path.exists()
    lock = RuntimeLock(path)
    lock.acquire(content)
    assert read_lock(path) == {"pid": os.getpid()}
    lock.release()


def test_leftover_with_rubbish_inside_is_taken_over(path: Path) -> None:
    path.write_bytes(b"\xff not json" * 500)
    lock = RuntimeLock(path)
    lock.acquire(content)
    assert json.loads(path.read_bytes()) == {"pid": os.getpid()}
    lock.release()


def test_deleted_file_is_written_again_and_holds_again(path: Path) -> None:
    lock = RuntimeLock(path)
    lock.acquire(content)
    assert not lock.restore()
    path.unlink()
    assert lock.restore()
    assert read_lock(path) == {"pid": os.getpid()}
    with pytest.raises(LockHeld):
        RuntimeLock(path).acquire(content)
    lock.release()
    assert not path.exists()


def test_release_leaves_the_file_of_another_holder_alone(path: Path) -> None:
    lock = RuntimeLock(path)
    lock.acquire(content)
    path.unlink()
    holder = start_holder(path)
    try:
        lock.release()
        assert eventually_sync(lambda: read_lock(path), what="the other holder's file") == {"pid": holder.pid}
    finally:
        end(holder)


def test_directory_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as error:
        RuntimeLock(tmp_path / "file" / "edge-runtime.lock").acquire(content)
    assert error.value.code == "not_a_directory"
