"""Whether what is measured is the product with everything on: ledger, history, validation, worker; else it ends."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from typing import Any

from benchmarks.edge import CLI, Edge
from benchmarks.harness import post, raw_request, wait_for

SETTLE_S = 60.0
"""For the last rows to be written and confirmed."""


def check_before(edge: Edge) -> None:
    """Arguments are validated, and tools run in a process of their own.

    Raises:
        SystemExit: they are not.
    """
    refused = _call(edge, "repeatMessage", {"message": 5})
    if refused.get("outcome") != "refused" or refused.get("error", {}).get("code") != "invalid_arguments":
        raise SystemExit(f"arguments are not validated: {refused}")
    pid = _call(edge, "tellProcess", {}).get("result")
    if pid not in [process.pid for process in edge.connector.family()[1:]]:
        raise SystemExit(f"the tool does not run in a worker of the connector: {pid}")


def check_after(edge: Edge, calls: int) -> dict[str, Any]:
    """Every measured call has its row on both sides, and the connector's chain of them is whole.

    Raises:
        SystemExit: rows are missing, or the chain is broken.
    """
    ledger, history = edge.home / "calls.sqlite3", edge.home.parent / "platform" / "platform.db"
    wait_for(lambda: _number(ledger, "SELECT head_seq FROM chain") >= calls, f"{calls} calls in the ledger", SETTLE_S)
    open_calls = "SELECT count(*) FROM calls WHERE is_open OR outcome = ''"
    wait_for(lambda: _number(ledger, open_calls) == 0, "all outcomes confirmed", SETTLE_S)
    succeeded = "SELECT count(*) FROM calls WHERE outcome = 'succeeded'"
    wait_for(lambda: _number(history, succeeded) >= calls, f"{calls} calls in the platform's history", SETTLE_S)
    command = [*CLI, "calls", "verify", "--json", "--dir", str(edge.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the ledger's chain is not whole: {done.stdout}{done.stderr}")
    return {"calls": calls, "ledgerEvents": _number(ledger, "SELECT head_seq FROM chain"), "chain": "intact"}


def _number(file: os.PathLike[str], sql: str) -> int:
    connection = sqlite3.connect(f"file:{os.fspath(file)}?mode=ro", uri=True, timeout=30)
    try:
        return int(connection.execute(sql).fetchone()[0])
    finally:
        connection.close()


def _call(edge: Edge, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"tool": tool, "arguments": arguments})
    answer = raw_request(
        edge.api_port, post(edge.api_port, "/api/v1/calls", body, f"Authorization: Bearer {edge.token}")
    )
    found: dict[str, Any] = json.loads(answer)
    return found
