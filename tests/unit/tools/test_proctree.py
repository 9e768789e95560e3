"""Process trees of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_connector.tools import proctree
from tests.support.waiting import eventually_sync
from tests.unit.tools.harness import alive

FORKER = """
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        open(sys.argv[1] + ".part", "w").write(str(os.getpid()))
        os.rename(sys.argv[1] + ".part", sys.argv[1])
    time.sleep(300)
time.sleep(300)
"""


def start(tmp_path: Path, mark: str) -> tuple[subprocess.Popen[bytes], int]:
    file = tmp_path / "grandchild"
    environment = {**os.environ, proctree.MARK_VARIABLE: mark}
    root = subprocess.Popen([sys.executable, "-c", FORKER, str(file)], env=environment)
    eventually_sync(file.exists, what="the grandchild started")
    return root, int(file.read_text())


def test_kill_tree(tmp_path: Path) -> None:
    root, grandchild = start(tmp_path, "mark-of-kill-tree")
    assert grandchild in proctree.descendants(root.pid) and len(proctree.descendants(root.pid)) == 2
    assert proctree.kill_tree(root.pid) == 2
    assert root.wait(10) == -9
    eventually_sync(lambda: not alive(grandchild), what="grandchild dead")


def test_what_a_dead_process_left_is_found_by_its_mark(tmp_path: Path) -> None:
    root, grandchild = start(tmp_path, "mark-of-orphans")
    root.kill()
    root.wait(10)
    assert alive(grandchild) and grandchild not in proctree.descendants(root.pid)
    assert proctree.kill_marked("another-mark") == 0
    assert proctree.kill_marked("mark-of-orphans") == 2
    eventually_sync(lambda: not alive(grandchild), what="grandchild dead")


def test_signals_to_the_dead_are_no_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    proctree.send([child.pid], 9)
    proctree.reap([child.pid])
    assert proctree.marked("") == set()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_are_counted_without_zombies(tmp_path: Path) -> None:
    root, _ = start(tmp_path, "mark-of-counting")
    dead = subprocess.Popen(["true"])
    try:
        eventually_sync(lambda: not alive(dead.pid), what="a zombie")
        counts = proctree.count_below([root.pid, dead.pid])
        assert counts == {root.pid: 2, dead.pid: 0}
        dead.wait(10)
        assert proctree.count_below([dead.pid]) == {dead.pid: 0}
    finally:
        dead.wait(10)
        proctree.kill_tree(root.pid)
        root.wait(10)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_where_the_kernel_lists_children_only_the_tree_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def process(pid: int, state: str, *children: str) -> None:
        """One thread for each list of children."""
        for number, text in enumerate(children):
            thread = tmp_path / str(pid) / "task" / str(pid + number)
            thread.mkdir(parents=True)
            (thread / "children").write_text(text)
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) {state} 1 2 3")

    process(os.getpid(), "R", "100 ")
    process(100, "S", "200 300 ", "400 ")
    process(200, "S", "500 ")
    process(300, "Z", "")
    process(400, "S", "600 ")  # 600 has ended already
    process(500, "D", "")
    monkeypatch.setattr(proctree, "_PROC", str(tmp_path))
    monkeypatch.setattr(proctree, "parents", lambda: pytest.fail("all processes were read"))
    assert proctree.count_below([100, 200, 999]) == {100: 3, 200: 1, 999: 0}
