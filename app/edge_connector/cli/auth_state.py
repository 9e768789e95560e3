"""`auth status`, `auth logout` and `auth rotate`: what is kept of a sign-in, its end, and a new secret or token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from edge_connector.cli.options import directory_option, json_option, load_config, print_json, run_async, say
from edge_connector.core.clock import SystemClock, to_iso
from edge_connector.core.errors import EdgeError, NeedsLogin, UserError

if TYPE_CHECKING:
    from edge_connector.auth.credentials import DeploymentCredentials, TokenCredentials
    from edge_connector.config.loading import LoadedConfig


def kept_words(place: str) -> str:
    """Where a secret is kept, for a sentence."""
    return "the keyring of your session" if place == "keyring" else place


def token_document(token: TokenCredentials) -> dict[str, Any]:
    """A kept token without its secrets, as JSON."""
    info = token.info
    return {
        "user": info.user,
        "email": info.email,
        "organizationId": info.organization_id,
        "organizations": list(info.organizations),
        "expiresAt": None if info.expires_at is None else to_iso(info.expires_at),
        "renewable": bool(token.refresh_token),
        "keptIn": token.source,
    }


# ---- status


@click.command()
@directory_option
@json_option
def status(directory: str | None, as_json: bool) -> int:
    """Show who is signed in here, where the secrets are kept and until when they are good.

    Exit code 0 when a connector could use them, 3 when somebody has to sign in, 4 while the keyring is locked.
    """
    loaded = load_config(directory)
    document, code = _look(loaded)
    if as_json:
        print_json(document)
    else:
        _show_status(document)
    return code


def _look(loaded: LoadedConfig) -> tuple[dict[str, Any], int]:
    from edge_connector.auth.credentials import SignInEnded, find_credentials, find_deployment, find_token
    from edge_connector.auth.renewal import warning
    from edge_connector.auth.vault import Kind, Vault

    vault, now = Vault(loaded), SystemClock().wall()
    problems: list[dict[str, str]] = []
    document: dict[str, Any] = {"method": "", "deployment": None, "token": None, "problems": problems}

    def note(error: EdgeError) -> None:
        found = {"code": error.code, "message": error.message, "hint": error.hint}
        if found not in problems:
            problems.append(found)

    try:
        if (deployment := find_deployment(loaded, vault=vault)) is not None:
            document["deployment"] = _deployment_document(deployment)
            for trouble in deployment.warnings:
                note(trouble)
    except EdgeError as error:
        note(error)
    try:
        if (token := find_token(loaded, now=now, vault=vault)) is not None:
            document["token"] = token_document(token)
            for trouble in token.warnings:
                note(trouble)
            if token.renewal_refused:
                note(SignInEnded(token.renewal_refused))
            if not token.refresh_token and (left := warning(token.info, now=now)):
                note(
                    UserError(
                        "token_expires_soon",
                        f"The sign-in ends in {left}, and cannot be renewed without you.",
                        hint="Run `edge-connector auth --browser`.",
                    )
                )
    except EdgeError as error:
        note(error)
    code = 0
    try:
        used = find_credentials(loaded, now=now, vault=vault)
        document["method"] = "token" if document["deployment"] is None else "deployment"
        document["usedFrom"] = used.source
    except EdgeError as error:
        note(error)
        code = error.exit_code
    where = "file" if vault.prefers_file(Kind.TOKEN) else "keyring"
    document["newSecretsGoTo"] = str(vault.path(Kind.TOKEN)) if where == "file" else where
    return document, code


def _deployment_document(deployment: DeploymentCredentials) -> dict[str, Any]:
    return {
        "id": deployment.deployment_id,
        "keptIn": deployment.source,
        "registeredBySignIn": bool(deployment.registered_for),
    }


def _show_status(document: dict[str, Any]) -> None:
    deployment, token = document["deployment"], document["token"]
    if token is not None:
        organization = token["organizationId"] or ", ".join(token["organizations"])
        until = f"until {token['expiresAt']}" if token["expiresAt"] else "without end"
        renewed = "renewed by itself" if token["renewable"] else "not renewed by itself"
        say(f"Signed in as {token['email'] or token['user'] or 'somebody'} for organization {organization}.")
        say(f"  token        kept in {kept_words(token['keptIn'])}; good {until}, {renewed}")
    if deployment is not None:
        how = ", registered by the sign-in" if deployment["registeredBySignIn"] else ""
        say(f"  deployment   {deployment['id']}; kept in {kept_words(deployment['keptIn'])}{how}")
    if document["method"]:
        say(f"  link         by {document['method']}")
    for problem in document["problems"]:
        say(f"  problem: {problem['message']}")
        say(f"  fix: {problem['hint']}")


# ---- logout


@click.command()
@directory_option
@json_option
def logout(directory: str | None, as_json: bool) -> int:
    """End the sign-in: at the platform, and on this machine with the deployment that it registered."""
    loaded = load_config(directory)
    document = run_async(_logout(loaded))
    if as_json:
        print_json(document)
        return 0
    if not document["removedFrom"]:
        say("Nobody is signed in here.")
    else:
        say(f"Signed out. Removed from {' and '.join(kept_words(place) for place in document['removedFrom'])}.")
    if document["revoked"] is False:
        say("The platform could not be reached: end this sign-in on its account page as well.")
    if document["stillUses"]:
        say(f"The connector still uses the deployment from {kept_words(document['stillUses'])}.")
    return 0


async def _logout(loaded: LoadedConfig) -> dict[str, Any]:
    from edge_connector.auth.credentials import find_deployment
    from edge_connector.auth.session import sign_in_client, sign_out
    from edge_connector.auth.vault import Vault
    from edge_connector.cli.auth import tell_connector

    vault = Vault(loaded, may_ask=True)
    async with sign_in_client(loaded, timeout_s=10.0) as client:
        done = await sign_out(loaded, client, clock=SystemClock(), vault=vault)
    await tell_connector(loaded)
    left = await asyncio.to_thread(find_deployment, loaded, vault=vault)
    places = list(dict.fromkeys(done.places))
    return {"removedFrom": places, "revoked": done.revoked, "stillUses": left.source if left is not None else ""}


# ---- rotate


@click.command()
@directory_option
@json_option
def rotate(directory: str | None, as_json: bool) -> int:
    """Get a new deployment secret, or a new token, and keep it instead of the old one.

    The old deployment secret stays good for a day, so that nothing else that uses it stands still.
    """
    loaded = load_config(directory)
    document = run_async(_rotate(loaded))
    if as_json:
        print_json(document)
    elif document["rotated"] == "deployment":
        say(f"Deployment {document['id']} has a new secret, kept in {kept_words(document['keptIn'])}.")
        say("The old one stays good for a while, or until it is ended in the admin panel.")
    else:
        say(f"The token was exchanged; the new one is kept in {kept_words(document['keptIn'])}.")
    return 0


async def _rotate(loaded: LoadedConfig) -> dict[str, Any]:
    from edge_connector.auth.credentials import find_deployment
    from edge_connector.auth.vault import Vault
    from edge_connector.cli.auth import tell_connector

    vault = Vault(loaded, may_ask=True)
    deployment = await asyncio.to_thread(find_deployment, loaded, vault=vault)
    if deployment is not None:
        document = await _rotate_secret(loaded, deployment, vault)
    else:
        document = await _rotate_token(loaded, vault)
    await tell_connector(loaded)
    return document


async def _rotate_secret(loaded: LoadedConfig, deployment: DeploymentCredentials, vault: Any) -> dict[str, Any]:
    from edge_connector.auth.credentials import save_deployment
    from edge_connector.auth.vault import Kind
    from edge_connector.config.loading import OriginKind
    from edge_connector.core.log import hide
    from edge_connector.net.tls import client_context
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_api.operations import ROTATE_SECRET

    settings, origin = loaded.settings, loaded.origins["deployment_secret"]
    if not deployment.is_kept and origin.kind is not OriginKind.PROVISIONING:
        raise UserError(
            "secret_kept_elsewhere",
            f"The deployment secret comes from {origin}, which this program does not write.",
            hint="Rotate it in the admin panel and set the new one there.",
        )
    await asyncio.to_thread(vault.expect_write, Kind.DEPLOYMENT)
    context = None
    if settings.platform_api_url.startswith("https:"):
        context = await asyncio.to_thread(client_context, settings.ca_file)

    async def header() -> str:
        return deployment.authorization_header

    async with PlatformClient(settings.platform_api_url, header, ssl=context) as client:
        made = await client.call(ROTATE_SECRET, path={"id": deployment.deployment_id})
    hide(made.secret)
    place = await asyncio.to_thread(
        save_deployment,
        loaded,
        deployment_id=deployment.deployment_id,
        deployment_secret=made.secret,
        registered_for=deployment.registered_for,
        vault=vault,
    )
    return {"rotated": "deployment", "id": deployment.deployment_id, "keptIn": place}


async def _rotate_token(loaded: LoadedConfig, vault: Any) -> dict[str, Any]:
    from edge_connector.auth.refresh import renewed
    from edge_connector.auth.session import sign_in_client

    token = await renewed(loaded, lambda: sign_in_client(loaded), clock=SystemClock(), vault=vault, at_once=True)
    if token is None:
        raise NeedsLogin(
            "no_credentials",
            "No authentication token found: there is nothing to rotate.",
            hint="Run `edge-connector auth --browser`.",
        )
    if not token.refresh_token:
        raise NeedsLogin(
            "not_renewable",
            "This token cannot be exchanged: it came without a refresh token.",
            hint="Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`.",
        )
    return {"rotated": "token", **token_document(token)}
