"""Finds and ends process trees: children, detached grandchildren, and orphans that carry a worker's mark.

Standard library only, because workers use it too. On Linux it reads /proc; elsewhere it asks `ps`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable

MARK_VARIABLE = "EC_TOOL_WORKER"
"""Environment variable with a value of its own in each worker; descendants inherit it and are found by it."""
_MAX_ROUNDS = 50
_PROC = "/proc"


def parents() -> dict[int, int]:
    """Process id -> parent process id of all processes but zombies."""
    if sys.platform != "linux":
        return _parents_from_ps()
    found: dict[int, int] = {}
    for entry in os.listdir(_PROC):
        if entry.isdigit() and (parent := _parent_of_living(int(entry))) is not None:
            found[int(entry)] = parent
    return found


def _parent_of_living(pid: int) -> int | None:
    """Process id of the parent; None for a zombie and for what is no process any more."""
    try:
        with open(f"{_PROC}/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The name in parentheses may hold anything, also parentheses and blanks.
    fields = stat[stat.rindex(b")") + 2 :].split(b" ", 2)
    return None if fields[0] in (b"Z", b"X") else int(fields[1])


def _parents_from_ps() -> dict[int, int]:
    if sys.platform == "win32":
        return {}
    output = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=False).stdout
    rows = (line.split() for line in output.splitlines())
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 3 and not row[2].startswith("Z")}


def descendants(root: int, table: dict[int, int] | None = None) -> set[int]:
    """All living processes below `root`, without `root`."""
    children: dict[int, list[int]] = {}
    for pid, parent in (parents() if table is None else table).items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    pending = [root]
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in found:
                found.add(child)
                pending.append(child)
    found.discard(root)
    return found


def count_below(roots: Iterable[int]) -> dict[int, int]:
    """How many processes live below each of `roots`, about: processes that start meanwhile may be missed.

    Where Linux lists the children of each thread, only those trees are read, otherwise all processes. To end a tree,
    `descendants` is right.
    """
    own = os.getpid()
    if sys.platform == "linux" and os.path.exists(f"{_PROC}/{own}/task/{own}/children"):
        return {root: _count_listed(root) for root in roots}
    table = parents()
    return {root: len(descendants(root, table)) for root in roots}


def _count_listed(root: int) -> int:
    found: set[int] = set()
    pending = [root]
    while pending:
        for child in _listed_children(pending.pop()):
            if child not in found and _parent_of_living(child) is not None:
                found.add(child)
                pending.append(child)
    return len(found)


def _listed_children(pid: int) -> list[int]:
    """From /proc/PID/task/TID/children (proc(5), needs CONFIG_PROC_CHILDREN); zombies are among them."""
    children: list[int] = []
    try:
        threads = os.listdir(f"{_PROC}/{pid}/task")
    except OSError:  # it ended meanwhile
        return children
    for thread in threads:
        try:
            with open(f"{_PROC}/{pid}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
        except OSError:  # the thread ended
            continue
    return children


def marked(mark: str) -> set[int]:
    """All living processes that inherited the mark (Linux; elsewhere none are found)."""
    if sys.platform != "linux" or not mark:
        return set()
    needle = f"{MARK_VARIABLE}={mark}".encode()
    found = set()
    for pid in parents():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = file.read()
        except OSError:  # ended, or another user's
            continue
        if needle in environment.split(b"\0"):
            found.add(pid)
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Signal each process that still exists."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def kill_tree(root: int, mark: str = "") -> int:
    """End `root` and everything below it or with its mark; blocks for some milliseconds.

    All are stopped first, round by round, until no new ones turn up: a tree that keeps forking cannot outrun that.

    Returns:
        How many processes besides `root` were ended.
    """
    send((root,), signal.SIGSTOP)
    stopped: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        fresh = (descendants(root) | marked(mark)) - stopped - {root, os.getpid()}
        if not fresh:
            break
        send(fresh, signal.SIGSTOP)
        stopped |= fresh
    send(stopped, signal.SIGKILL)
    send((root,), signal.SIGKILL)
    reap(stopped)
    return len(stopped)


def kill_marked(mark: str) -> int:
    """End what a dead worker left behind; returns how many."""
    ended: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        fresh = marked(mark) - ended - {os.getpid()}
        if not fresh:
            break
        send(fresh, signal.SIGKILL)
        ended |= fresh
    reap(ended)
    return len(ended)


def kill_descendants() -> set[int]:
    """End everything below the calling process and reap it; for a worker between calls and at its end."""
    ended: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        fresh = descendants(os.getpid())
        if not fresh:
            break
        send(fresh, signal.SIGKILL)
        ended |= fresh
        reap(fresh)
    return ended


def reap(pids: Iterable[int]) -> None:
    """Collect those that are children of this process (as process 1 of a container it inherits every orphan)."""
    if sys.platform == "win32":
        return
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def has_children() -> bool:
    """Whether the calling process has children, dead or alive; one cheap system call (True where there is none)."""
    if not hasattr(os, "waitid"):
        return sys.platform != "win32"
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def end_leftovers() -> int:
    """End and reap every process below the caller; returns how many still ran."""
    if not has_children():
        return 0
    ended = kill_descendants()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return len(ended)
