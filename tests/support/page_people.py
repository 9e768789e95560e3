"""People in browsers on a real platform: an admin and a member of one organization, and the admin of another.

async with signed_in_people(tmp_path) as people:
    await people.ada.open("/members")
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_connector.platform_server.identity import Principal
from edge_connector.platform_server.parts import Parts
from tests.support.browser import Browser, Page, browser
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import PASSWORD, browser_of, new_member, parts_of


@dataclass
class PagePeople:
    """Ada is admin and Bob member of the test organization, Eve the admin of `Beta`; each signed in."""

    platform: RunningPlatform
    ada: Browser
    bob: Browser
    eve: Browser
    bob_id: str
    eve_id: str
    beta: str

    @property
    def parts(self) -> Parts:
        return parts_of(self.platform)


def admin_of(platform: RunningPlatform) -> Principal:
    principal = parts_of(platform).identity.person(platform.user_id, platform.organization_id)
    assert principal is not None
    return principal


async def sign_in(person: Browser, email: str, password: str = PASSWORD, *, to: str = "/sign-in") -> Page:
    """By the form, from wherever it is."""
    await person.open(to)
    return await person.send("/sign-in", email=email, password=password)


@asynccontextmanager
async def signed_in_people(tmp_path: Path) -> AsyncIterator[PagePeople]:
    """A platform with them, stopped in the end."""
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(running_platform(tmp_path, password=PASSWORD))
        parts, admin = parts_of(platform), admin_of(platform)
        bob_id = await new_member(platform, "bob@example.test")
        eve_id = await new_member(platform, "eve@example.test")
        eve = parts.identity.person(eve_id, platform.organization_id)
        assert eve is not None
        beta = await parts.members.create_organization(eve, "Beta", address="127.0.0.1")
        await parts.members.remove(admin, eve_id, address="127.0.0.1")
        ada, bob, eve_browser = [await stack.enter_async_context(browser(platform.api_url)) for _ in range(3)]
        people = PagePeople(platform, ada, bob, eve_browser, bob_id, eve_id, beta.id)
        for person, user_id in ((people.ada, platform.user_id), (people.bob, bob_id), (people.eve, eve_id)):
            organization_id = beta.id if person is people.eve else platform.organization_id
            person.put_cookie("ec_session", (await browser_of(platform, user_id, organization_id)).token)
        yield people
