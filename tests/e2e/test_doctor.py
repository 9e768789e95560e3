"""`edge-connector doctor` as a process: words, exit codes, one document, beside a running connector and without."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.e2e.access import Access
from tests.support.commands import run_command
from tests.support.connector_process import running_connector


async def test_it_tells_what_is_wrong_and_how_to_mend_it(home: Path) -> None:
    shown = await run_command("doctor", directory=home)
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert any(line.startswith("fail    credentials: No authentication token found") for line in lines)
    assert any(line.startswith("        fix: ") and "set DEPLOYMENT_ID and DEPLOYMENT_SECRET" in line for line in lines)
    assert any(line.startswith("skipped authentication: ") for line in lines)
    assert not shown.err and not home.exists()


async def test_beside_a_working_connector_all_is_well(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        before = await fixed.process.status()
        shown = await fixed.process.command("doctor", "--json")
        document = shown.document
        assert (shown.code, document["schemaVersion"]) == (0, 1), shown.out
        assert {check["status"] for check in document["checks"]} <= {"ok", "warn"}, shown.out
        for check in document["checks"]:
            assert check["proof"] and check["id"] and isinstance(check["fix"], str)
        lock = next(check for check in document["checks"] if check["id"] == "lock")
        assert f"pid {fixed.process.pid}" in lock["proof"]
        after = await fixed.process.status()
        assert after["link"]["sessionId"] == before["link"]["sessionId"]


async def test_a_killed_connector_leaves_a_stale_lock_that_fix_removes(access: Access, home: Path) -> None:
    environment = access.environment(await access.deploy("doctor"))
    connector = running_connector(home, environment)
    async with connector as process:
        await process.until_state("working")
        assert await process.stop(signal.SIGKILL) == -signal.SIGKILL
        assert process.lock_file.exists()
        shown = await process.command("doctor", "--only", "lock", "--json")
        assert [check["id"] for check in shown.document["checks"]] == ["directory", "lock"]
        assert shown.document["checks"][1]["status"] == "warn" and str(process.pid) in shown.out
        mended = await process.command("doctor", "--fix", "--only", "lock")
        assert mended.code == 0 and f"mended: removed {process.lock_file}" in mended.out
        assert not process.lock_file.exists()


async def test_a_connector_that_does_not_answer_is_told_and_left_alone(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        fixed.process.send(signal.SIGSTOP)
        shown = await fixed.process.command("doctor", "--json", "--only", "runtime,lock,duplicate")
        found = {check["id"]: check for check in shown.document["checks"]}
        assert shown.code == 1 and found["runtime"]["status"] == "fail", shown.out
        assert "did not answer" in found["runtime"]["proof"]
        assert f"pid {fixed.process.pid}" in found["lock"]["proof"]
        assert found["authentication"]["status"] == "skipped"
        assert "its session is left alone" in found["authentication"]["proof"]
        fixed.process.send(signal.SIGCONT)
        await fixed.process.until_state("working")
        assert (await fixed.process.status())["link"]["reconnects"] == 0


async def test_an_unknown_check_is_named(home: Path) -> None:
    shown = await run_command("doctor", "--only", "lokc", "--json", directory=home)
    assert (shown.code, shown.error["code"]) == (2, "unknown_check")
    assert "lock" in shown.error["hint"] and json.loads(shown.out)
