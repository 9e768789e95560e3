"""Git: who changed what, from another program's output."""

from __future__ import annotations

import shutil
import subprocess
from typing import Annotated

from msgspec import Meta, Struct

from edge_connector.tools import ToolContext, ToolError, tool

_FORMAT = "%H%x1f%an%x1f%aI%x1f%s"


class Commit(Struct):
    """One commit; `date` as RFC 3339."""

    id: str
    author: str
    date: str
    subject: str


@tool(risk="read", repeat="read", timeout_s=30)
def gitLog(
    context: ToolContext,
    repository: Annotated[str, Meta(description="Path of a git working copy on this machine")] = ".",
    limit: Annotated[int, Meta(ge=1, le=500)] = 20,
) -> list[Commit]:
    """The latest commits of a git repository on this machine, newest first."""
    git = shutil.which("git")
    if git is None:
        raise ToolError("git_missing", "The program git is not installed here.", hint="Install git.")
    command = [git, "-C", repository, "log", f"--max-count={limit}", f"--format={_FORMAT}", "--no-color"]
    context.log.info("reading the log of %s", repository)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=25, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
        raise ToolError("git_failed", f"git cannot read {repository!r}: {reason}", hint="Name a git working copy.")
    return [Commit(*line.split("\x1f", 3)) for line in done.stdout.splitlines() if line.count("\x1f") >= 3]
