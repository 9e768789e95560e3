"""`auth`: signs in by browser, code or token, and shows, ends or renews the sign-in of an installation."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_connector.cli.options import directory_option, json_option, load_config, print_json, run_async, say
from edge_connector.core.errors import EdgeError, NeedsLogin, UsageError, UserError

if TYPE_CHECKING:
    from edge_connector.auth.device import DeviceFlow
    from edge_connector.auth.session import SignedIn
    from edge_connector.auth.vault import Vault
    from edge_connector.config.loading import LoadedConfig

MAX_TOKEN_FILE_BYTES = 1024 * 1024


@click.group(invoke_without_command=True)
@click.option(
    "-t", "--token", help="A token, a JSON file with a `token` field, or - to read either from standard input."
)
@click.option("-b", "--browser", is_flag=True, help="Sign in with the browser of this machine.")
@click.option("-d", "--device", is_flag=True, help="Show address and code to sign in with on another machine.")
@click.option("-i", "--interactive", is_flag=True, help="Ask how to sign in.")
@directory_option
@json_option
@click.pass_context
def auth(
    ctx: click.Context,
    token: str | None,
    browser: bool,
    device: bool,
    interactive: bool,
    directory: str | None,
    as_json: bool,
) -> int:
    """Sign in, and see, end or renew the sign-in of this installation.

    What the platform gives is checked before it is kept: format, expiry, organization, signature. It is kept in the
    keyring of your session, else in a file that only you can read; `auth status` says where.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    chosen = [name for name, is_on in (("token", token is not None), ("browser", browser), ("device", device)) if is_on]
    if len(chosen) > 1 or (chosen and interactive):
        raise UsageError("usage", "Choose one of --token, --browser, --device and --interactive.")
    if not chosen:
        if not interactive and not sys.stdin.isatty():
            raise UsageError("usage", "Say how to sign in.", hint="Use --browser, --device or --token <token or file>.")
        token, device = _ask_how()
    loaded = load_config(directory)
    if token is not None:
        done = run_async(_by_token(loaded, _read_token(token)))
    else:
        done = run_async(_by_device(loaded, open_browser=not device))
    _show(done, as_json=as_json)
    return 0


def _ask_how() -> tuple[str | None, bool]:
    """The token, or None for the browser; and whether the browser is one of another machine."""
    say("How do you want to sign in?", err=True)
    for number, words in enumerate(
        ("with the browser of this machine", "with a browser of another machine", "with a token"), start=1
    ):
        say(f"  {number}  {words}", err=True)
    choice = click.prompt("Choose", type=click.IntRange(1, 3), default=1, err=True)
    if choice == 3:
        return click.prompt("Token, or path of a JSON file with it", hide_input=True, err=True), False
    return None, choice == 2


# ---- by token


def _read_token(given: str) -> tuple[str, str]:
    """Token and refresh token of `--token`.

    Raises:
        UserError: neither a token nor a file that holds one.
    """
    if given == "-":
        return _parse_token(sys.stdin.read(MAX_TOKEN_FILE_BYTES).strip(), "standard input")
    if given.count(".") == 2 and given.startswith("eyJ"):
        return given.strip(), ""
    path = Path(given).expanduser()
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        return given.strip(), ""  # the checks say what is wrong with it
    from edge_connector.config.json_file import read_json_object

    file = read_json_object(path, prefix="token_file", hint='Its content is {"token": "..."}.')
    return _token_of(file.values if file is not None else {}, str(path))


def _parse_token(text: str, place: str) -> tuple[str, str]:
    if not text.startswith("{"):
        return text, ""
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            "token_file_not_json", f"{place} holds neither a token nor JSON.", hint='Give {"token": "..."}.'
        ) from error
    return _token_of(document, place)


def _token_of(values: dict[str, Any], place: str) -> tuple[str, str]:
    token, refresh_token = values.get("token"), values.get("refreshToken", "")
    if not isinstance(token, str):
        raise NeedsLogin(
            "token_invalid",
            f"Token validation failed: {place} has no text in the field token.",
            hint='Its content is {"token": "..."}.',
        )
    return token.strip(), refresh_token if isinstance(refresh_token, str) else ""


async def _by_token(loaded: LoadedConfig, given: tuple[str, str]) -> SignedIn:
    from edge_connector.auth.session import keep_token, sign_in_client
    from edge_connector.core.clock import SystemClock

    async with sign_in_client(loaded, timeout_s=10.0) as client:
        done = await keep_token(
            loaded, given[0], client, clock=SystemClock(), vault=_vault(loaded), refresh_token=given[1]
        )
    await tell_connector(loaded)
    return done


# ---- by browser


async def _by_device(loaded: LoadedConfig, *, open_browser: bool) -> SignedIn:
    import asyncio

    from edge_connector.auth.browser import open_page
    from edge_connector.auth.session import keep_token, sign_in_client
    from edge_connector.auth.sign_in import begin, until_approved
    from edge_connector.auth.vault import Kind
    from edge_connector.config.paths import known_instance_id
    from edge_connector.core.clock import SystemClock

    clock, vault = SystemClock(), _vault(loaded)
    # Nobody shall approve something that cannot be kept.
    await asyncio.to_thread(vault.expect_write, Kind.TOKEN)
    async with sign_in_client(loaded) as client:
        host = loaded.settings.instance_name or socket.gethostname()
        flow = await begin(client, host=host, instance_id=known_instance_id(loaded.directory), clock=clock)
        _show_address(flow, opened=open_browser and open_page(flow.address))
        answer = await until_approved(client, flow, clock=clock)
        done = await keep_token(
            loaded,
            answer.access_token,
            client,
            clock=clock,
            vault=vault,
            refresh_token=answer.refresh_token,
            is_fresh=True,
        )
    await tell_connector(loaded)
    return done


def _show_address(flow: DeviceFlow, *, opened: bool) -> None:
    # To standard error: with --json the one document of standard output comes at the end.
    if opened:
        say(f"Your browser opens this page to sign in:\n\n  {flow.address}\n", err=True)
    else:
        say(f"Open this page in a browser, on any machine:\n\n  {flow.address}\n", err=True)
    say(f"The page shows this code; approve it only if it is the same:  {flow.user_code}\n", err=True)
    say("Waiting for your approval. Ctrl+C ends it.", err=True)


def _vault(loaded: LoadedConfig) -> Vault:
    from edge_connector.auth.vault import Vault

    return Vault(loaded, may_ask=True)


async def tell_connector(loaded: LoadedConfig) -> bool:
    """Let a connector that runs here take up changed credentials now; False when none runs."""
    from edge_connector.control.client import ControlClient

    try:
        async with ControlClient(loaded.directory) as client:
            await client.request("auth.reload")
    except EdgeError:
        return False
    return True


def _show(done: SignedIn, *, as_json: bool) -> None:
    from edge_connector.cli.auth_state import kept_words, token_document

    token = done.token
    if as_json:
        print_json({"signedIn": True, **token_document(token), "signatureChecked": done.signature_checked})
        return
    who = token.info.email or token.info.user or "this token's person"
    say(f"Signed in as {who} for organization {token.info.organization_id or ', '.join(token.info.organizations)}.")
    say(f"The token is kept in {kept_words(token.source)}.")
    if not done.signature_checked:
        say("Its signature could not be checked: the platform's keys are not to be had now.")


def _add_commands() -> None:
    from edge_connector.cli.auth_state import logout, rotate, status

    for command in (status, logout, rotate):
        auth.add_command(command)


_add_commands()
