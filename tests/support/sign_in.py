"""People of a running platform: made members, signed in by the device grant, without pages.

user_id = await new_member(platform, "bob@example.test")
tokens = await signed_in(platform, user_id)
"""

from __future__ import annotations

from edge_connector.platform_api import oauth, people
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.parts import Parts
from edge_connector.platform_server.people.sessions import Session
from tests.support.real_platform import RunningPlatform

HERE = "127.0.0.1"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PASSWORD = "a long password"
DEVICE = oauth.DeviceAuthorizationRequest(
    client_id=oauth.CLIENT_ID, client_name="Edge Connector", host="box", instance_id="inst-1"
)


def parts_of(platform: RunningPlatform) -> Parts:
    """What the pages are given."""
    parts = platform.server._parts
    assert parts is not None
    return parts


async def browser_of(platform: RunningPlatform, user_id: str, organization_id: str = "") -> Session:
    """A browser in which the person is signed in."""
    parts = parts_of(platform)
    user = parts.identity.users[user_id]
    return await parts.sessions.open_for(
        user, organization_id or platform.organization_id, address=HERE, user_agent=BROWSER
    )


def token_request(grant: oauth.DeviceAuthorization) -> oauth.TokenRequest:
    """What a waiting connector asks."""
    return oauth.TokenRequest(
        grant_type=oauth.DEVICE_CODE_GRANT, client_id=oauth.CLIENT_ID, device_code=grant.device_code
    )


async def signed_in(platform: RunningPlatform, user_id: str, organization_id: str = "") -> oauth.TokenReply:
    """The whole device grant, approved by the person."""
    grant = await platform.client.call(ops.DEVICE_AUTHORIZATION, DEVICE)
    session = await browser_of(platform, user_id, organization_id)
    await parts_of(platform).devices.decide(session, grant.user_code, approve=True, address=HERE)
    return await platform.client.call(ops.OAUTH_TOKEN, token_request(grant))


async def new_member(
    platform: RunningPlatform, email: str, *, role: people.Role = "member", token: str | None = None
) -> str:
    """A new person in the organization of `token` (the platform's first one otherwise); the id."""
    client = platform.client if token is None else platform.client_with(token)
    invite = await client.call(ops.CREATE_INVITE, people.InviteRequest(role=role, email=email))
    _, user = await parts_of(platform).members.accept_invite_as_new(
        invite.url.partition("code=")[2],
        email=email,
        name=email.partition("@")[0].title(),
        password=PASSWORD,
        address=HERE,
    )
    return user.id
