"""Runs this program as always, and tells beside it how many asyncio tasks it has, which nothing shows from outside.

It ends when the drill that started it ends without a word: nobody else would stop it.

edge-connector drill-program run --dir DIR     # writes XDG_RUNTIME_DIR/tasks.<pid>
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

INTERVAL_S = 0.1


def tasks_file(folder: Path, pid: int) -> Path:
    """Where the program with this process id tells."""
    return folder / f"tasks.{pid}"


def main(arguments: list[str]) -> int:
    """Run one command line of the program; returns its exit code."""
    from edge_connector.cli.table import run

    file = tasks_file(Path(os.environ["XDG_RUNTIME_DIR"]), os.getpid())
    threading.Thread(target=_tell, args=(file,), name="telling", daemon=True).start()
    try:
        return run(arguments)
    finally:
        file.unlink(missing_ok=True)


def _tell(file: Path) -> None:
    news = file.with_name(f"{file.name}.new")
    drill = os.getppid()
    while os.getppid() == drill:
        try:
            # CPython keeps the tasks of all loops there; the public `all_tasks` wants to know the loop.
            count = sum(not task.done() for task in list(asyncio.tasks._all_tasks))  # type: ignore[attr-defined]
            news.write_text(str(count))
            news.replace(file)
        except (RuntimeError, OSError):
            # A task came while we looked, or the folder is gone already: the next look counts.
            pass
        time.sleep(INTERVAL_S)
    os.kill(os.getpid(), signal.SIGTERM)
