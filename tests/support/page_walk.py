"""All pages of a platform with things on them, for a real browser to look at.

python -m tests.support.page_walk FOLDER      # a picture of each, light and dark, desktop and phone width
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.async_api import BrowserContext, Page, ViewportSize

from edge_connector.platform_api import models as api
from edge_connector.platform_api import oauth
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from tests.support.chromium import DESKTOP, PHONE, chromium
from tests.support.page_people import admin_of
from tests.support.peers import connector, pair
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import DEVICE, PASSWORD, browser_of, new_member, parts_of, signed_in

SIGNED_OUT = ("/", "/sign-in", "/sign-in?over=1&next=/device")
SIGNED_IN = (
    "/deployments", "/deployments/new", "/deployments/{edge}", "/members", "/server-tokens", "/audit", "/account",
    "/organizations", "/device", "/device?user_code=AAAA-AAAA", "/device?user_code={code}", "/deployments/none",
)  # fmt: skip
FORMS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("/server-tokens", "/server-tokens", {"name": "Night batch of the third hall"}),
    ("/deployments/new", "/deployments", {"name": "Hall 4"}),
    ("/deployments/new", "/deployments", {"name": "Hall 3 – press line"}),
    ("/deployments/{edge}", "/deployments/{edge}/secret", {}),
    ("/deployments/{edge}", "/deployments/{edge}/delete", {"confirm": "Hall"}),
    ("/members", "/invites", {"email": "grace.hopper@navy.example"}),
    ("/members", "/members/{ada}/remove", {}),
    ("/account", "/account/password", {"current": "not this one", "password": "short", "password_again": "short"}),
    ("/device?user_code={code}", "/device", {}),
)
"""Where a form is, which one, and what to type; what comes then is a page as well."""


@dataclass
class Furnished:
    """A platform with people, connectors and history.

    Attributes:
        names: what stands for the words in braces of the paths above.
        invite: links of invites: for somebody new, and for a known person.
    """

    platform: RunningPlatform
    names: dict[str, str]
    invites: list[str] = field(default_factory=list)

    async def context(self, context: BrowserContext) -> None:
        """Sign Ada in there."""
        session = await browser_of(self.platform, self.platform.user_id)
        await context.add_cookies([{"name": "ec_session", "value": session.token, "url": self.platform.api_url}])

    async def path(self, path: str) -> str:
        """With a fresh code of a connector that waits."""
        if "{code}" in path:
            grant: oauth.DeviceAuthorization = await self.platform.client.call(ops.DEVICE_AUTHORIZATION, DEVICE)
            self.names["code"] = grant.user_code
        return self.platform.api_url + path.format(**self.names)


@asynccontextmanager
async def furnished(tmp_path: Path) -> AsyncIterator[Furnished]:
    """The platform of all pages."""
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(running_platform(tmp_path, password=PASSWORD))
        parts, admin = parts_of(platform), admin_of(platform)
        edge = await platform.deploy("Hall 3 – press line")
        await platform.deploy("a-deployment-with-a-rather-long-name-and-no-place-to-break-it-anywhere")
        await stack.enter_async_context(connector(platform.rpc_url, pair(edge.id, edge.secret)))
        await platform.until_online(edge.id)
        bob = await new_member(platform, "bob@example.test")
        await new_member(platform, "katherine.coleman.goble.johnson@research.example.test")
        await parts.members.create_organization(admin, "Beta <Werke> GmbH & Co. KG", address="127.0.0.1")
        await signed_in(platform, platform.user_id)
        principal = parts.identity.person(bob, platform.organization_id)
        assert principal is not None
        await parts.deployments.register_desktop(principal, "inst-1", "laptop")
        await platform.client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name="agent"))
        shown = Furnished(platform, {"edge": edge.id, "ada": platform.user_id})
        for email in ("", "bob@elsewhere.example"):
            _, code = await parts.members.invite(admin, "member", email=email, address="127.0.0.1")
            shown.invites.append(f"/invite?code={code}")
        yield shown


async def widest(page: Page) -> str:
    """What sticks out of the page to the right; empty when nothing does."""
    found: str = await page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth
            const out = [...document.querySelectorAll("main *, header *")].filter(
                element => element.getBoundingClientRect().right > width + 1)
            const words = out.map(element => element.outerHTML.slice(0, 120)).join(" ") || "page"
            return document.documentElement.scrollWidth > width ? words : ""
        }"""
    )
    return found


async def send(page: Page, action: str, fields: dict[str, str]) -> None:
    """Fill in and send the form for `action`."""
    form = page.locator(f'form[action="{action}"]').first
    for name, value in fields.items():
        await form.locator(f'[name="{name}"]').fill(value)
    details = form.locator("xpath=ancestor::details")
    if await details.count():
        await details.locator("summary").click()
    await form.locator("button").first.click()
    await page.wait_for_load_state()


async def _pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    looks: list[tuple[Literal["light", "dark"], str, ViewportSize]] = [
        ("light", "desktop", DESKTOP),
        ("dark", "desktop", DESKTOP),
        ("light", "phone", PHONE),
        ("dark", "phone", PHONE),
    ]
    with tempfile.TemporaryDirectory() as data:
        async with furnished(Path(data)) as shown, chromium() as browser:
            for scheme, width, size in looks:
                options = {"color_scheme": scheme, "viewport": size}

                async def take(page: Page, name: str, look: str = f"{scheme}-{width}") -> None:
                    if out := await widest(page):
                        print(f"{name} {look} is too wide: {out}")
                    await page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)

                outside = await (await browser.new_context(**options)).new_page()  # type: ignore[arg-type]
                for number, path in enumerate((*SIGNED_OUT, *shown.invites)):
                    await outside.goto(await shown.path(path))
                    await take(outside, f"out{number}")
                context = await browser.new_context(**options)  # type: ignore[arg-type]
                await shown.context(context)
                page = await context.new_page()
                for number, path in enumerate((*SIGNED_IN, *shown.invites)):
                    await page.goto(await shown.path(path))
                    await take(page, f"in{number}")
                for number, (path, action, fields) in enumerate(FORMS):
                    await page.goto(await shown.path(path))
                    await send(page, action.format(**shown.names), fields)
                    await take(page, f"form{number}")
                await context.close()
                await outside.context.close()
            server = PlatformServer(PlatformConfig(data=Path(data) / "second", api_port=0, rpc_port=0))
            await server.start()
            context = await browser.new_context(viewport=DESKTOP)
            page = await context.new_page()
            await page.goto(server.setup_url or "")
            await page.screenshot(path=folder / "setup.png", full_page=True)
            for name in ("organization", "name"):
                await page.fill(f"#{name}", "Ada")
            await page.fill("#email", "ada@example.test")
            for name in ("password", "password_again"):
                await page.fill(f"#{name}", PASSWORD)
            await page.click("main button")
            await page.wait_for_load_state()
            await page.screenshot(path=folder / "ready.png", full_page=True)
            await context.close()
            await server.stop()


if __name__ == "__main__":
    asyncio.run(_pictures(Path(sys.argv[1])))
