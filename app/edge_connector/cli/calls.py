"""`call` and `tools list`: the tools as the platform offers them, or with --local those of the connector here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from edge_connector.cli.options import (
    directory_option,
    json_option,
    load_config,
    print_json,
    print_table,
    run_async,
    say,
)
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.errors import UsageError
from edge_connector.core.files import explain_os_error
from edge_connector.core.printable import json_text

WAIT_MARGIN_S = 15.0
"""How much longer than the call's own limit the HTTP request may take."""


@click.command()
@click.argument("tool_name", metavar="TOOL")
@click.option(
    "--args", "arguments", default="{}", metavar="JSON|@FILE", help="Arguments as a JSON object. [default: {}]"
)
@click.option("--deployment", default="", metavar="ID|NAME", help="Run it there; without it the platform chooses.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.01, 86_400), help="Seconds the call may take.")
@click.option("--local", is_flag=True, help="Ask the connector on this machine, without the platform.")
@directory_option
@json_option
def call(
    tool_name: str,
    arguments: str,
    deployment: str,
    timeout_s: float | None,
    local: bool,
    directory: str | None,
    as_json: bool,
) -> int:
    """Call TOOL and print its result. Exit code 0 when it succeeded, 1 when it did not."""
    given = read_arguments(arguments)
    loaded = load_config(directory)
    if local:
        document = run_async(_call_here(loaded, tool_name, given, timeout_s))
    else:
        document = run_async(_call_there(loaded, tool_name, given, timeout_s, deployment))
    succeeded = document["outcome"] == "succeeded"
    if as_json:
        print_json(document)
    elif succeeded:
        sys.stdout.write(json_text(json.dumps(document["result"], indent=2, ensure_ascii=False)) + "\n")
    else:
        error = document["error"]
        say(f"error: {document['outcome'].replace('_', ' ')}: {error['message']}", err=True)
        if error.get("hint"):
            say(f"fix: {error['hint']}", err=True)
        if "detail" in error:
            say(f"detail: {json_text(json.dumps(error['detail'], ensure_ascii=False))}", err=True)
    return 0 if succeeded else 1


def read_arguments(text: str) -> dict[str, Any]:
    """The JSON object of `--args`, from the text itself or, after an `@`, from a file.

    Raises:
        UsageError: it is no JSON object; line and column are named.
        UserError: the file cannot be read.
    """
    place = "--args"
    if text.startswith("@"):
        path = Path(text[1:])
        place = str(path)
        with explain_os_error(path):
            text = path.read_text(encoding="utf-8", errors="replace")
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise UsageError(
            "arguments_not_json",
            f"{place} is no JSON{where}: {reason}.",
            hint='Give an object, e.g. \'{"path": "."}\'.',
        ) from error
    if not isinstance(value, dict):
        raise UsageError("arguments_not_object", f"{place} is JSON but no object.", hint="Give an object in braces.")
    return value


async def _call_here(loaded: LoadedConfig, tool: str, arguments: dict[str, Any], timeout_s: float | None) -> Any:
    from edge_connector.control.client import ControlClient

    async with ControlClient(loaded.directory) as client:
        return await client.request("call", timeout_s=None, tool=tool, arguments=arguments, timeoutS=timeout_s)


async def _call_there(
    loaded: LoadedConfig, tool: str, arguments: dict[str, Any], timeout_s: float | None, deployment: str
) -> Any:
    from edge_connector.cli.platform_access import platform_client
    from edge_connector.platform_api.models import CallRequest
    from edge_connector.platform_api.operations import CREATE_CALL

    request = CallRequest(
        tool=tool,
        arguments=msgspec.Raw(msgspec.json.encode(arguments)),
        deployment=deployment,
        timeout_ms=int((timeout_s or 0) * 1000),
    )
    async with platform_client(loaded) as client:
        limit = timeout_s + WAIT_MARGIN_S if timeout_s else 86_400
        answer = await client.call(CREATE_CALL, request, timeout_s=limit)
    document = msgspec.json.decode(msgspec.json.encode(answer))
    return {key: value for key, value in document.items() if value is not None}


@click.group()
def tools() -> None:
    """See which tools can be called."""


@tools.command("list")
@click.option("--deployment", default="", metavar="ID|NAME", help="Only the tools of this deployment.")
@click.option("--local", is_flag=True, help="Ask the connector on this machine, without the platform.")
@directory_option
@json_option
def list_tools(deployment: str, local: bool, directory: str | None, as_json: bool) -> int:
    """List tools with their risk and where they run."""
    loaded = load_config(directory)
    found = run_async(_tools_here(loaded) if local else _tools_there(loaded, deployment))
    if as_json:
        print_json({"schemaVersion": 1, "tools": found})
    elif not found:
        say("No connector offers a tool. Start one with `edge-connector run`.")
    else:
        rows = [
            [tool["name"], tool["risk"], tool["repeat"], tool["source"], tool["description"].split("\n")[0]]
            for tool in found
        ]
        print_table(["tool", "risk", "repeat", "source", "what it does"], rows)
    return 0


async def _tools_here(loaded: LoadedConfig) -> list[dict[str, Any]]:
    from edge_connector.control.client import ControlClient

    async with ControlClient(loaded.directory) as client:
        found: list[dict[str, Any]] = await client.request("tools")
        return found


async def _tools_there(loaded: LoadedConfig, deployment: str) -> list[dict[str, Any]]:
    from edge_connector.cli.platform_access import platform_client
    from edge_connector.platform_api.models import ToolQuery
    from edge_connector.platform_api.operations import LIST_TOOLS

    async with platform_client(loaded) as client:
        answer = await client.call(LIST_TOOLS, query=ToolQuery(deployment=deployment))
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(answer.tools))
    return found
