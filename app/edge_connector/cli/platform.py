"""`platform serve|backup|organizations|activate|deactivate|password`: a platform of your own on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_connector.cli.options import json_option, print_json, run_async, say
from edge_connector.core.errors import UserError

if TYPE_CHECKING:
    from edge_connector.platform_api.operations import Operation
    from edge_connector.platform_server.app import PlatformServer

DEFAULT_DATA = "edge-platform"


def need_platform_extra() -> None:
    """Say how to install the platform server where it is not.

    Raises:
        UserError: a library of the `platform` extra is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in ("argon2", "starlette", "uvicorn", "jinja2", "limits") if find_spec(name) is None]
    if missing:
        raise UserError(
            "platform_not_installed",
            f"The platform server is not installed ({', '.join(missing)} missing).",
            hint="Install it with `pip install 'edge-connector[platform]'`.",
        )


def default_data() -> Path:
    """Where the platform keeps its data when --data does not say."""
    import platformdirs

    return Path(platformdirs.user_data_dir(DEFAULT_DATA, appauthor=False))


@click.group()
def platform() -> None:
    """Run, back up or look after a platform of your own."""


@platform.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--api-port", type=click.IntRange(0, 65_535), default=3000, show_default=True, help="Port of the HTTP API."
)
@click.option("--rpc-port", type=click.IntRange(0, 65_535), default=3001, show_default=True, help="Port of Tool RPC.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="PEM certificate chain for both ports.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key.")
@click.option("--public-url", help="URL under which people reach the API, for links and host checks.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Further host name it is reached under; repeatable.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Data directory. [default: in the user's data directory]")
@click.option(
    "--heartbeat",
    type=click.FloatRange(0.1, 300),
    default=30.0,
    show_default=True,
    help="Seconds between heartbeats. Less finds a dead link sooner and keeps proxies from cutting a quiet one.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def serve(
    host: str,
    api_port: int,
    rpc_port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    public_url: str | None,
    allowed_hosts: tuple[str, ...],
    data: Path | None,
    heartbeat: float,
    log_level: str,
) -> int:
    """Run the platform in the foreground until Ctrl+C.

    The first start prints a one-time link that makes the organization, its admin and a server token.
    """
    need_platform_extra()
    import asyncio

    from edge_connector.core import log as logs
    from edge_connector.core.loops import fastest_loop
    from edge_connector.platform_server.app import PlatformConfig, serve_forever

    logs.configure(log_level, file=None)
    config = PlatformConfig(
        data=data or default_data(),
        host=host,
        api_port=api_port,
        rpc_port=rpc_port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        public_url=public_url,
        allowed_hosts=allowed_hosts,
        heartbeat_s=heartbeat,
    )
    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        runner.run(serve_forever(config, _announce))
    return 0


def _announce(server: PlatformServer) -> None:
    say(f"Platform API      {server.api_url}")
    say(f"Tool RPC          {server.rpc_url}")
    if server.setup_url is not None:
        say("\nFirst start. Open this link once to make the organization, its admin and a server token:\n")
        say(f"  {server.setup_url}\n")


@platform.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of the platform.")
@json_option
def backup(out: Path, data: Path | None, as_json: bool) -> int:
    """Write a consistent copy of the platform's store to the new file OUT, also while it serves."""
    need_platform_extra()
    from edge_connector.platform_server.data_directory import backup as make_backup

    make_backup(data or default_data(), out)
    size = out.stat().st_size
    if as_json:
        print_json({"file": str(out), "bytes": size})
    else:
        say(f"Wrote {out} ({size} bytes).")
    return 0


# ---- looking after it, on the machine where its data is


def operator_options(command: Any) -> Any:
    """`--data` and `--url` of the running platform."""
    command = click.option(
        "--url", default="http://localhost:3000", show_default=True, help="HTTP API of the running platform."
    )(command)
    return click.option("--data", type=click.Path(path_type=Path), help="Its data directory, for its signing key.")(
        command
    )


@platform.command()
@operator_options
@json_option
def organizations(data: Path | None, url: str, as_json: bool) -> int:
    """List all organizations of the platform."""
    from edge_connector.platform_api.operations import LIST_ALL_ORGANIZATIONS

    found = _as_operator(data, url, LIST_ALL_ORGANIZATIONS).organizations
    if as_json:
        print_json({"organizations": [_document(row) for row in found]})
    for row in [] if as_json else found:
        state = "active" if row.active else "deactivated"
        say(f"{row.id}  {state:<11}  {row.members} members  {row.deployments} deployments  {row.name}")
    return 0


@platform.command()
@click.argument("organization")
@operator_options
@json_option
def deactivate(organization: str, data: Path | None, url: str, as_json: bool) -> int:
    """Refuse all credentials of ORGANIZATION (its id) and end its sessions, at once; nothing is deleted."""
    return _set_active(organization, False, data, url, as_json)


@platform.command()
@click.argument("organization")
@operator_options
@json_option
def activate(organization: str, data: Path | None, url: str, as_json: bool) -> int:
    """Let a deactivated ORGANIZATION (its id) go on."""
    return _set_active(organization, True, data, url, as_json)


@platform.command()
@click.argument("email")
@operator_options
@json_option
def password(email: str, data: Path | None, url: str, as_json: bool) -> int:
    """Give the person with the address EMAIL a new password, shown this once; every sign-in of the person ends."""
    from edge_connector.platform_api.operations import RESET_PASSWORD
    from edge_connector.platform_api.people import PasswordResetRequest

    made = _as_operator(data, url, RESET_PASSWORD, PasswordResetRequest(email=email))
    if as_json:
        print_json(_document(made))
    else:
        say(f"The new password of {made.email}, shown this once:\n\n  {made.password}\n")
    return 0


def _set_active(organization: str, active: bool, data: Path | None, url: str, as_json: bool) -> int:
    from edge_connector.platform_api.operations import SET_ORGANIZATION_ACTIVE
    from edge_connector.platform_api.people import ActiveRequest

    row = _as_operator(data, url, SET_ORGANIZATION_ACTIVE, ActiveRequest(active=active), path={"id": organization})
    if as_json:
        print_json(_document(row))
    else:
        say(f"{row.name} ({row.id}) is {'active' if row.active else 'deactivated'}.")
    return 0


def _document(body: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(body)


def _as_operator(
    data: Path | None, url: str, operation: Operation[Any, Any], body: Any = None, *, path: dict[str, str] | None = None
) -> Any:
    need_platform_extra()
    from edge_connector.core.clock import SystemClock
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_server.data_directory import DataDirectory
    from edge_connector.platform_server.identity import operator_token
    from edge_connector.platform_server.signing import SigningKey

    file = DataDirectory(data or default_data()).signing_key
    if not file.exists():
        raise UserError(
            "no_platform_data",
            f"There is no platform's signing key at {file}.",
            hint="Run this where the platform's data is, or name its directory with --data.",
        )
    token = operator_token(SigningKey.load_or_create(file), SystemClock().wall())

    async def provide() -> str:
        return token

    async def ask() -> Any:
        async with PlatformClient(url, provide) as client:
            return await client.call(operation, body, path=path)

    return run_async(ask())
