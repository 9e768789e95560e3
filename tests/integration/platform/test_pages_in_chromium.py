"""Pages in a real browser: a person approves a real connector by keyboard and without script; nothing is too wide."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import ViewportSize

from edge_connector.platform_api import operations as ops
from tests.support.chromium import DESKTOP, PHONE, chromium
from tests.support.commands import clean_environment, run_command
from tests.support.page_people import admin_of
from tests.support.page_walk import FORMS, SIGNED_IN, SIGNED_OUT, furnished, send, widest
from tests.support.real_platform import running_platform
from tests.support.sign_in import HERE, PASSWORD, parts_of
from tests.support.waiting import eventually


async def test_a_person_signs_in_chooses_and_approves_while_the_connector_waits(tmp_path: Path) -> None:
    home, opened, script = tmp_path / "home", tmp_path / "opened", tmp_path / "browser"
    home.mkdir()
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    script.chmod(0o755)
    async with running_platform(tmp_path / "platform", password=PASSWORD) as platform, chromium() as browser:
        await parts_of(platform).members.create_organization(admin_of(platform), "Beta", address=HERE)
        variables = clean_environment(PLATFORM_API_URL=platform.api_url, BROWSER=script)
        words = ("auth", "--browser", "--json")
        signing_in = asyncio.ensure_future(run_command(*words, environment=variables, directory=home))
        try:
            await eventually(opened.exists, what="the connector opens the browser")
            page = await (await browser.new_context(java_script_enabled=False)).new_page()
            await page.goto(opened.read_text())
            assert urlsplit(page.url).path == "/sign-in"
            # By keyboard alone: the first key of each page leads past the header, then to the fields.
            await page.focus("#email")
            await page.keyboard.type("ada@example.test")
            await page.keyboard.press("Tab")
            await page.keyboard.type(PASSWORD)
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/organizations?next=*")
            await page.get_by_role("button", name="Test organization").press("Enter")
            await page.wait_for_url("**/device?user_code=*")
            assert await page.get_by_role("heading", level=1).inner_text() == "Approve this connector?"
            assert await page.get_by_role("radio", name="Test organization").is_checked()
            await page.get_by_role("button", name="Approve").press("Enter")
            await page.get_by_text("You can close this window.").wait_for()
            cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}
            assert (cookies["ec_session"]["httpOnly"], cookies["ec_session"]["sameSite"]) == (True, "Lax")
            await page.context.close()
        finally:
            ended = await signing_in
        assert ended.code == 0, ended.err
        assert ended.document["organizationId"] == platform.organization_id
        actions = [entry.action for entry in (await platform.client.call(ops.LIST_AUDIT)).entries]
        assert "connector.approved" in actions


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_every_page_fits_its_window_and_reports_nothing(tmp_path: Path, size: ViewportSize) -> None:
    async with furnished(tmp_path) as shown, chromium() as browser:
        context = await browser.new_context(viewport=size)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        too_wide = {}
        for paths in (SIGNED_OUT, SIGNED_IN):
            if paths is SIGNED_IN:
                await shown.context(context)
            for path in (*paths, *shown.invites):
                await page.goto(await shown.path(path))
                if out := await widest(page):
                    too_wide[path] = out
        for path, action, fields in FORMS:
            await page.goto(await shown.path(path))
            await send(page, action.format(**shown.names), fields)
            if out := await widest(page):
                too_wide[action] = out
        await context.close()
        assert not too_wide
        # Chromium notes each answer that is an error; the style sheet and the policy must not be among them.
        assert [text for text in complaints if "status of 4" not in text] == []
