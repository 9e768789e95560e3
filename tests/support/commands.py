"""Command lines of the program, run to their end with a clean environment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.secrets import WATCH

COMMAND = [sys.executable, "-m", "edge_connector.cli.main"]
TRACEBACK = "Traceback (most recent call last)"


def clean_environment(**variables: str | Path | int | float) -> dict[str, str]:
    """What a process of the program gets: nothing of the caller's set-up but paths, plus `variables`."""
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
        "COLUMNS": "200",
        "HEALTH_PORT": "0",
        "BROWSER": "true",
        # What the interpreter finds wrong with our own code belongs into the log.
        "PYTHONWARNINGS": "default::ResourceWarning,default::RuntimeWarning",
    }
    environment.update((name, str(value)) for name, value in variables.items())
    return environment


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error of that document."""
        found: dict[str, str] = self.document["error"]
        return found


async def run_command(
    *words: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    deadline_s: float = 30.0,
) -> Finished:
    """Run one command line of the program to its end; it must not print a traceback.

    Args:
        directory: the installation directory, as `EC_HOME`; the process itself runs in `/`.
    """
    variables = dict(clean_environment() if environment is None else environment)
    WATCH.learn_variables(variables)
    if directory is not None:
        variables["EC_HOME"] = str(directory)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, words),
        env=variables,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise AssertionError(f"{words} did not end within {deadline_s} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
    assert process.returncode is not None
    finished = Finished(process.returncode, out.decode(), err.decode())
    assert TRACEBACK not in finished.out + finished.err, f"{words}:\n{finished.err}"
    command = tuple(map(str, words))
    for name, text in (("standard output", finished.out), ("standard error", finished.err)):
        WATCH.search(text, f"{name} of {' '.join(command[:2])}", words=command)
    return finished
