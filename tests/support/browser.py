"""A browser without script and pictures: cookies, pages, and the forms that are really on them.

async with browser(platform.api_url) as ada:
    await ada.open("/sign-in")
    page = await ada.send("/sign-in", email="ada@example.test", password="...")
    assert page.path == "/deployments"
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from tests.support.secrets import WATCH
from tests.support.sign_in import BROWSER

MAX_PAGE_BYTES = 100_000
"""LOOK: under 100 kB a page."""


@dataclass
class Form:
    """A form with the values that it would send untouched."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """What came after all redirects."""

    status: int
    path: str
    """With the query."""
    text: str
    headers: Any
    forms: list[Form]
    visible: str
    """The text without marks, blanks folded."""
    secrets: list[str]
    """What is shown once."""

    def form(self, action: str) -> Form:
        found = [form for form in self.forms if form.action == action]
        assert found, f"no form for {action} on {self.path}: {[form.action for form in self.forms]}"
        return found[0]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self.secrets: list[str] = []
        self.tags: list[str] = []
        self._open: Form | None = None
        self._select = ""
        self._in_secret = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        assert tag != "script" and "style" not in given and not any(key.startswith("on") for key in given), tag
        if tag == "form":
            self._open = Form(given.get("method", "get"), given["action"])
            self.forms.append(self._open)
        elif tag == "pre" and given.get("class") == "secret":
            self._in_secret = True
            self.secrets.append("")
        elif self._open is not None and tag == "input" and given.get("name"):
            if given.get("type") != "radio" or "checked" in given:
                self._open.fields[given["name"]] = given.get("value", "")
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and self._open is not None and self._select:
            value = given.get("value", "")
            first = self._open.fields.setdefault(self._select, value)
            self._open.fields[self._select] = value if "selected" in given else first

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = ""
        elif tag == "pre":
            self._in_secret = False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in_secret:
            self.secrets[-1] += data


class Browser:
    """One person's browser; `set_cookies` has each `Set-Cookie` of the last step as it was sent."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self.url = url
        self.page: Page
        self.set_cookies: list[str] = []
        self.redirects: list[str] = []

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self._http.cookie_jar}

    def put_cookie(self, name: str, value: str) -> None:
        """Somebody else planted a cookie."""
        self._http.cookie_jar.update_cookies({name: value}, response_url=self._http._build_url(self.url))

    async def open(self, path: str, **options: Any) -> Page:
        """Follow a link."""
        return await self._go("GET", path, None, **options)

    async def send(self, action: str, /, **values: str | None) -> Page:
        """Fill in the form for `action` that is on the page, and send it as a browser does; without what is None."""
        form = self.page.form(action)
        fields = {name: value for name, value in {**form.fields, **values}.items() if value is not None}
        if form.method == "get":
            return await self._go("GET", action, None, params=fields)
        return await self.post(action, fields)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        """Send fields to any address."""
        return await self._go("POST", path, fields, headers={"Origin": self.url} | headers)

    async def _go(self, method: str, path: str, data: Any, **options: Any) -> Page:
        self.set_cookies, self.redirects = [], []
        url = urljoin(self.url, path)
        while True:
            async with self._http.request(method, url, data=data, allow_redirects=False, **options) as reply:
                for cookie in reply.headers.getall("Set-Cookie", []):
                    self.set_cookies.append(cookie)
                    WATCH.learn(cookie.partition("=")[2].partition(";")[0], "a cookie")
                if 300 <= reply.status < 400:
                    assert reply.status == 303 and reply.headers["Cache-Control"] == "no-store"
                    self.redirects.append(reply.headers["Location"])
                    url, method, data, options = urljoin(url, reply.headers["Location"]), "GET", None, {}
                    assert url.startswith(self.url + "/"), f"led away to {url}"
                    continue
                return await self._read(reply, url)

    async def _read(self, reply: aiohttp.ClientResponse, url: str) -> Page:
        text = await reply.text()
        reader = _Reader()
        if reply.content_type == "text/html":
            reader.feed(text)
            assert len(text.encode()) < MAX_PAGE_BYTES
            assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
            assert reply.headers["Cache-Control"] == "no-store"
            for form in reader.forms:
                assert (form.method == "post") == ("csrf" in form.fields), f"{form.action} on {url}"
            assert reader.tags.count("h1") == 1 and reader.tags.count("main") == 1
        for secret in reader.secrets:
            WATCH.learn(secret.rpartition("code=")[2] if " " not in secret else "", "what a page shows once")
        visible = " ".join("".join(reader.words).split())
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.page = Page(reply.status, path, text, reply.headers, reader.forms, visible, reader.secrets)
        return self.page


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[Browser]:
    """A browser of its own, with an empty jar of cookies."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of IP addresses too
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"User-Agent": BROWSER}) as http:
        yield Browser(http, url)
