"""The command line as a person and a script use it, against real processes."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edge_connector import __version__
from tests.e2e.access import Access, result_of
from tests.support.commands import COMMAND, run_command
from tests.support.connector_process import ConnectorProcess
from tests.support.waiting import eventually

COMMANDS = ("demo", "run", "stop", "status", "call", "tools", "config", "deployment", "platform")
HEAVY = ("aiohttp", "websockets", "starlette", "uvicorn", "msgspec", "psutil", "rich", "jsonschema_rs", "cryptography")


async def test_version() -> None:
    ended = await run_command("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"edge-connector {__version__}\n", "")


@pytest.mark.parametrize("words", ["--version", "--help", "run --help"])
def test_help_and_version_import_nothing_heavy(words: str) -> None:
    code = (
        "import sys; sys.argv[1:] = " + repr(words.split()) + "\n"
        "from edge_connector.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('MODULES', *sorted(sys.modules))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    modules = set(ended.stdout.rpartition("MODULES ")[2].split())
    assert not modules & set(HEAVY)
    assert "asyncio" not in modules or words == "run --help"
    if words == "--version":
        assert "click" not in modules


async def test_help_names_every_command_and_the_exit_codes() -> None:
    ended = await run_command("--help")
    assert ended.code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command}\s", ended.out, re.MULTILINE), command
    for code in ("0", "1", "2", "3", "4", "5", "6", "130"):
        assert re.search(rf"^\s+{code}\s", ended.out, re.MULTILINE), code
    assert (await run_command()).out == ended.out
    for command in COMMANDS:
        page = await run_command(command, "--help")
        assert page.code == 0 and f"edge-connector {command}" in page.out


async def test_call_and_tools_list_through_the_platform_and_locally(
    access: Access, home: Path, tool_folder: Path
) -> None:
    more = {"CUSTOM_IMPLEMENTATIONS_PATH": tool_folder, "EC_API_TOKEN": access.served.server_token}
    async with access.connector(home, **more) as fixed:
        command, there = fixed.process.command, ("--deployment", fixed.deployment.id)
        called = await command("call", "twice", "--args", '{"text": "ab"}', *there)
        assert (called.code, json.loads(called.out)) == (0, "abab")
        (home / "arguments.json").write_text('{"text": "é"}')
        called = await command("call", "twice", "--args", f"@{home / 'arguments.json'}", "--local", "--json")
        assert called.code == 0
        assert (called.document["outcome"], called.document["result"]) == ("succeeded", "éé")
        called = await command("call", "twice", "--args", '{"text": "ab"}', "--json", *there)
        assert (called.document["outcome"], called.document["result"]) == ("succeeded", "abab")
        assert called.document["durationMs"] >= 0

        fixed.process.expects_traceback = True
        for place in (there, ("--local",)):
            failed = await command("call", "refuses", *place)
            assert failed.code == 1 and failed.out == ""
            assert "error: failed: The drawer is locked." in failed.err
            assert "fix: Bring the key." in failed.err and '{"drawer": 3}' in failed.err
            failed = await command("call", "refuses", "--json", *place)
            assert failed.code == 1
            assert failed.error["code"] == "drawer_locked"
            assert failed.document["error"]["detail"] == {"drawer": 3}
            late = await command("call", "hold", "--args", f'{{"path": "{home}/never"}}', "--timeout", "0.3", *place)
            assert late.code == 1 and "timed out" in late.err

        for place in (there, ("--local",)):
            listed = await command("tools", "list", "--json", *place)
            tools = {tool["name"]: tool for tool in listed.document["tools"]}
            assert listed.document["schemaVersion"] == 1
            assert tools["twice"]["risk"] == "read" and tools["twice"]["source"] == "local"
            assert tools["twice"]["parameters"]["required"] == ["text"]
            assert tools["echo"]["source"] == "builtin"
            shown = await command("tools", "list", *place)
            assert shown.code == 0 and "twice" in shown.out and "Say it twice." in shown.out


async def test_call_without_a_connector_says_connector_unavailable(access: Access, home: Path) -> None:
    deployment = await access.deploy("nobody")
    environment = access.environment(EC_API_TOKEN=access.served.server_token)
    words = ("call", "echo", "--deployment", deployment.id)
    shown = await run_command(*words, environment=environment, directory=home)
    assert shown.code == 4 and "error: connector unavailable: " in shown.err
    as_json = await run_command(*words, "--json", environment=environment, directory=home)
    assert (as_json.code, as_json.error["code"]) == (4, "connector_unavailable")


async def test_status_text_json_and_exit_codes(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        shown = await fixed.process.command("status")
        assert shown.code == 0 and shown.out.startswith("Working · ")
        for words in (f"pid {fixed.process.pid}", access.served.rpc_url, fixed.deployment.name, str(home), "/statusz"):
            assert words in shown.out
        as_json = await fixed.process.command("status", "--json")
        assert as_json.code == 0
        document = as_json.document
        assert (document["schemaVersion"], document["state"]) == (1, "working")
        assert document["process"]["pid"] == fixed.process.pid
        # From the directory itself, which holds a config.json, no option is needed.
        assert (await fixed.process.command("config", "set", "instanceName", "here")).code == 0
        found = await asyncio.create_subprocess_exec(
            *COMMAND, "status", "--json",
            env={name: value for name, value in fixed.process.environment.items() if name != "EC_HOME"},
            cwd=home, stdout=subprocess.PIPE,
        )  # fmt: skip
        out, _ = await found.communicate()
        assert found.returncode == 0 and json.loads(out)["process"]["pid"] == fixed.process.pid


async def test_status_watch_prints_each_change_and_ends_with_the_connector(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "status", "--watch", env=fixed.process.environment, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        first = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert "Working" in first
        assert await fixed.process.stop() == 0
        rest, complaint = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 4 and b"The connector went away." in complaint
        assert b"Traceback" not in rest + complaint


async def test_stop_refuses_with_running_calls_unless_forced(
    access: Access, home: Path, tool_folder: Path, tmp_path: Path
) -> None:
    async with access.connector(home, CUSTOM_IMPLEMENTATIONS_PATH=tool_folder) as fixed:
        connector, gate = fixed.process, tmp_path / "gate"
        call_id = await fixed.begin_hold(gate)
        refused = await connector.command("stop", "--json")
        assert (refused.code, refused.error["code"]) == (1, "calls_running")
        assert "1 call is running" in refused.error["message"] and "--force" in refused.error["hint"]
        assert (await connector.status())["state"] == "working"
        stopping = asyncio.ensure_future(connector.command("stop", "--force", "--json"))
        await connector.until_state("stopped")
        gate.touch()
        stopped = await stopping
        assert stopped.code == 0
        assert (stopped.document["stopped"], stopped.document["pid"]) == (True, connector.pid)
        assert result_of(await access.ended(call_id)) == "held"
        # `stop` returns when the next `run` can start.
        assert not connector.lock_file.exists()
        assert await connector.wait() == 0


async def test_stop_of_an_idle_connector(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        stopped = await fixed.process.command("stop")
        assert (stopped.code, stopped.out) == (0, f"Stopped (pid {fixed.process.pid}).\n")
        assert not fixed.process.lock_file.exists()
        assert await fixed.process.wait() == 0


async def test_config_set_while_running_goes_through_the_runtime(access: Access, home: Path) -> None:
    async with access.connector(home) as fixed:
        command, file = fixed.process.command, home / "config.json"
        done = await command("config", "set", "toolConcurrency", "3")
        assert done.code == 0 and "toolConcurrency" in done.out
        assert json.loads(file.read_text()) == {"toolConcurrency": 3}
        wrong = await command("config", "set", "toolConcurrency", "0", "--json")
        assert (wrong.code, wrong.error["code"]) == (1, "setting_out_of_range")
        assert json.loads(file.read_text()) == {"toolConcurrency": 3}
        rows = {row["key"]: row for row in (await command("config", "show", "--json")).document["settings"]}
        assert (rows["toolConcurrency"]["value"], rows["toolConcurrency"]["origin"]) == ("3", "config.json")
        assert rows["deploymentSecret"]["value"] == "set"
        assert rows["deploymentSecret"]["origin"] == "environment DEPLOYMENT_SECRET"
        assert rows["toolQueue"]["origin"] == "default"
        shown = await command("config", "show")
        assert fixed.deployment.secret not in shown.out
        assert (await command("config", "unset", "toolConcurrency")).code == 0
        assert json.loads(file.read_text()) == {}
        assert (await command("config", "validate")).code == 0
        assert fixed.process.lock["pid"] == fixed.process.pid


async def test_environment_wins_over_the_file_and_a_flag_over_both(access: Access, home: Path) -> None:
    home.mkdir()
    (home / "config.json").write_text('{"toolConcurrency": 2, "toolQueue": 2, "instanceName": "from the file"}')
    deployment = await access.deploy("precedence")
    environment = access.environment(deployment, EC_TOOL_CONCURRENCY="3")
    connector = ConnectorProcess(home, environment, options=("--tool-concurrency", "4"))
    try:
        status = await connector.until_state("working")
        assert status["calls"]["slots"] == 4
        found = await access.deployment(deployment.id)
        assert found.connectors[0].host == "from the file"
        assert await connector.stop() == 0
    finally:
        await connector.close()


async def test_deployment_create_prints_a_run_line_that_works(access: Access, tmp_path: Path) -> None:
    environment = access.environment(EC_API_TOKEN=access.served.server_token)
    shown = await run_command("deployment", "create", "Line 7", environment=environment, directory=tmp_path / "admin")
    assert shown.code == 0 and "shown this once" in shown.out
    line = next(line.strip() for line in shown.out.splitlines() if line.rstrip().endswith("edge-connector run"))
    words = shlex.split(line)
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    assert words[-2:] == ["edge-connector", "run"]
    assert set(variables) == {"TOOL_RPC_URL", "PLATFORM_API_URL", "DEPLOYMENT_ID", "DEPLOYMENT_SECRET"}
    # The line itself, in a shell, on a machine that knows nothing else.
    bare = {name: environment[name] for name in ("PATH", "LANG", "XDG_RUNTIME_DIR", "HEALTH_PORT")}
    bare["PATH"] = f"{Path(sys.executable).parent}:{bare['PATH']}"
    bare["EC_HOME"] = str(tmp_path / "elsewhere")
    with (tmp_path / "out.log").open("wb") as log:
        process = await asyncio.create_subprocess_shell(f"exec env {line}", env=bare, cwd="/", stdout=log, stderr=log)
    try:

        async def online() -> bool:
            assert process.returncode is None, (tmp_path / "out.log").read_text()
            return "echo" in await access.tool_names(variables["DEPLOYMENT_ID"])

        await eventually(online, what="the deployment to be online")
        echoed = result_of(await access.call("echo", {"message": "hi"}, deployment="Line 7"))
        assert echoed["message"] == "hi"
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_deployment_create_saves_the_pair_for_this_machine(access: Access, home: Path) -> None:
    environment = access.environment(EC_API_TOKEN=access.served.server_token)
    made = await run_command(
        "deployment", "create", "Saved", "--save", "--json", environment=environment, directory=home
    )
    assert made.code == 0 and "secret" not in made.document
    saved = Path(made.document["savedTo"])
    assert saved.stat().st_mode & 0o077 == 0
    connector = ConnectorProcess(home, access.environment())
    try:
        status = await connector.until_state("working")
        assert status["authorised"]["deploymentId"] == made.document["id"]
        assert await connector.stop() == 0
    finally:
        await connector.close()
