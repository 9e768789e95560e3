"""Bad input as a person gives it: each has one exit code, one error code and one clear sentence, and no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.access import Access, own_platform
from tests.support.commands import clean_environment, run_command

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
PAIR = {"DEPLOYMENT_ID": "dep_1", "DEPLOYMENT_SECRET": "a-secret-of-no-use"}
NOBODY_LISTENS = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Case:
    """One row: what is prepared, the words typed, and what comes back."""

    name: str
    words: tuple[str, ...]
    exit_code: int
    code: str
    says: tuple[str, ...]
    """Parts of the sentence."""
    hints: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], object] = lambda home: home.mkdir()


def file_with(name: str, text: str) -> Callable[[Path], object]:
    """Prepares an installation directory with this file."""

    def prepare(home: Path) -> None:
        home.mkdir()
        (home / name).write_text(text)

    return prepare


def config(text: str) -> Callable[[Path], object]:
    """Prepares an installation directory with this `config.json`."""
    return file_with("config.json", text)


CASES = (
    Case(
        "broken config.json",
        ("run",),
        1,
        "config_not_json",
        ("config.json", "line 3", "column 3"),
        prepare=config('{\n  "healthPort": 1,\n  oops\n}\n'),
    ),
    Case(
        "config.json with a list", ("run",), 1, "config_not_object", ("a list", "one JSON object"), prepare=config("[]")
    ),
    Case(
        "wrong type",
        ("run",),
        1,
        "setting_wrong_type",
        ("toolConcurrency", "whole number", "config.json"),
        prepare=config('{"toolConcurrency": "many"}'),
    ),
    Case(
        "out of range",
        ("run",),
        1,
        "setting_out_of_range",
        ("HEALTH_PORT", "65535"),
        variables={**PAIR, "HEALTH_PORT": "70000"},
    ),
    Case(
        "wrong flag value",
        ("run", "--tool-concurrency", "0"),
        1,
        "setting_out_of_range",
        ("--tool-concurrency", "from 1 to 256"),
        variables=PAIR,
    ),
    Case(
        "wrong URL scheme",
        ("run",),
        1,
        "url_wrong_scheme",
        ("TOOL_RPC_URL", "ws:// or wss://"),
        variables={**PAIR, "TOOL_RPC_URL": "http://localhost:3001"},
    ),
    Case(
        "half a pair",
        ("run",),
        1,
        "half_credentials",
        ("DEPLOYMENT_SECRET",),
        variables={"DEPLOYMENT_ID": "dep_1"},
    ),
    Case(
        "half a credentials file",
        ("run",),
        1,
        "credentials_incomplete",
        ("deployment-credentials.json", "deploymentSecret"),
        prepare=file_with("deployment-credentials.json", '{"deploymentId": "d"}'),
    ),
    Case(
        "directory that is a file",
        ("run",),
        1,
        "not_a_directory",
        ("is a file where a directory is needed",),
        variables=PAIR,
        prepare=lambda home: home.write_text("I am a file"),
    ),
    Case(
        "CA file that is missing",
        ("tools", "list"),
        1,
        "ca_file_unusable",
        ("/nowhere.pem",),
        variables={"EC_API_TOKEN": "t", "EC_CA_FILE": "/nowhere.pem", "PLATFORM_API_URL": "https://localhost:9"},
    ),
    Case(
        "unreachable host",
        ("call", "echo"),
        4,
        "platform_unreachable",
        (NOBODY_LISTENS, "ECONNREFUSED"),
        ("PLATFORM_API_URL",),
        variables={"EC_API_TOKEN": "token", "PLATFORM_API_URL": NOBODY_LISTENS},
    ),
    Case("call without a token", ("call", "echo"), 3, "no_credentials", ("No authentication token found",)),
    Case("tools list without a token", ("tools", "list"), 3, "no_credentials", ("No authentication token found",)),
    Case(
        "call with a token file that is no JSON",
        ("call", "echo"),
        1,
        "token_file_not_json",
        ("auth-token.json",),
        prepare=file_with("auth-token.json", "token"),
    ),
    Case("call --local with nothing running", ("call", "echo", "--local"), 4, "not_running", ("No connector runs",)),
    Case("--args that is no JSON", ("call", "echo", "--args", "{oops"), 2, "arguments_not_json", ("line 1, column 2",)),
    Case("--args that is no object", ("call", "echo", "--args", "[1]"), 2, "arguments_not_object", ("no object",)),
    Case(
        "--args from a file that is missing",
        ("call", "echo", "--args", "@/nowhere.json"),
        1,
        "file_error",
        ("/nowhere.json",),
    ),
    Case("unknown command", ("rnu",), 2, "unknown_command", ("no command `rnu`",), ("edge-connector run",)),
    Case("unknown option", ("run", "--helth-port", "1"), 2, "usage", ("--helth-port",), ("--help",)),
    Case("missing argument", ("call",), 2, "usage", ("TOOL",), ("call --help",)),
    Case("status with nothing running", ("status",), 4, "not_running", ("No connector runs",), ("edge-connector run",)),
    Case("stop with nothing running", ("stop",), 4, "not_running", ("No connector runs",)),
    Case(
        "config set of an unknown key",
        ("config", "set", "helthPort", "1"),
        1,
        "unknown_setting",
        ("helthPort",),
        ("healthPort",),
    ),
    Case("config set of a wrong value", ("config", "set", "healthPort", "x"), 1, "setting_wrong_type", ("healthPort",)),
    Case(
        "config set into a broken file",
        ("config", "set", "healthPort", "1"),
        1,
        "config_not_json",
        ("line 1",),
        prepare=config("{"),
    ),
    Case("an empty directory name", ("status", "--dir", ""), 1, "wrong_directory", ("--dir",)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input(case: Case, home: Path) -> None:
    case.prepare(home)
    before = sorted(path.name for path in home.iterdir()) if home.is_dir() else []
    environment = clean_environment(**{"TOOL_RPC_URL": "ws://127.0.0.1:9", **case.variables})
    shown = await run_command(*case.words, environment=environment, directory=home)
    assert shown.code == case.exit_code, shown.err
    assert shown.out == ""
    for part in case.says:
        assert part in shown.err
    assert shown.err.splitlines()[-1].startswith(("fix: ", "error: "))
    as_json = await run_command(*case.words, "--json", environment=environment, directory=home)
    assert as_json.code == case.exit_code
    error = as_json.error
    assert error["code"] == case.code, error
    for part in case.says:
        assert part in error["message"], error
    for part in case.hints:
        assert part in error["hint"], error
    assert "\n" not in error["message"] and error["message"] in shown.err
    if home.is_dir() and case.words[0] != "run":
        assert sorted(path.name for path in home.iterdir()) == before, "a refused command leaves nothing"
    assert not (home / "edge-runtime.lock").exists() if home.is_dir() else True


async def test_config_validate_names_the_nearest_setting_and_every_problem(home: Path) -> None:
    config('{"helthPort": 1, "toolConcurrency": 0, "logLevel": "loud"}')(home)
    shown = await run_command("config", "validate", directory=home)
    assert shown.code == 1
    assert "helthPort" in shown.err and "healthPort" in shown.err
    assert "toolConcurrency" in shown.err and "logLevel" in shown.err
    as_json = await run_command("config", "validate", "--json", directory=home)
    assert as_json.code == 1 and not as_json.document["valid"]
    assert {problem["code"] for problem in as_json.document["problems"]} >= {"unknown_setting", "setting_out_of_range"}


async def test_a_taken_health_port_names_its_holder_and_the_variable(home: Path) -> None:
    with _listener() as port:
        environment = clean_environment(**PAIR, HEALTH_PORT=port)
        ended = await run_command("run", "--json", environment=environment, directory=home)
        assert (ended.code, ended.error["code"]) == (1, "health_port_taken")
        assert f"healthPort {port} is taken by" in ended.error["message"]
        assert f"(pid {os.getpid()})" in ended.error["message"]
        assert "HEALTH_PORT" in ended.error["hint"]
        assert not (home / "edge-runtime.lock").exists()


async def test_a_health_host_that_is_not_ours(home: Path) -> None:
    environment = clean_environment(**PAIR, HEALTH_HOST="203.0.113.9")
    ended = await run_command("run", "--json", environment=environment, directory=home)
    assert (ended.code, ended.error["code"]) == (1, "health_host_unusable")
    assert "203.0.113.9" in ended.error["message"]


async def test_platform_serve_on_a_taken_port(tmp_path: Path) -> None:
    with _listener() as port:
        words = ("platform", "serve", "--data", tmp_path / "data", "--rpc-port", "0", "--api-port", str(port))
        ended = await run_command(*words)
        assert ended.code == 1
        assert f"error: Port {port} on 127.0.0.1 is taken" in ended.err and "--api-port" in ended.err


async def test_platform_serve_on_data_that_is_in_use(tmp_path: Path) -> None:
    async with own_platform(tmp_path / "data"):
        words = ("platform", "serve", "--data", tmp_path / "data", "--rpc-port", "0", "--api-port", "0")
        ended = await run_command(*words)
        assert ended.code == 5 and "error: " in ended.err


async def test_an_unknown_tool_names_the_nearest(access: Access, home: Path) -> None:
    async with access.connector(home, EC_API_TOKEN=access.served.server_token) as fixed:
        there = await fixed.process.command("call", "ecko", "--deployment", fixed.deployment.id, "--json")
        assert (there.code, there.error["code"]) == (1, "unknown_tool")
        assert "'ecko'" in there.error["message"] and "echo" in there.error["hint"]
        here = await fixed.process.command("call", "ecko", "--local", "--json")
        assert here.code == 1 and here.error["code"] == "unknown_tool"
        assert "echo" in here.error["hint"]


async def test_wrong_arguments_of_a_tool_name_the_field(access: Access, home: Path) -> None:
    async with access.connector(home, EC_API_TOKEN=access.served.server_token) as fixed:
        for words in (("--local",), ("--deployment", fixed.deployment.id)):
            ended = await fixed.process.command("call", "getDiskUsage", "--args", '{"path": 5}', "--json", *words)
            assert ended.code == 1
            assert ended.document["outcome"] == "refused" and ended.error["code"] == "invalid_arguments"
            assert "path" in ended.error["message"]


async def test_an_unreadable_token_is_not_shown(access: Access, home: Path) -> None:
    environment = access.environment(EC_API_TOKEN="srv_not-a-token-of-this-platform")
    ended = await run_command("tools", "list", "--json", environment=environment, directory=home)
    assert ended.code == 3
    assert "srv_not" not in ended.out + ended.err


@NEEDS_ROOT
async def test_a_read_only_directory(home: Path) -> None:
    config('{"healthPort": 0}')(home)
    with _mounted(home, "ro,size=64k", fill=lambda: (home / "config.json").write_text('{"healthPort": 0}')):
        for words in (("run",), ("config", "set", "healthPort", "1")):
            ended = await run_command(*words, "--json", environment=clean_environment(**PAIR), directory=home)
            assert (ended.code, ended.error["code"]) == (1, "not_writable")
            assert "read-only file system" in ended.error["message"] and str(home) in ended.error["message"]


@NEEDS_ROOT
async def test_a_full_disk(home: Path) -> None:
    home.mkdir()
    old = '{"healthPort": 0}\n'

    def fill() -> None:
        (home / "config.json").write_text(old)
        handle = os.open(home / "ballast", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(handle, b"x" * 4096)
        except OSError:
            pass
        finally:
            os.close(handle)

    with _mounted(home, "size=64k", fill=fill):
        for words in (("run",), ("config", "set", "healthPort", "1")):
            ended = await run_command(*words, "--json", environment=clean_environment(**PAIR), directory=home)
            assert (ended.code, ended.error["code"]) == (1, "disk_full")
            assert "No space left" in ended.error["message"]
        assert (home / "config.json").read_text() == old


async def test_a_damaged_demo_folder(tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    first = await run_command("demo", "--once", "--json", "--dir", demo, deadline_s=60)
    assert first.code == 0
    (demo / "access.json").write_text("{")
    ended = await run_command("demo", "--once", "--json", "--dir", demo)
    assert (ended.code, ended.error["code"]) == (1, "demo_half_there")
    assert "access.json" in ended.error["message"] and "Remove" in ended.error["hint"]
    (demo / "platform" / "platform.db").write_bytes(b"rubbish" * 1000)
    ended = await run_command("demo", "--once", "--json", "--dir", demo)
    assert (ended.code, ended.error["code"]) == (1, "not_a_database")
    assert str(demo / "platform" / "platform.db") in ended.error["message"]


async def test_a_demo_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    ended = await run_command("demo", "--once", "--json", "--dir", tmp_path / "demo")
    assert (ended.code, ended.error["code"]) == (1, "not_a_directory")


def test_every_case_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@contextmanager
def _listener() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@contextmanager
def _mounted(folder: Path, options: str, *, fill: Callable[[], object]) -> Iterator[None]:
    """A tmpfs on `folder` while inside; `fill` runs before it turns read-only."""
    writable = ",".join(option for option in options.split(",") if option != "ro")
    subprocess.run(["mount", "-t", "tmpfs", "-o", writable, "tmpfs", str(folder)], check=True)
    try:
        fill()
        if "ro" in options.split(","):
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
