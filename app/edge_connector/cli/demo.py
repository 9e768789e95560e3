"""`edge-connector demo`: a platform, a connector and sample tools in one command, with real calls."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from edge_connector.cli.options import json_option, print_json
from edge_connector.cli.platform import need_platform_extra
from edge_connector.core.errors import EdgeError, UserError
from edge_connector.core.files import write_atomically
from edge_connector.core.printable import lines
from edge_connector.core.resources import resource_path
from edge_connector.core.tasks import TaskOwner

if TYPE_CHECKING:
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_server.app import PlatformServer
    from edge_connector.runtime.app import ConnectorRuntime

Say = Callable[[str], None]

CONNECT_S = 30.0
CALL_TIMEOUT_MS = 30_000
DEFAULT_PORTS = {"api": 3000, "rpc": 3001, "health": 8080}

CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("getSystemSummary", {}, "what machine this is"),
    ("listFiles", {}, "the files beside the sample tools"),
    ("readTextFile", {"path": "welcome.txt"}, "a text file"),
    ("summarizeCsv", {"path": "orders.csv"}, "a CSV file summed up"),
    ("querySqlite", {"sql": "SELECT name, stock FROM product ORDER BY stock LIMIT 3"}, "rows of a database"),
    ("listProcesses", {"limit": 3}, "processes of this machine"),
    ("fetchUrl", {}, "a page over HTTP, here the platform's own"),
    ("runLongJob", {"steps": 3, "step_s": 0.1}, "a job that reports progress"),
]
"""The calls of the demo: tool, arguments, what it shows."""


@dataclass(frozen=True)
class Home:
    """Where the demo keeps its things."""

    directory: Path

    @property
    def platform(self) -> Path:
        """Data of the platform."""
        return self.directory / "platform"

    @property
    def connector(self) -> Path:
        """Installation directory of the connector."""
        return self.directory / "connector"

    @property
    def access(self) -> Path:
        """The server token that the first run made."""
        return self.directory / "access.json"


@click.command()
@click.option("--once", is_flag=True, help="Exit after the calls: 0 when all succeeded, else 1.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Folder of the demo. [default: ./demo-home]")
@json_option
def demo(once: bool, directory: Path | None, as_json: bool) -> int:
    """Start a platform and a connector with sample tools here, call the tools, and serve until Ctrl+C.

    It takes the documented ports when they are free, else others. Nothing leaves this machine.
    """
    need_platform_extra()
    from edge_connector.core import log as logs
    from edge_connector.core.loops import fastest_loop

    home = Home((directory or Path("demo-home")).absolute())
    logs.configure("info", file=home.directory / "demo.log", stderr=False)
    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        return runner.run(_demo(home, once=once, as_json=as_json))


async def _demo(home: Home, *, once: bool, as_json: bool) -> int:
    from edge_connector.runtime.main import stop_signals

    stop = asyncio.Event()
    with stop_signals(lambda name: stop.set()):
        server = await _start_platform(home)
        try:
            return await _with_platform(home, server, stop, once=once, as_json=as_json)
        finally:
            await server.stop()


async def _with_platform(home: Home, server: PlatformServer, stop: asyncio.Event, *, once: bool, as_json: bool) -> int:
    from edge_connector.platform_api.client import PlatformClient

    token = await _sign_in(home, server)

    async def provide() -> str:
        return token

    owner = TaskOwner("demo")
    async with PlatformClient(server.api_url, provide) as client:
        runtime = await _make_runtime(home, server, client)
        running = owner.spawn(runtime.run(), name="connector")
        try:
            succeeded = await _show(home, server, runtime, client, running, stop, as_json=as_json, once=once)
        finally:
            runtime.stop()
            # What ended the connector early is what the person has to hear.
            await running
    return 0 if succeeded else 1


async def _show(
    home: Home,
    server: PlatformServer,
    runtime: ConnectorRuntime,
    client: PlatformClient,
    running: asyncio.Task[None],
    stop: asyncio.Event,
    *,
    as_json: bool,
    once: bool,
) -> bool:
    """Wait for the connector, make the calls, and serve on; whether all calls succeeded."""

    def say(text: str) -> None:
        if not as_json:
            click.echo(lines(text))

    connected = await _wait_connected(runtime, running, stop)
    if running.done():
        return False
    say(f"Platform   {server.api_url}   Tool RPC {server.rpc_url}")
    say(f"Connector  {runtime.board.snapshot().sentence}\n")
    calls = [await _call(client, server, *item, say) for item in CALLS] if connected else []
    tools = [tool.name for tool in runtime.executor.tools]
    if as_json:
        print_json({"schemaVersion": 1, "connected": connected, "tools": tools, "calls": calls})
    if not once and not stop.is_set():
        _say_where_to_look(home, server, runtime, say)
        await stop.wait()
        say("\nStopping.")
    return bool(calls) and all(call["ok"] for call in calls)


async def _start_platform(home: Home) -> PlatformServer:
    from edge_connector.platform_server.app import PlatformConfig, PlatformServer

    config = PlatformConfig(data=home.platform, api_port=_free_port("api"), rpc_port=_free_port("rpc"))
    server = PlatformServer(config)
    try:
        await server.start()
    except UserError as error:
        if error.code != "port_taken":
            raise
        # Somebody else took it between our look and our start.
        server = PlatformServer(PlatformConfig(data=home.platform, api_port=0, rpc_port=0))
        await server.start()
    return server


def _free_port(name: str) -> int:
    """The documented port when it is free, else 0 for any."""
    port = DEFAULT_PORTS[name]
    with socket.socket() as probe:
        # As the servers do: a port in TIME_WAIT after the last demo counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


async def _sign_in(home: Home, server: PlatformServer) -> str:
    """The server token: from the last run, or made with the platform's one-time code.

    Raises:
        UserError: the demo folder is half there.
    """
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_api.models import SetupRequest
    from edge_connector.platform_api.operations import SETUP

    if server.setup_code is None:
        try:
            token: str = json.loads(home.access.read_bytes())["serverToken"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                "demo_half_there",
                f"{home.platform} is set up, but {home.access} with its token is missing or damaged.",
                hint=f"Remove {home.directory} and start the demo again.",
            ) from error
        return token
    async with PlatformClient(server.api_url) as client:
        request = SetupRequest(code=server.setup_code, organization="Demo", name="Demo Admin", email="admin@localhost")
        made = await client.call(SETUP, request)
    document = {"organizationId": made.organization_id, "serverToken": made.server_token}
    write_atomically(home.access, json.dumps(document, indent=2).encode() + b"\n", mode=0o600)
    return made.server_token


async def _make_runtime(home: Home, server: PlatformServer, client: PlatformClient) -> ConnectorRuntime:
    from edge_connector.auth.credentials import find_deployment, save_deployment
    from edge_connector.config.loading import load
    from edge_connector.config.paths import prepare_directory
    from edge_connector.platform_api.models import DeploymentRequest
    from edge_connector.platform_api.operations import CREATE_DEPLOYMENT, LIST_DEPLOYMENTS
    from edge_connector.runtime.app import ConnectorRuntime

    prepare_directory(home.connector)
    _copy_samples(home.connector / "custom-implementations")
    # The environment of whoever tries the demo may point at a real platform: the demo uses its own.
    flags: dict[str, object] = {
        "tool_rpc_url": server.rpc_url,
        "platform_api_url": server.api_url,
        "health_port": str(_free_port("health")),
    }
    loaded = load(home.connector, {}, flags)
    known = find_deployment(loaded)
    existing = {deployment.id for deployment in (await client.call(LIST_DEPLOYMENTS)).deployments}
    if known is None or known.deployment_id not in existing:
        made = await client.call(CREATE_DEPLOYMENT, DeploymentRequest(name="demo", description="Made by the demo"))
        save_deployment(loaded, deployment_id=made.id, deployment_secret=made.secret, to_file=True)
    return ConnectorRuntime(loaded)


def _copy_samples(target: Path) -> None:
    """The sample tools as an author's own folder, to look at and change; what is there already is left alone."""
    source = resource_path("samples")
    if not target.exists():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


async def _wait_connected(runtime: ConnectorRuntime, running: asyncio.Task[None], stop: asyncio.Event) -> bool:
    """Whether the connector is proven to work in time."""
    from edge_connector.core.status import State

    deadline = time.monotonic() + CONNECT_S
    while time.monotonic() < deadline and not running.done() and not stop.is_set():
        if runtime.started.is_set() and runtime.board.state in (State.WORKING, State.WORKING_WITH_PROBLEMS):
            return True
        await asyncio.sleep(0.02)
    return False


async def _call(
    client: PlatformClient, server: PlatformServer, tool: str, arguments: dict[str, Any], what: str, say: Say
) -> dict[str, Any]:
    from edge_connector.platform_api.models import CallRequest
    from edge_connector.platform_api.operations import CREATE_CALL

    if tool == "fetchUrl":
        arguments = {"url": f"{server.api_url}/livez"}
    request = CallRequest(
        tool=tool, arguments=msgspec.Raw(msgspec.json.encode(arguments)), timeout_ms=CALL_TIMEOUT_MS, agent="demo"
    )
    started = time.perf_counter()
    try:
        answer = await client.call(CREATE_CALL, request, timeout_s=60.0)
        error = answer.error.message if answer.error else ""
        result = bytes(answer.result).decode() if isinstance(answer.result, msgspec.Raw) else ""
        ok = answer.outcome == "succeeded"
    except EdgeError as problem:
        ok, error, result = False, problem.message, ""
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    shown = result if len(result) <= 160 else result[:157] + "..."
    say(f"{'ok  ' if ok else 'FAIL'} {tool:<15} {milliseconds:>7.1f} ms  {what}")
    say(f"     {shown or error}")
    entry: dict[str, Any] = {"tool": tool, "ok": ok, "milliseconds": milliseconds}
    if error:
        entry["error"] = error
    return entry


def _say_where_to_look(home: Home, server: PlatformServer, runtime: ConnectorRuntime, say: Say) -> None:
    health, program = runtime.board.snapshot().health, _program()
    say("\nWhere to look:")
    say(f"  platform       {server.api_url}/")
    say(f"  status         curl http://{health.host}:{health.port}/statusz")
    say(f"  connector      {program} status --dir {home.connector}")
    say(f"  sample tools   {home.connector / 'custom-implementations'}")
    say(f"  log            {home.directory / 'demo.log'}")
    say("\nCall a tool from another terminal:")
    token = f'sed -n \'s/.*"serverToken": "\\(.*\\)".*/\\1/p\' {home.access}'
    say(f"  export PLATFORM_API_URL={server.api_url} EC_API_TOKEN=$({token})")
    say(f"  {program} tools list")
    say(f'  {program} call echo --args \'{{"message": "hello"}}\'')
    say("\nServing until Ctrl+C.")


def _program() -> str:
    """This program as a person can type it in another terminal."""
    beside = Path(sys.executable).with_name("edge-connector")
    return "edge-connector" if shutil.which("edge-connector") or not beside.exists() else str(beside)
