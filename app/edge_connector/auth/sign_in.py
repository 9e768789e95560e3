"""Signs a person in by the device flow: asks for a code, tells it, and polls until it was approved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from edge_connector.auth import oauth
from edge_connector.auth.device import DeviceFlow
from edge_connector.core.clock import Clock
from edge_connector.core.errors import NotConnected, UserError
from edge_connector.core.log import hide
from edge_connector.platform_api.client import PlatformClient
from edge_connector.platform_api.oauth import TokenReply

log = logging.getLogger(__name__)

DEFAULT_INTERVAL_S = 5.0
"""RFC 8628 section 3.2."""


async def begin(client: PlatformClient, *, host: str, instance_id: str, clock: Clock) -> DeviceFlow:
    """Open a sign-in at the platform.

    Raises:
        NotConnected: it cannot be reached.
        UserError: it does not know this way of signing in, or it is no platform.
    """
    try:
        opened = await oauth.begin_device_sign_in(client, host=host, instance_id=instance_id)
    except oauth.OAuthRefusal as refusal:
        raise UserError(
            "sign_in_refused",
            f"The platform refused the sign-in: {refusal.error} ({refusal.message}).",
            hint="Check PLATFORM_API_URL and DESKTOP_AUTH_BASE_URL, or update the platform.",
        ) from refusal
    hide(opened.device_code)
    if not opened.verification_uri.startswith(("https://", "http://")) or (
        opened.verification_uri_complete and not opened.verification_uri_complete.startswith(("https://", "http://"))
    ):
        # It is handed to the browser, which would start other programs for other schemes.
        raise UserError(
            "not_a_platform",
            f"{client.base_url} named a page to sign in that is no web page.",
            hint="Check PLATFORM_API_URL and DESKTOP_AUTH_BASE_URL.",
        )
    log.info("sign-in opened expires_in_s=%.0f interval_s=%.0f", opened.expires_in, opened.interval)
    return DeviceFlow.begin(
        device_code=opened.device_code,
        user_code=opened.user_code,
        verification_uri=opened.verification_uri,
        verification_uri_complete=opened.verification_uri_complete,
        expires_in_s=opened.expires_in,
        interval_s=opened.interval if opened.interval > 0 else DEFAULT_INTERVAL_S,
        now=clock.monotonic(),
    )


async def until_approved(
    client: PlatformClient,
    flow: DeviceFlow,
    *,
    clock: Clock,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> TokenReply:
    """Poll until a person approved.

    Raises:
        NeedsLogin: denied, or not approved in time.
        UserError: the platform refused it.
    """
    while True:
        await sleep(flow.wait_s(now=clock.monotonic()))
        if not flow.is_due(now=clock.monotonic()):
            continue
        try:
            return await oauth.poll_device_sign_in(client, flow.device_code)
        except oauth.OAuthRefusal as refusal:
            flow = flow.answered(refusal.error, refusal.message, now=clock.monotonic())
        except NotConnected as error:
            flow = flow.unreachable(now=clock.monotonic())
            log.info("sign-in: no answer, asking again cause=%s interval_s=%.0f", error.code, flow.interval_s)
