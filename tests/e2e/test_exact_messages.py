"""The documented messages, word for word, each provoked and found where the documentation sends people to look.

`Bundle sync error` is missing here: it belongs to bundles and is provoked where they are tested.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from edge_connector.core.errors import NotConnected
from tests.e2e.access import Access
from tests.support.commands import run_command
from tests.support.connector_process import running_connector

MESSAGES = {
    "ECONNREFUSED": "connector log: platform server not reachable",
    "Token validation failed": "log and command line: token rejected",
    "Token has expired": "log and command line: expiry",
    "No authentication token found": "log and command line: no token file or value",
    "Disconnected from platform server": "log: each loss of the WebSocket",
    "Deployment already connected": "log: the server refused a second connection of the same deployment",
    "Edge runtime already running (pid ": "start refused by the lock",
    "connector unavailable": "error on the platform's side while the connector is disconnected",
}


async def test_every_documented_message_is_provoked(access: Access, tmp_path: Path) -> None:
    seen: dict[str, str] = {}

    def note(message: str, text: str) -> None:
        assert message in text, text
        seen[message] = text

    deployment = await access.deploy("messages")
    environment = access.environment(deployment)

    nowhere = {**environment, "TOOL_RPC_URL": "ws://127.0.0.1:9"}
    async with running_connector(tmp_path / "nowhere", nowhere) as connector:
        await connector.until_log("ECONNREFUSED")
        # The log is also a file in the installation directory.
        note("ECONNREFUSED", (tmp_path / "nowhere" / "logs" / "edge-connector.log").read_text())

    refused = await run_command(
        "run", environment={**environment, "DEPLOYMENT_SECRET": "x" * 20}, directory=tmp_path / "refused"
    )
    note("Token validation failed", refused.err)
    note("Token validation failed", (tmp_path / "refused" / "logs" / "edge-connector.log").read_text())

    (tmp_path / "expired").mkdir()
    claims = base64.urlsafe_b64encode(b'{"orgId":"org_1","exp":1000000000}').rstrip(b"=").decode()
    header = base64.urlsafe_b64encode(b'{"alg":"EdDSA"}').rstrip(b"=").decode()
    (tmp_path / "expired" / "auth-token.json").write_text(json.dumps({"token": f"{header}.{claims}.AAAA"}))
    for words in (("run",), ("call", "echo"), ("tools", "list")):
        expired = await run_command(*words, environment=access.environment(), directory=tmp_path / "expired")
        assert expired.code == 3
        note("Token has expired", expired.err)

    for words in (("run",), ("call", "echo"), ("tools", "list")):
        nothing = await run_command(*words, environment=access.environment(), directory=tmp_path / "nothing")
        assert nothing.code == 3
        note("No authentication token found", nothing.err)

    async with running_connector(tmp_path / "one", environment) as one:
        await one.until_state("working")
        again = await one.command("run")
        note("Edge runtime already running (pid ", again.err)
        assert f"Edge runtime already running (pid {one.pid})" in again.err

        async with running_connector(tmp_path / "two", environment) as two:
            await two.until_problem("deployment_already_connected")
            note("Deployment already connected", two.log)

        await one.request("redial")
        await one.until_log("Disconnected from platform server")
        note("Disconnected from platform server", one.log)
        await one.until_state("working")
        assert await one.stop() == 0

    with pytest.raises(NotConnected) as unavailable:
        await access.call("echo", {"message": "x"}, deployment=deployment.id)
    note("connector unavailable", unavailable.value.message)
    assert seen.keys() == MESSAGES.keys()
