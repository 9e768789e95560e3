"""Exchanges the saved token for a new one by its refresh token: one exchange at a time, across processes too.

A refresh token is good once. So the exchange holds a lock file, reads what is saved once more under it, and keeps the
new pair before it lets go.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from edge_connector.auth import oauth
from edge_connector.auth.credentials import SignInEnded, TokenCredentials, find_renewable_token, save_token
from edge_connector.auth.vault import Kind, Vault
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.clock import Clock, to_iso
from edge_connector.core.errors import NeedsLogin, NotConnected, UserError
from edge_connector.core.files import explain_os_error
from edge_connector.core.log import hide
from edge_connector.platform_api.client import PlatformClient

log = logging.getLogger(__name__)

LOCK_FILE = "auth.lock"
LOCK_WAIT_S = 45.0
LOCK_AGAIN_S = 0.1


async def renewed(
    config: LoadedConfig,
    open_client: Callable[[], AbstractAsyncContextManager[PlatformClient]],
    *,
    clock: Clock,
    vault: Vault | None = None,
    at_once: bool = False,
) -> TokenCredentials | None:
    """The saved token, exchanged for a new one when that is due; None when none is saved.

    Args:
        open_client: opens a client without credentials of its own; called only when something has to be asked.
        at_once: exchange it although it is not due.

    Raises:
        SignInEnded: the platform does not renew it any more; it stays saved until its end, without a refresh token.
        NeedsLogin: the saved token is not usable and cannot be exchanged.
        NotConnected: the platform cannot be asked now, or the keyring is locked.
        UserError: a file cannot be used.
    """
    vault = vault or Vault(config)
    token = await _read(config, vault, clock)
    if token is None or not token.refresh_token or not (at_once or token.is_renewal_due(now=clock.wall())):
        return token
    async with _alone(config.directory):
        again = await _read(config, vault, clock)
        if again is None or not again.refresh_token or again.refresh_token != token.refresh_token:
            return again  # another process was faster
        try:
            async with open_client() as client:
                answer = await oauth.refresh(client, again.refresh_token)
        except oauth.OAuthRefusal as refusal:
            await _end(vault, again, refusal.message)
            raise SignInEnded(refusal.message) from refusal
        except UserError as error:
            # A page of the network's own, say, stands before the platform: that ends no sign-in.
            raise NotConnected(error.code, error.message, hint=error.hint) from error
        hide(answer.access_token)
        hide(answer.refresh_token)
        refresh_token = answer.refresh_token or again.refresh_token
        try:
            new = await asyncio.to_thread(
                save_token,
                config,
                answer.access_token,
                now=clock.wall(),
                refresh_token=refresh_token,
                vault=vault,
                is_fresh=True,
            )
        except NeedsLogin:
            # With a clock that is set right they will be good; the old refresh token is used up.
            await asyncio.to_thread(
                vault.write, Kind.TOKEN, {"token": answer.access_token, "refreshToken": refresh_token}
            )
            raise
    log.info("token renewed expires_in_s=%.0f", (new.info.expires_at or clock.wall()) - clock.wall())
    return new


async def _read(config: LoadedConfig, vault: Vault, clock: Clock) -> TokenCredentials | None:
    return await asyncio.to_thread(find_renewable_token, config, now=clock.wall(), vault=vault)


async def _end(vault: Vault, token: TokenCredentials, detail: str) -> None:
    """Nobody shall ask with that refresh token again, and whoever looks shall know why."""
    document = {"token": token.token, "renewalRefused": detail}
    if token.info.expires_at is not None:
        document["expiresAt"] = to_iso(token.info.expires_at)
    await asyncio.to_thread(vault.write, Kind.TOKEN, document)


@asynccontextmanager
async def _alone(directory: Path) -> AsyncIterator[None]:
    path = directory / LOCK_FILE
    with explain_os_error(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _lock(handle)
        yield
    finally:
        os.close(handle)


async def _lock(handle: int) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if loop.time() > deadline:
                raise NotConnected(
                    "renewal_busy",
                    f"Another process has been renewing the token for {LOCK_WAIT_S:.0f} s.",
                    hint="Look whether an `edge-connector` hangs; then try again.",
                ) from None
            await asyncio.sleep(LOCK_AGAIN_S)
