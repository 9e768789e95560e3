"""Process trees of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
