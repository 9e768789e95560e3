"""One runtime for each installation directory."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.access import Access
from tests.support.connector_process import ConnectorProcess, running_connector
from tests.support.waiting import eventually


async def test_a_second_run_is_refused_and_names_the_holder(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        holder = fixed.process
        refused = await holder.command("run")
        assert refused.code == 5
        assert f"error: Edge runtime already running (pid {holder.pid})" in refused.err
        assert "edge-connector stop" in refused.err
        as_json = await holder.command("run", "--json")
        assert as_json.code == 5
        assert as_json.error["code"] == "runtime_already_running"
        assert as_json.error["message"] == f"Edge runtime already running (pid {holder.pid})"
        assert (await holder.status())["state"] == "working"
        assert holder.lock["pid"] == holder.pid


async def test_a_second_run_is_refused_after_the_lock_file_was_deleted(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        holder = fixed.process
        holder.lock_file.unlink()
        refused = await holder.command("run")
        assert refused.code == 5
        assert f"Edge runtime already running (pid {holder.pid})" in refused.err
        assert (await holder.status())["state"] == "working"
        assert (await holder.command("stop")).code == 0
        assert await holder.wait() == 0


async def test_a_stopped_holder_still_holds_also_without_its_lock_file(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        holder = fixed.process
        holder.send(signal.SIGSTOP)
        words = f"Edge runtime already running (pid {holder.pid})"
        refused = await holder.command("run")
        assert (refused.code, words in refused.err) == (5, True)
        holder.lock_file.unlink()
        refused = await holder.command("run")
        assert (refused.code, words in refused.err) == (5, True)
        # It runs, and is not said not to.
        asked = await holder.command("status")
        assert asked.code == 4 and "runs, but did not answer" in asked.err
        holder.send(signal.SIGCONT)
        assert await holder.stop() == 0


async def test_a_lock_file_of_a_dead_process_is_taken_over(access: Access, home: Path) -> None:
    home.mkdir()
    (home / "edge-runtime.lock").write_text('{"pid": 1, "healthPort": 8080}')
    async with access.connector(home) as fixed:
        assert fixed.process.lock["pid"] == fixed.process.pid


async def test_a_lock_file_that_is_rubbish_is_taken_over(access: Access, home: Path) -> None:
    home.mkdir()
    (home / "edge-runtime.lock").write_bytes(b"\0\xff" * 100_000)
    environment = access.environment(await access.deploy("rubbish"))
    async with running_connector(home, environment) as connector:
        await connector.until_state("working")
        assert connector.lock["pid"] == connector.pid


async def test_of_several_started_at_once_exactly_one_runs(access: Access, home: Path) -> None:
    environment = access.environment(await access.deploy("race"))
    started = [ConnectorProcess(home, environment) for _ in range(4)]
    try:
        await eventually(lambda: sum(each.code is not None for each in started) == 3, what="three to be refused")
        (winner,) = (each for each in started if each.code is None)
        for loser in started:
            assert loser is winner or loser.code == 5
            assert loser is winner or "Edge runtime already running (pid " in loser.log
        await winner.until_state("working")
        assert winner.lock["pid"] == winner.pid
        assert await winner.stop() == 0
    finally:
        for each in started:
            await each.close()
