"""The tools that ship as examples, served from where they are."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_connector.core.resources import resource_path
from edge_connector.tools.calls import OutcomeKind
from tests.support.waiting import eventually
from tests.unit.tools.harness import Bench

TOOLS = {
    "listFiles",
    "readTextFile",
    "listProcesses",
    "querySqlite",
    "fetchUrl",
    "summarizeCsv",
    "gitLog",
    "getSystemSummary",
    "runLongJob",
}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, implementations=resource_path("samples"))
    await bench.executor.start()
    try:
        yield bench
    finally:
        await bench.executor.stop()


async def test_all_are_served_with_schemas(bench: Bench) -> None:
    assert bench.executor.problems == ()
    local = {tool.name: tool for tool in bench.executor.tools if tool.source == "local"}
    assert set(local) == TOOLS
    assert all(tool.description and bytes(tool.result) != b"{}" for tool in local.values())


async def test_files(bench: Bench) -> None:
    names = [entry["path"] for entry in await bench.value("listFiles", pattern="*.csv")]
    assert names == ["orders.csv"]
    text = await bench.value("readTextFile", path="welcome.txt", max_bytes=9)
    assert text["text"] == "This text" and text["truncated"]
    for path, code in (
        ("../tools/files.py", "path_outside"),
        ("/etc/passwd", "path_outside"),
        ("none", "not_found"),
        (".", "not_a_file"),
        ("a\0b", "path_invalid"),
    ):
        assert (await bench.call("readTextFile", path=path)).code == code, path
    assert (await bench.call("listFiles", path="welcome.txt")).code == "not_a_folder"


async def test_processes_and_system(bench: Bench) -> None:
    processes = await bench.value("listProcesses", limit=1000)
    assert os.getpid() in {process["pid"] for process in processes}
    assert processes[0]["memory"] >= processes[-1]["memory"]
    summary = await bench.value("getSystemSummary")
    assert summary["cpus"] == os.cpu_count() and summary["sentence"].endswith("% full.")


async def test_sqlite_reads_and_cannot_write(bench: Bench) -> None:
    result = await bench.value(
        "querySqlite", sql="SELECT name FROM product WHERE stock > ? ORDER BY id", parameters=[100]
    )
    assert result == {"columns": ["name"], "rows": [["Sensor T100"], ["Cable 5 m"]], "truncated": False}
    assert (await bench.value("querySqlite", sql="SELECT * FROM movement", max_rows=2))["truncated"]
    outcome = await bench.call("querySqlite", sql="DELETE FROM product")
    assert (outcome.kind, outcome.code) == (OutcomeKind.FAILED, "query_failed") and "readonly" in outcome.message


async def test_csv(bench: Bench) -> None:
    summary = await bench.value("summarizeCsv")
    columns = {column["name"]: column for column in summary["columns"]}
    assert summary["rows"] == 10 and columns["country"]["distinct"] == 6
    assert columns["total"]["filled"] == 9 and columns["total"]["total"] == pytest.approx(2649.6)
    assert columns["items"]["mean"] == pytest.approx(4.6)


async def test_fetch(bench: Bench) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = b"x" * 50
        status = b"404 Not Found" if b"/missing" in request else b"200 OK"
        writer.write(
            b"HTTP/1.0 " + status + b"\r\nContent-Type: text/plain; charset=nope\r\nContent-Length: 50\r\n\r\n" + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        page = await bench.value("fetchUrl", url=base, max_bytes=10)
        assert (page["status"], page["text"], page["truncated"]) == (200, "x" * 10, True)
        assert (await bench.value("fetchUrl", url=f"{base}/missing"))["status"] == 404
    assert (await bench.call("fetchUrl", url=base)).code == "fetch_failed"
    assert (await bench.call("fetchUrl", url="file:///etc/passwd")).code == "scheme_unsupported"


async def test_git(bench: Bench, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=A B", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "First, with | bars"], check=True)
    (commit,) = await bench.value("gitLog", repository=str(repository))
    assert (commit["author"], commit["subject"]) == ("A B", "First, with | bars")
    assert (await bench.call("gitLog", repository=str(tmp_path / "none"))).code == "git_failed"


async def test_long_job_reports_and_can_be_cancelled(bench: Bench) -> None:
    assert (await bench.value("runLongJob", steps=3, step_s=0.06))["steps"] == 3
    assert [fraction for _, fraction, _ in bench.sink.progressed][-1] == 1.0
    call = bench.submit("runLongJob", steps=1000, step_s=0.05)
    await eventually(lambda: [item for item in bench.sink.progressed if item[0] == call], what="progress")
    bench.executor.cancel(call, "enough")
    assert (await bench.outcome(call)).kind is OutcomeKind.CANCELLED
