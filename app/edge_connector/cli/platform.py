"""`platform serve|backup`: a platform of your own on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_connector.cli.options import json_option, print_json, say
from edge_connector.core.errors import UserError

if TYPE_CHECKING:
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
    """Run or back up a platform of your own."""


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
