"""The real runtime in this process, against whatever platform a test has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge_connector.config.loading import load
from edge_connector.core.status import State
from edge_connector.runtime.app import ConnectorRuntime
from tests.support.secrets import WATCH
from tests.support.waiting import eventually

WORKING = (State.WORKING, State.WORKING_WITH_PROBLEMS)


def environment(rpc_url: str, deployment: str, secret: str, **more: str) -> dict[str, str]:
    """Variables of a connector that health checks may use any port of."""
    pair = {"DEPLOYMENT_ID": deployment, "DEPLOYMENT_SECRET": secret}
    return {"TOOL_RPC_URL": rpc_url, "HEALTH_PORT": "0", **pair, **more}


@asynccontextmanager
async def running_connector(
    home: Path, variables: dict[str, str], *, tools: str = "", until_working: bool = True, **options: Any
) -> AsyncIterator[ConnectorRuntime]:
    """A connector with the tools of this source text, stopped in order at the end; `options` as of the runtime."""
    folder = home / "custom-implementations" / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    if tools:
        (folder / "given.py").write_text(tools)
    WATCH.learn_variables(variables)
    runtime = ConnectorRuntime(load(home, variables), **options)
    running = asyncio.create_task(runtime.run(), name="connector under test")
    try:
        await eventually(lambda: running.done() or runtime.started.is_set(), what="the connector to start")
        if running.done():
            await running
        if until_working:
            await eventually(lambda: runtime.board.state in WORKING, what="the connector to work")
        yield runtime
    finally:
        WATCH.search_processes(os.getpid())
        WATCH.search(msgspec.json.encode(runtime.board.snapshot()), "the status document")
        runtime.stop(hard=True)
        await running
