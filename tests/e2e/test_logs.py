"""`edge-connector logs` as a process: what it shows, following, and its quiet end."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.e2e.access import Access
from tests.support.commands import clean_environment, run_command
from tests.support.processes import ProgramProcess


async def test_without_a_log_it_says_so(home: Path) -> None:
    shown = await run_command("logs", "--json", directory=home)
    assert (shown.code, shown.error["code"]) == (1, "no_log")
    assert "run" in shown.error["hint"]
    wrong = await run_command("logs", "--since", "yesterday", "--json", directory=home)
    assert (wrong.code, wrong.error["code"]) == (2, "wrong_since")


async def test_a_connectors_log_is_shown_and_followed(access: Access, home: Path, tmp_path: Path) -> None:
    home.mkdir()
    variables = {**clean_environment(), "EC_HOME": str(home)}
    follower = ProgramProcess(["logs", "--follow", "--json"], variables, tmp_path / "followed", cwd=tmp_path)
    try:
        # It waits for a log that is not there yet.
        await follower.until_log("waiting for")
        async with access.connector(home) as fixed:
            shown = await fixed.process.command("logs", "--json", "--lines", "500")
            document = shown.document
            assert shown.code == 0 and document["schemaVersion"] == 1
            states = [entry for entry in document["entries"] if entry["message"].startswith("state ")]
            assert states and states[-1]["message"].startswith("state connecting -> working (")
            assert states[-1]["part"] == "runtime.board" and states[-1]["level"] == "info"
            assert fixed.deployment.secret not in shown.out
            plain = await fixed.process.command("logs", "--since", "1h", "--level", "info", "-n", "2")
            assert len(plain.out.splitlines()) == 2
            await follower.until_log("connecting -> working")
        await follower.until_log('"message": "stopped"')
        assert await follower.stop(signal.SIGINT) == 130
    finally:
        follower.destroy()
    lines = follower.log.splitlines()
    assert lines[0].startswith("There is no log yet")
    # Ctrl+C ends the line that the terminal shows `^C` in, and says nothing else.
    assert lines.pop() == ""
    entries = [json.loads(line) for line in lines[1:]]
    assert len({json.dumps(entry) for entry in entries}) == len(entries)


async def test_a_second_connector_writes_nothing_into_the_first_ones_log(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        refused = await fixed.process.command("run")
        assert refused.code == 5 and "Edge runtime already running" in refused.err
        log = (home / "logs" / "edge-connector.log").read_text()
        assert log.count(f"pid={fixed.process.pid}") == 1 and "already running" not in log
