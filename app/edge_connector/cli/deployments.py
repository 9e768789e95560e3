"""`deployment create`: a new deployment on the platform and the exact line that runs its connector elsewhere."""

from __future__ import annotations

import shlex
from typing import Any

import click

from edge_connector.cli.options import directory_option, json_option, load_config, print_json, run_async, say
from edge_connector.config.loading import LoadedConfig


@click.group()
def deployment() -> None:
    """Create deployments on the platform."""


@deployment.command()
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
@click.option("--type", "kind", type=click.Choice(["DESKTOP", "SERVER"]), default="SERVER", show_default=True)
@click.option(
    "--save", is_flag=True, help="Save the credentials in the installation directory instead of printing them."
)
@directory_option
@json_option
def create(name: str, description: str, kind: str, save: bool, directory: str | None, as_json: bool) -> int:
    """Create deployment NAME and print the line that runs its connector on another machine.

    The secret is shown this once.
    """
    loaded = load_config(directory)
    made = run_async(_create(loaded, name, description, kind))
    settings = loaded.settings
    line = " ".join(
        f"{variable}={shlex.quote(value)}"
        for variable, value in (
            ("TOOL_RPC_URL", settings.tool_rpc_url),
            ("PLATFORM_API_URL", settings.platform_api_url),
            ("DEPLOYMENT_ID", made["id"]),
            ("DEPLOYMENT_SECRET", made["secret"]),
        )
    )
    made["run"] = f"{line} edge-connector run"
    if save:
        from edge_connector.auth.credentials import save_deployment

        saved = save_deployment(loaded, deployment_id=made["id"], deployment_secret=made["secret"], to_file=True)
        made = {"id": made["id"], "name": made["name"], "savedTo": saved, "run": "edge-connector run"}
    if as_json:
        print_json(made)
    elif save:
        say(f"Created deployment {made['name']} ({made['id']}). Its credentials are in {made['savedTo']}.")
        say(f"Run it here:\n\n  {made['run']}\n")
    else:
        say(f"Created deployment {made['name']} ({made['id']}). The secret is shown this once.")
        say(f"Run its connector on any machine:\n\n  {made['run']}\n")
        if "localhost" in settings.tool_rpc_url or "127.0.0.1" in settings.tool_rpc_url:
            say("On another machine, replace the two addresses by those it reaches this platform under.")
    return 0


async def _create(loaded: LoadedConfig, name: str, description: str, kind: str) -> dict[str, Any]:
    from edge_connector.cli.platform_access import platform_client
    from edge_connector.platform_api.models import DeploymentRequest
    from edge_connector.platform_api.operations import CREATE_DEPLOYMENT

    request = DeploymentRequest(name=name, description=description, type="DESKTOP" if kind == "DESKTOP" else "SERVER")
    async with platform_client(loaded) as client:
        made = await client.call(CREATE_DEPLOYMENT, request)
    return {"id": made.id, "name": made.name, "secret": made.secret}
