"""Tools with bad manners, called over HTTP: whatever they do, the caller gets one outcome with the right code."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from tests.e2e.access import Access, Fixed, result_of
from tests.support.waiting import eventually

TABLE: tuple[tuple[str, str, str, str], ...] = (
    # tool, outcome, code, words of the message
    ("raises", "failed", "tool_raised", "RuntimeError: the drawer is stuck"),
    ("refuses", "failed", "drawer_locked", "The drawer is locked."),
    ("returns_object", "failed", "result_not_json", "returned something that JSON cannot hold"),
    ("returns_too_much", "failed", "result_too_large", "more than the limit"),
    ("exits", "failed", "tool_exited", "exit status 3"),
    ("kills_itself", "interrupted", "worker_died", "SIGKILL"),
    ("eats_memory", "failed", "memory_limit", "more memory"),
)


async def test_each_way_to_fail_has_its_code_and_leaves_the_connector_serving(
    access: Access, home: Path, tool_folder: Path
) -> None:
    more = {"EC_TOOL_MEMORY_MB": 256, "EC_TOOL_MAX_RESULT_KB": 256, "CUSTOM_IMPLEMENTATIONS_PATH": tool_folder}
    async with access.connector(home, **more) as fixed:
        fixed.process.expects_traceback = True
        for tool, outcome, code, words in TABLE:
            call = await fixed.call(tool)
            assert call.error is not None, tool
            assert (tool, call.outcome, call.error.code) == (tool, outcome, code)
            assert words in call.error.message, call.error.message
            assert result_of(await fixed.call("twice", {"text": "ab"})) == "abab", f"after {tool}"
        refused = await fixed.call("twice", {"text": 3})
        assert refused.error is not None
        assert (refused.outcome, refused.error.code) == ("refused", "invalid_arguments")
        assert "text" in refused.error.message
        await _assert_one_outcome_each(fixed)
        status = await fixed.process.until_state("working")
        assert status["calls"]["outcomes"]["failed"] == 6
        assert status["calls"]["outcomes"]["interrupted"] == 1
        assert "the drawer is stuck" in fixed.process.log
        assert await fixed.process.stop() == 0


async def test_what_a_tool_prints_goes_to_the_log_and_harms_nothing(
    access: Access, home: Path, tool_folder: Path
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        assert result_of(await fixed.call("chatters")) == "said"
        for words in ("hello from print", "hello from stderr", "hello from a child"):
            await fixed.process.until_log(words)
        # A flood is cut, and counted where it was cut.
        assert fixed.process.log.count('{"type":"result"') <= 100
        assert await fixed.process.stop() == 0
        assert "tool output suppressed lines=" in fixed.process.log


async def test_a_call_over_http_counts_once(access: Access, home: Path, tool_folder: Path) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        for _ in range(5):
            assert result_of(await fixed.call("twice", {"text": "ab"})) == "abab"
        await _assert_one_outcome_each(fixed)


@pytest.mark.parametrize("tool", ["hold", "hold_async"])
async def test_a_worker_killed_in_the_middle_of_a_call(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path, tool: str
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        call_id = await fixed.begin_hold(tmp_path / "gate", tool=tool)
        worker = int((tmp_path / "gate.started").read_text())
        assert worker in [each["pid"] for each in (await fixed.process.status())["workers"]]
        os.kill(worker, signal.SIGKILL)
        ended = await access.ended(call_id)
        assert ended.outcome == "interrupted" and ended.error is not None
        assert ended.error.code == "worker_died" and "SIGKILL" in ended.error.message
        assert result_of(await fixed.call("twice", {"text": "ab"})) == "abab"
        gate = tmp_path / "second"
        again = await fixed.begin_hold(gate, tool=tool)
        gate.touch()
        assert result_of(await access.ended(again)) == "held"
        workers = [each["pid"] for each in (await fixed.process.status())["workers"]]
        assert workers and worker not in workers
        await _assert_one_outcome_each(fixed)


async def test_a_tool_that_never_returns_is_ended_at_the_deadline(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        started = time.monotonic()
        call = await fixed.call("never_returns", {"path": str(tmp_path / "gate")}, timeout_ms=700)
        assert 0.6 < time.monotonic() - started < 6.0
        assert call.outcome == "timed_out"
        worker = int((tmp_path / "gate.started").read_text())
        await eventually(lambda: not _lives(worker), what="the stuck worker to be gone")
        assert result_of(await fixed.call("twice", {"text": "ab"})) == "abab"
        await _assert_one_outcome_each(fixed)


async def test_a_daemon_that_a_tool_detached_dies_with_the_call(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        call = await fixed.call("forks_away", {"path": str(tmp_path / "gate")}, timeout_ms=1_500)
        assert call.outcome == "timed_out"
        daemon = int((tmp_path / "gate.daemon").read_text())
        await eventually(lambda: not _lives(daemon), what="the daemon to be dead")
        await _assert_one_outcome_each(fixed)


async def test_a_daemon_that_a_tool_left_behind_ends_with_the_connector(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        assert result_of(await fixed.call("leaves_daemon", {"path": str(tmp_path / "gate")})) == "left one"
        daemon = int((tmp_path / "gate.daemon").read_text())
        assert await fixed.process.stop() == 0
        await eventually(lambda: not _lives(daemon), what="the daemon to be dead")


@pytest.mark.parametrize("tool", ["hold", "hold_async", "patient", "never_returns"])
async def test_a_slow_call_is_cancelled_over_http(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path, tool: str
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        call_id = await fixed.begin_hold(tmp_path / "gate", tool=tool)
        started = time.monotonic()
        await access.cancel(call_id)
        ended = await access.ended(call_id)
        assert time.monotonic() - started < 8.0
        # A tool that looks at `cancelled` and ends in good order has a result all the same; either way it is one.
        assert ended.outcome == "cancelled" or (tool == "patient" and ended.outcome == "succeeded")
        assert result_of(await fixed.call("twice", {"text": "ab"})) == "abab"
        await _assert_one_outcome_each(fixed)


async def test_tools_see_no_secrets_in_their_environment(access: Access, home: Path, tool_folder: Path) -> None:
    more = {"CUSTOM_IMPLEMENTATIONS_PATH": tool_folder, "EC_TOOL_ENVIRONMENT": "ALLOWED_ONE", "ALLOWED_ONE": "1"}
    async with access.connector(home, **more, NOT_ALLOWED="1", EC_API_TOKEN="secret-token") as fixed:
        names = result_of(await fixed.call("environment_names"))
        assert "PATH" in names and "ALLOWED_ONE" in names
        assert not {"DEPLOYMENT_SECRET", "DEPLOYMENT_ID", "EC_API_TOKEN", "NOT_ALLOWED"} & set(names)


async def test_a_broken_tool_file_is_a_problem_and_the_others_serve(access: Access, home: Path) -> None:
    folder = home / "custom-implementations"
    folder.mkdir(parents=True)
    (folder / "good.py").write_text(
        'from edge_connector.tools import tool\n\n@tool\ndef fine() -> str:\n    """Fine."""\n    return "fine"\n'
    )
    (folder / "broken.py").write_text("def oops(:\n")
    async with access.connector(home) as fixed:
        fixed.process.expects_traceback = True
        status = await fixed.process.until_state("working_with_problems")
        assert "broken.py" in status["problems"][0]["sentence"]
        assert (await fixed.process.health("/healthz"))[0] == 200
        assert result_of(await fixed.call("fine")) == "fine"


async def _assert_one_outcome_each(fixed: Fixed) -> None:
    """Every call of this deployment has ended once, and nothing of it waits anywhere."""

    async def settled() -> bool:
        calls = (await fixed.process.status())["calls"]
        return bool(calls["unsentOutcomes"] == 0 and calls["running"] == 0 and calls["queued"] == 0)

    await eventually(settled, what="no call is open and every outcome has its receipt")
    calls = (await fixed.process.status())["calls"]
    assert sum(calls["outcomes"].values()) == calls["received"]
    query = api.CallQuery(deployment=fixed.deployment.id, limit=100)
    listed = (await fixed.access.client.call(ops.LIST_CALLS, query=query)).calls
    assert listed
    for call in listed:
        assert call.state == "finished" and call.outcome is not None, call
        # The platform does not wait for the end of a stuck worker; its report then only confirms the outcome.
        assert call.late_outcome in (None, call.outcome), call


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
