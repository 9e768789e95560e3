"""The credentials that count now, with a token renewed where that is due."""

from __future__ import annotations

import asyncio
import logging

from edge_connector.auth.credentials import DeploymentCredentials, SignInEnded, TokenCredentials, find_credentials
from edge_connector.config.loading import LoadedConfig
from edge_connector.core.clock import Clock
from edge_connector.core.errors import NeedsLogin, NotConnected

log = logging.getLogger(__name__)


async def current_credentials(config: LoadedConfig, *, clock: Clock) -> DeploymentCredentials | TokenCredentials:
    """As `find_credentials`, with a token that is exchanged for a new one where that is due and possible.

    Raises:
        NeedsLogin: there are none, or they are no good any more.
        NotConnected: the token is over, and the platform cannot renew it now; or the keyring is locked.
        UserError: a file cannot be used.
    """
    expired: NeedsLogin | None = None
    found: DeploymentCredentials | TokenCredentials | None = None
    try:
        found = await asyncio.to_thread(find_credentials, config, now=clock.wall())
    except NeedsLogin as error:
        if error.code != "token_expired":
            raise
        expired = error
    if isinstance(found, DeploymentCredentials) or (found is not None and not found.is_renewal_due(now=clock.wall())):
        return found
    # Only now: most connectors never need the platform's HTTP API for this.
    from edge_connector.auth.refresh import renewed
    from edge_connector.auth.session import sign_in_client

    try:
        new = await renewed(config, lambda: sign_in_client(config, timeout_s=10.0), clock=clock)
    except (NotConnected, SignInEnded) as error:
        if found is None:
            raise
        log.info("token not renewed, the old one is still good cause=%s", error.code)
        return found
    if new is None:
        assert expired is not None or found is not None, "one of both was found"
        raise expired or NeedsLogin("no_credentials", "No authentication token found: it was removed just now.")
    return new
