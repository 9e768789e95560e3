"""The executor with real workers: outcomes, context, reload, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import msgspec
import pytest

from edge_connector.core.errors import UserError
from edge_connector.tools.calls import OutcomeKind
from tests.support.waiting import eventually
from tests.unit.tools.harness import Bench, alive, serving

BASIC = """
@tool
def add(a: int, b: Annotated[int, Meta(ge=0)] = 1) -> int:
    return a + b

@tool
async def whoami(context: ToolContext) -> dict[str, Any]:
    context.progress(0.5, "half")
    context.log.warning("said by the tool")
    (context.scratch / "note").write_text("x")
    return {"user": context.user, "organization": context.organization, "deployment": context.deployment,
            "agent": context.agent, "call": context.call_id, "remaining": context.remaining_s,
            "cancelled": context.cancelled, "scratch": str(context.scratch)}

@tool
def raises() -> None:
    raise ValueError("no such thing")

@tool
async def fails() -> None:
    raise ToolError("out_of_paper", "The printer has no paper.", detail={"tray": 2}, hint="Fill tray 2.")

@tool
def fails_deeply(levels: int) -> None:
    detail = []
    for _ in range(levels):
        detail = [detail]
    raise ToolError("deep", "Deep.", detail=detail)

@tool
def unencodable() -> Any:
    return object()

@tool
async def lies() -> int:
    return "three"

@tool
def large(size: int) -> str:
    return "x" * size

@tool
def leaves() -> None:
    sys.exit(3)

@tool
async def waits(name: str, seconds: float = 30) -> str:
    mark(name)
    await asyncio.sleep(seconds)
    return name

@tool
def sleeps(name: str, seconds: float = 30) -> str:
    mark(name)
    time.sleep(seconds)
    return name
"""


async def test_calls_of_every_kind_of_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, BASIC, max_result_bytes=1000) as bench:
        assert bench.executor.problems == ()
        assert await bench.value("add", a=2) == 3
        assert await bench.value("echo", message={"deep": [1, None]}) == {"message": {"deep": [1, None]}}

        outcome = await bench.call("add", a="two")
        assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "invalid_arguments")
        assert "$.a" in outcome.message
        assert "`b`" in (await bench.call("add", a=1, b=-1)).message.replace("$.b", "`b`")
        assert "unknown field `c`" in (await bench.call("add", a=1, c=1)).message
        broken = await bench.outcome(bench.request("add", arguments=b'{"a": 1}], ["x"'))
        assert (broken.kind, broken.code) == (OutcomeKind.REFUSED, "invalid_arguments")

        outcome = await bench.call("ad")
        assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "unknown_tool")
        assert "add" in outcome.hint

        outcome = await bench.call("raises")
        assert (outcome.kind, outcome.code, outcome.message) == (
            OutcomeKind.FAILED,
            "tool_raised",
            "ValueError: no such thing",
        )
        assert 'raise ValueError("no such thing")' in bench.executor.counters.last_traceback
        assert "Traceback" in caplog.text

        outcome = await bench.call("fails")
        assert (outcome.kind, outcome.code, outcome.hint) == (OutcomeKind.FAILED, "out_of_paper", "Fill tray 2.")
        assert outcome.detail is not None and msgspec.json.decode(outcome.detail) == {"tray": 2}

        assert (await bench.call("unencodable")).code == "result_not_json"
        assert (await bench.call("lies")).code == "result_invalid"
        assert (await bench.call("large", size=2000)).code == "result_too_large"
        assert (await bench.call("leaves")).code == "tool_exited"
        assert bench.executor.counters.outcomes[OutcomeKind.REFUSED] == 5
        assert bench.executor.counters.workers_lost == 0


async def test_a_detail_that_json_cannot_hold_is_told_in_words(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        for levels, words in ((500, '"[[[['), (100_000, '"a list ')):
            outcome = await bench.call("fails_deeply", levels=levels)
            assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "deep")
            assert outcome.detail is not None and bytes(outcome.detail).decode().startswith(words)


async def test_the_context_of_a_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, BASIC) as bench:
        call = bench.request(
            "whoami", user="u", organization="o", deployment="d", agent="a", remaining_s=5.0, call_id="id-1"
        )
        result = msgspec.json.decode((await bench.outcome(call)).result or b"")
        scratch = Path(result.pop("scratch"))
        assert scratch.is_relative_to(tmp_path / "scratch") and not scratch.exists()
        assert 0 < result.pop("remaining") <= 5
        assert result == {
            "user": "u", "organization": "o", "deployment": "d", "agent": "a", "call": "id-1", "cancelled": False
        }  # fmt: skip
        assert bench.sink.progressed == [("id-1", 0.5, "half")]
        assert any("said by the tool" in line and "id-1" in line for line in caplog.messages)


async def test_hundreds_of_calls_get_one_outcome_each(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC, concurrency=16, queue=1000) as bench:
        ids = [
            bench.submit("add", a=number) if number % 2 else bench.submit("echo", message=1) for number in range(600)
        ]
        await eventually(lambda: len(bench.sink.outcomes) >= 600, what="600 outcomes")
        assert sorted(outcome.id for outcome in bench.sink.outcomes) == sorted(ids)
        assert {outcome.kind for outcome in bench.sink.outcomes} == {OutcomeKind.SUCCEEDED}
        assert bench.executor.load() == (0, 0, 16)


async def test_a_repeated_id_of_a_running_call_is_not_run_twice(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        bench.submit("waits", "same", name="w", seconds=0.2)
        bench.submit("echo", "same", message=1)
        assert (await bench.outcome("same")).tool == "waits"


async def test_reload_serves_new_code_while_old_calls_finish(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        revision = bench.executor.changes.value.revision
        old_async = bench.submit("waits", name="w", seconds=1)
        old_sync = bench.submit("sleeps", name="s", seconds=1)
        await bench.running("w")
        await bench.running("s")
        old_pids = {worker.pid for worker in bench.executor.workers()}
        bench.write("sample.py", "from edge_connector.tools import tool\n@tool\ndef fresh() -> int:\n    return 7\n")
        await bench.executor.reload()
        assert await bench.value("fresh") == 7
        assert (await bench.call("add", a=1)).code == "unknown_tool"
        assert bench.executor.changes.value.revision > revision
        assert (await bench.outcome(old_async)).kind is OutcomeKind.SUCCEEDED
        assert (await bench.outcome(old_sync)).kind is OutcomeKind.SUCCEEDED
        await eventually(lambda: not any(map(alive, old_pids)), what="old workers gone")


async def test_waiting_calls_meet_the_reloaded_tools(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC, concurrency=1) as bench:
        running = bench.submit("sleeps", name="s", seconds=1)
        await bench.running("s")
        changed, gone = bench.submit("add", a=1), bench.submit("raises")
        bench.write(
            "sample.py", "from edge_connector.tools import tool\n@tool\nasync def add(a: int) -> int: return -a\n"
        )
        await bench.executor.reload()
        assert (await bench.outcome(gone)).code == "unknown_tool"
        assert bytes((await bench.outcome(changed)).result or b"") == b"-1"
        assert (await bench.outcome(running)).kind is OutcomeKind.SUCCEEDED


async def test_reload_can_change_the_directory(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        other = tmp_path / "other"
        other.mkdir()
        (other / "one.py").write_text("from edge_connector.tools import tool\n@tool\ndef one() -> int: return 1\n")
        await bench.executor.reload(other)
        assert await bench.value("one") == 1


async def test_drain_when_idle_returns_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        await bench.value("add", a=1)
        began = time.monotonic()
        await bench.executor.drain(10)
        assert time.monotonic() - began < 0.5
        outcome = await bench.call("add", a=1)
        assert (outcome.kind, outcome.code) == (OutcomeKind.REFUSED, "draining")


async def test_drain_lets_calls_finish_within_the_grace_time(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC, concurrency=1) as bench:
        first = bench.submit("sleeps", name="s", seconds=0.3)
        waiting = bench.submit("add", a=1)
        await bench.running("s")
        began = time.monotonic()
        await bench.executor.drain(10)
        assert time.monotonic() - began < 5
        assert [bench.sink.of(call).kind for call in (first, waiting)] == [OutcomeKind.SUCCEEDED] * 2  # type: ignore[union-attr]


async def test_drain_beyond_the_grace_time_interrupts(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC, concurrency=2) as bench:
        calls = [bench.submit("sleeps", name="s"), bench.submit("waits", name="w"), bench.submit("add", a=1)]
        await bench.running("s")
        await bench.running("w")
        pids = [worker.pid for worker in bench.executor.workers() if worker.busy]
        await bench.executor.drain(0.2)
        outcomes = [bench.sink.of(call) for call in calls]
        assert [(o.kind, o.code) for o in outcomes if o] == [(OutcomeKind.INTERRUPTED, "connector_stopping")] * 3
        assert not any(map(alive, pids))


async def test_stop_interrupts_what_runs_and_refuses_the_rest(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        call = bench.submit("sleeps", name="s")
        await bench.running("s")
        await bench.executor.stop()
        assert bench.sink.of(call).kind is OutcomeKind.INTERRUPTED  # type: ignore[union-attr]
        assert (await bench.call("add", a=1)).code == "draining"
        await bench.executor.stop()


async def test_stop_is_legal_before_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.executor.stop()


async def test_an_unwritable_scratch_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file")
    with pytest.raises(UserError) as raised:
        await Bench(tmp_path).executor.start()
    assert raised.value.code == "not_a_directory"


async def test_leftover_scratch_is_removed_at_start(tmp_path: Path) -> None:
    leftover = tmp_path / "scratch" / "worker-9.9" / "1"
    leftover.mkdir(parents=True)
    async with serving(tmp_path, BASIC):
        assert not leftover.exists()


async def test_accepted_is_told_for_calls_that_take_time(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        quick = bench.submit("echo", message=1)
        slow = bench.submit("waits", name="w", seconds=0.3)
        await bench.outcome(slow)
        assert bench.sink.accepted_ids == [slow]
        assert bench.sink.of(quick) is not None


async def test_workers_are_described(tmp_path: Path) -> None:
    async with serving(tmp_path, BASIC) as bench:
        await bench.value("add", a=1)
        workers = {worker.kind: worker for worker in bench.executor.workers()}
        assert set(workers) == {"async", "sync"}
        assert workers["sync"].calls_done == 1 and workers["sync"].memory_bytes > 1_000_000


async def test_a_sink_that_raises_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, BASIC) as bench:
        record = bench.sink.finished

        def finished(outcome: object) -> None:
            record(outcome)  # type: ignore[arg-type]
            raise RuntimeError("sink is broken")

        bench.sink.finished = finished  # type: ignore[method-assign]
        with caplog.at_level(logging.CRITICAL):
            for _ in range(3):
                assert (await bench.call("echo", message=1)).kind is OutcomeKind.SUCCEEDED
        await asyncio.sleep(0)
        assert bench.executor.load()[0] == 0
