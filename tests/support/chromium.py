"""Debian's Chromium without a window, driven by playwright, each page in a profile of its own.

async with chromium() as browser:
    page = await (await browser.new_context(java_script_enabled=False)).new_page()
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, ViewportSize, async_playwright

PROGRAM = "/usr/bin/chromium"
DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=844)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One that ends with the block."""
    async with async_playwright() as playwright:
        # Its sandbox needs namespaces that containers forbid; the pages are our own.
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()
