"""A person's sign-in as a whole: keeping what came of it, and ending it; for commands and the running connector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edge_connector.auth import oauth
from edge_connector.auth.claims import check_token
from edge_connector.auth.credentials import (
    TokenCredentials,
    find_deployment,
    find_token,
    save_deployment,
    save_token,
)
from edge_connector.auth.signature import check_signature
from edge_connector.auth.vault import Kind, Vault
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.clock import Clock
from edge_connector.core.errors import EdgeError
from edge_connector.core.log import hide
from edge_connector.net.tls import client_context
from edge_connector.platform_api.client import PlatformClient, TokenProvider
from edge_connector.platform_api.operations import REGISTER_DESKTOP
from edge_connector.platform_api.people import DesktopRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A kept sign-in. Attribute `signature_checked`: False when the platform's keys could not be had."""

    token: TokenCredentials
    signature_checked: bool


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What was removed.

    Attributes:
        places: files and `keyring`; empty when nobody was signed in.
        revoked: whether the platform ended the sign-in; None when there was nothing to end.
    """

    places: tuple[str, ...]
    revoked: bool | None


async def register_desktop(
    config: LoadedConfig, token: TokenCredentials, *, instance_id: str, host: str, vault: Vault
) -> bool:
    """Register this installation as the person's own desktop and keep its deployment, unless there is one already.

    From then on the link has a secret of its own and does not end with the token.

    Args:
        instance_id: the same one always gets the same deployment.
        host: names a new deployment.

    Returns:
        Whether one was registered.

    Raises:
        EdgeError: the platform does not do it, cannot be reached, or what it gave cannot be kept.
    """
    if await asyncio.to_thread(find_deployment, config, vault=vault) is not None:
        return False
    await asyncio.to_thread(vault.expect_write, Kind.DEPLOYMENT)

    async def provide() -> str:
        return token.token

    address = config.settings.platform_api_url
    async with _client(config, address, provide, timeout_s=30.0) as client:
        made = await client.call(REGISTER_DESKTOP, DesktopRequest(instance_id=instance_id, host=host[:200]))
    hide(made.secret)
    place = await asyncio.to_thread(
        save_deployment,
        config,
        deployment_id=made.id,
        deployment_secret=made.secret,
        registered_for=owner_of(token),
        vault=vault,
    )
    log.info("registered deployment=%s new=%s kept_in=%s", made.id, made.is_new, place)
    return True


@asynccontextmanager
async def sign_in_client(config: LoadedConfig, *, timeout_s: float = 30.0) -> AsyncIterator[PlatformClient]:
    """A client without credentials for the address where people sign in.

    Raises:
        UserError: the address or the CA file cannot be used.
    """
    address = config.settings.desktop_auth_base_url or config.settings.platform_api_url
    async with _client(config, address, None, timeout_s=timeout_s) as client:
        yield client


@asynccontextmanager
async def _client(
    config: LoadedConfig, address: str, token: TokenProvider | None, *, timeout_s: float
) -> AsyncIterator[PlatformClient]:
    context = None
    if address.startswith("https:"):
        context = await asyncio.to_thread(client_context, config.settings.ca_file)
    async with PlatformClient(address, token, ssl=context, timeout_s=timeout_s) as client:
        yield client


async def keep_token(
    config: LoadedConfig,
    token: str,
    client: PlatformClient,
    *,
    clock: Clock,
    vault: Vault,
    refresh_token: str = "",
    is_fresh: bool = False,
) -> SignedIn:
    """Check a token in the documented order, signature last, and keep it. One that fails is not kept.

    A deployment that an earlier person's sign-in registered here is forgotten.

    Raises:
        NeedsLogin: the token is not usable.
        KeyringLocked: it belongs in the keyring, which is locked.
        UserError: it cannot be written.
    """
    hide(token)
    hide(refresh_token)
    place = str(vault.path(Kind.TOKEN))
    info = check_token(token, now=clock.wall(), save_to=place, is_fresh=is_fresh)
    checked = await check_signature(token, client, save_to=place)

    def keep() -> TokenCredentials:
        kept = save_token(config, token, now=clock.wall(), refresh_token=refresh_token, vault=vault, is_fresh=is_fresh)
        try:
            deployment = find_deployment(config, vault=vault)
        except EdgeError as error:
            log.info("kept deployment not looked at code=%s", error.code)  # whoever needs it says what is wrong with it
            return kept
        if deployment is not None and deployment.registered_for and deployment.registered_for != owner_of(kept):
            vault.delete(Kind.DEPLOYMENT)
        return kept

    kept = await asyncio.to_thread(keep)
    log.info("signed in user=%s organization=%s kept_in=%s", info.user, info.organization_id, kept.source)
    return SignedIn(kept, checked)


def owner_of(token: TokenCredentials) -> str:
    """Person and organization whose desktop deployment belongs to this sign-in."""
    return f"{token.info.user}@{token.info.organization_id or ''}"


async def sign_out(config: LoadedConfig, client: PlatformClient, *, clock: Clock, vault: Vault) -> SignedOut:
    """End the sign-in at the platform where it can be reached, and forget it and the deployment it registered here.

    Raises:
        KeyringLocked, KeyringUnavailable: it lies in the keyring; nothing was removed then.
        UserError: a file cannot be removed.
    """

    def look() -> tuple[TokenCredentials | None, bool]:
        try:
            token = find_token(config, now=clock.wall(), vault=vault, also_expired=True)
        except EdgeError as error:
            if error.code.startswith("keyring_"):
                raise
            token = None  # whatever it is, it goes
        try:
            deployment = find_deployment(config, vault=vault)
        except EdgeError as error:
            if error.code.startswith("keyring_"):
                raise
            deployment = None
        return token, deployment is not None and bool(deployment.registered_for)

    token, registered = await asyncio.to_thread(look)
    revoked: bool | None = None
    if token is not None and token.refresh_token:
        try:
            await oauth.revoke(client, token.refresh_token)
            revoked = True
        except EdgeError as error:
            log.warning("the sign-in was not ended at the platform cause=%s", error.code)
            revoked = False
    places = await asyncio.to_thread(vault.delete, Kind.TOKEN)
    if registered:
        places += await asyncio.to_thread(vault.delete, Kind.DEPLOYMENT)
    log.info("signed out removed=%d", len(places))
    return SignedOut(tuple(places), revoked)
