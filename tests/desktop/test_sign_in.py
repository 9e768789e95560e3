"""The real desktop without credentials: who opens the sign-in page, when, and what comes of an approval."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.desktop import test_main
from tests.desktop.test_main import WORKING
from tests.support.desktop_process import running_desktop
from tests.support.displays import PrivateDesktop
from tests.support.noting_browser import NotingBrowser
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import HERE, browser_of, parts_of
from tests.support.waiting import eventually

desktop = test_main.desktop


@pytest.fixture
async def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningPlatform]:
    monkeypatch.setattr("edge_connector.platform_server.people.devices.INTERVAL_S", 1.0)  # nobody here has five
    async with running_platform(tmp_path) as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path) -> NotingBrowser:
    return NotingBrowser(tmp_path)


def variables(platform: RunningPlatform, browser: NotingBrowser) -> dict[str, str]:
    return {
        "TOOL_RPC_URL": platform.rpc_url,
        "PLATFORM_API_URL": platform.api_url,
        "BROWSER": str(browser.program),
    }


async def test_started_by_a_person_it_opens_the_page_once_and_works_when_approved(
    desktop: PrivateDesktop, platform: RunningPlatform, browser: NotingBrowser, tmp_path: Path
) -> None:
    home, settings = tmp_path / "home", variables(platform, browser)
    async with running_desktop(desktop, home, settings) as program:
        await eventually(lambda: browser.visits, what="the page opens")
        await program.until_state("needs_you")
        code = browser.visits[0].partition("user_code=")[2]
        person = await browser_of(platform, platform.user_id)
        await parts_of(platform).devices.decide(person, code, approve=True, address=HERE)
        status = await program.until_state(*WORKING)
        assert status["authorised"]["method"] == "deployment" and status["signIn"]["phase"] == "signed_in"
    async with running_desktop(desktop, home, settings) as program:
        await program.until_state(*WORKING)
        assert (await program.request("auth.sign_out"))["revoked"] is True
        await program.until_state("needs_you")
    assert len(browser.visits) == 1


async def test_started_at_login_it_opens_nothing_until_somebody_asks(
    desktop: PrivateDesktop, platform: RunningPlatform, browser: NotingBrowser, tmp_path: Path
) -> None:
    async with running_desktop(desktop, tmp_path / "home", variables(platform, browser), "--hidden") as program:
        status = await program.until_state("needs_you")
        assert [problem["code"] for problem in status["problems"]] == ["needs_login"]
        assert browser.visits == []
        begun = await program.request("auth.sign_in", open=True)
        await eventually(lambda: browser.visits == [begun["address"]], what="the page that was asked for")
