"""`edge-connector demo`: the first thing anybody types."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge_connector.cli.demo import CALLS, DEFAULT_PORTS
from tests.support.commands import COMMAND, clean_environment, run_command
from tests.support.processes import ProgramProcess, processes_in
from tests.support.waiting import eventually

TOOLS = {tool for tool, _, _ in CALLS}


async def test_once_prints_one_document_and_a_second_run_in_the_folder_works(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    for _ in range(2):
        ended = await run_command("demo", "--once", "--json", "--dir", tmp_path / "demo", deadline_s=60)
        assert ended.code == 0, ended.err
        document = ended.document
        assert document["connected"] is True
        assert len(document["tools"]) >= 8 and set(document["tools"]) >= TOOLS
        assert len(document["calls"]) == len(CALLS) >= 8
        for call in document["calls"]:
            assert set(call) == {"tool", "ok", "milliseconds"} and call["ok"] is True
            assert 0 < call["milliseconds"] < 30_000
        seen.append([call["tool"] for call in document["calls"]])
        assert processes_in(tmp_path / "demo") == []
        assert not (tmp_path / "demo" / "connector" / "edge-runtime.lock").exists()
    assert seen[0] == seen[1]
    log = (tmp_path / "demo" / "demo.log").read_text()
    # The second run signed in with what the first had made.
    assert log.count("platform set up") == 1 and log.count("deployment made") == 1


async def test_once_prints_what_it_did(tmp_path: Path) -> None:
    ended = await run_command("demo", "--once", "--dir", tmp_path / "demo", deadline_s=60)
    assert ended.code == 0 and ended.err == ""
    assert re.search(r"^Platform +http://127\.0\.0\.1:\d+ +Tool RPC ws://127\.0\.0\.1:\d+$", ended.out, re.MULTILINE)
    assert "Connector  Working · " in ended.out
    for tool in TOOLS:
        assert re.search(rf"^ok +{tool} +[\d.]+ ms", ended.out, re.MULTILINE), tool
    assert "FAIL" not in ended.out


async def test_the_demo_does_not_use_the_settings_of_whoever_tries_it(tmp_path: Path) -> None:
    environment = clean_environment(
        TOOL_RPC_URL="ws://127.0.0.1:9",
        PLATFORM_API_URL="http://127.0.0.1:9",
        DEPLOYMENT_ID="dep_of_work",
        DEPLOYMENT_SECRET="secret-of-work",
        EC_HOME=str(tmp_path / "work"),
    )
    ended = await run_command("demo", "--once", "--json", "--dir", tmp_path / "demo", environment=environment)
    assert ended.code == 0 and ended.document["connected"]
    assert not (tmp_path / "work").exists()


async def test_busy_default_ports_are_left_alone(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for port in DEFAULT_PORTS.values():
            stack.enter_context(_occupied(port))
        ended = await run_command("demo", "--once", "--dir", tmp_path / "demo", deadline_s=60)
        assert ended.code == 0, ended.err
        used = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", ended.out.splitlines()[0])}
        assert len(used) == 2 and not used & set(DEFAULT_PORTS.values())


async def test_serving_until_ctrl_c_with_working_hints(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    demo = ProgramProcess(["demo", "--dir", str(home)], clean_environment(), tmp_path / "out.log", cwd=tmp_path)
    try:
        await demo.until_log("Serving until Ctrl+C.")
        text = demo.log
        status = await run_command("status", "--json", "--dir", home / "connector")
        assert status.code == 0 and status.document["state"] == "working"
        code, out = await _shell(_after("status", text).removeprefix("status").strip(), tmp_path)
        assert code == 0 and json.loads(out)["state"] == "working"
        # What it tells people to type does what it says.
        export = next(line.strip() for line in text.splitlines() if line.strip().startswith("export "))
        program = shlex.join(COMMAND)
        code, out = await _shell(f"{export}\n{program} tools list --json", tmp_path)
        assert code == 0 and {tool["name"] for tool in json.loads(out)["tools"]} >= TOOLS
        hint = next(line.strip() for line in text.splitlines() if "call echo" in line)
        # The path is in the hint where the program is not on the PATH.
        line = hint if hint.startswith("/") else hint.replace("edge-connector", program, 1)
        code, out = await _shell(f"{export}\n{line}", tmp_path)
        assert code == 0 and json.loads(out)["message"] == "hello"
        assert (home / "access.json").stat().st_mode & 0o077 == 0
        assert await demo.stop(signal.SIGINT) == 0
        assert "Stopping." in demo.log
        await eventually(lambda: not processes_in(home), what="no worker to be left")
    finally:
        await demo.close()


async def test_ctrl_c_while_it_calls_ends_it_in_order(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    demo = ProgramProcess(["demo", "--dir", str(home)], clean_environment(), tmp_path / "out.log", cwd=tmp_path)
    try:
        await demo.until_log("Platform   http")
        assert await demo.stop(signal.SIGINT) in (0, 1)
        await eventually(lambda: not processes_in(home), what="no worker to be left")
        assert not (home / "connector" / "edge-runtime.lock").exists()
    finally:
        await demo.close()


def _after(word: str, text: str) -> str:
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(word))


async def _shell(script: str, cwd: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, cwd=cwd, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode() or err.decode()


@contextmanager
def _occupied(port: int) -> Iterator[None]:
    """The port is taken while inside, by us or by whoever has it already."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            pass
        yield
