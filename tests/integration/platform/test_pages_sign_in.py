"""Signing in, out, and choosing an organization on pages: cookies, forged forms, lock-out, where `next` leads."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from edge_connector.platform_server.app import PlatformConfig, PlatformServer
from edge_connector.platform_server.http.operations import Operations
from edge_connector.platform_server.http.pages import Pages
from edge_connector.platform_server.store.people import AuditFilter
from tests.support.browser import browser
from tests.support.page_people import admin_of, sign_in, signed_in_people
from tests.support.real_platform import running_platform
from tests.support.sign_in import PASSWORD, parts_of


async def test_the_set_up_asks_for_a_password_and_signs_the_admin_in(tmp_path: Path) -> None:
    server = PlatformServer(PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0))
    await server.start()
    try:
        async with browser(server.api_url) as ada, browser(server.api_url) as again:
            await ada.open(f"/setup?code={server.setup_code}")
            given = {"organization": "<b>Acme</b>", "name": "Ada", "email": "ada@example.test"}
            short = await ada.send("/setup", **given, password="short", password_again="short")
            assert (short.status, short.form("/setup").fields["organization"]) == (400, "<b>Acme</b>")
            assert "A password has 10 to 200 characters; this has 5." in short.visible
            assert "short" not in short.text
            other = await ada.send("/setup", **given, password=PASSWORD, password_again="something else")
            assert (other.status, "This is not the same password." in other.visible) == (400, True)
            assert PASSWORD not in other.text and not ada.set_cookies
            ready = await ada.send("/setup", **given, password=PASSWORD, password_again=PASSWORD)
            assert (ready.status, ready.secrets[0][:4]) == (200, "ect_")
            assert (await ada.open("/")).path == "/deployments"
            assert (await sign_in(again, "ADA@example.test")).path == "/deployments"
    finally:
        await server.stop()


async def test_a_person_signs_in_and_out(tmp_path: Path) -> None:
    async with running_platform(tmp_path, password=PASSWORD) as platform, browser(platform.api_url) as ada:
        page = await sign_in(ada, "ada@example.test", to="/members")
        assert (page.status, page.path) == (200, "/members")
        (cookie,) = ada.set_cookies
        assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
            "httponly", "max-age=2592000", "path=/", "samesite=lax",
        }  # fmt: skip
        token = ada.cookies["ec_session"]
        assert len(token) > 43 and token.encode() not in (tmp_path / "platform-data" / "platform.db").read_bytes()
        page = await ada.send("/sign-out")
        assert page.path == "/sign-in" and "ec_session" not in ada.cookies
        # The cookie is worth nothing any more.
        ada.put_cookie("ec_session", token)
        assert (await ada.open("/members")).path == "/sign-in?next=%2Fmembers"


async def test_with_https_cookies_are_secure_and_tied_to_the_host(tmp_path: Path) -> None:
    config = PlatformConfig(data=tmp_path / "data", api_port=0, rpc_port=0, public_url="https://platform.example")
    server = PlatformServer(config)
    await server.start()
    try:
        port = server._servers[1]._listener.getsockname()[1]
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}/sign-in"
            async with http.get(url, headers={"Host": "platform.example"}) as form:
                cookie = form.headers["Set-Cookie"]
                csrf = (await form.text()).partition('name="csrf" value="')[2].partition('"')[0]
            assert cookie.startswith("__Host-ec_form=") and "; Secure" in cookie and "; HttpOnly" in cookie
            assert "Path=/" in cookie and "Domain" not in cookie
            headers = {
                "Host": "platform.example",
                "Origin": "https://platform.example",
                "Cookie": cookie.partition(";")[0],
            }
            fields = {"csrf": csrf, "email": "a@b", "password": "x"}
            async with http.post(url, headers=headers, data=fields) as reply:
                assert reply.status == 400
    finally:
        await server.stop()


async def test_the_session_is_a_new_one_after_each_sign_in(tmp_path: Path) -> None:
    async with running_platform(tmp_path, password=PASSWORD) as platform, browser(platform.api_url) as ada:
        ada.put_cookie("ec_session", "ecw_planted")
        await sign_in(ada, "ada@example.test")
        first = ada.cookies["ec_session"]
        assert first != "ecw_planted"
        # The form of an earlier page, sent again while signed in.
        await ada.open("/account")
        fields = {"csrf": ada.page.form("/sign-out").fields["csrf"], "email": "ada@example.test", "password": PASSWORD}
        assert (await ada.post("/sign-in", fields)).path == "/deployments"
        second = ada.cookies["ec_session"]
        sessions = parts_of(platform).sessions
        assert second != first and sessions.find(first) is None and sessions.find(second) is not None


async def test_wrong_passwords_are_told_alike_and_lock_the_account(tmp_path: Path) -> None:
    async with running_platform(tmp_path, password=PASSWORD) as platform, browser(platform.api_url) as ada:
        told = set()
        for email in ("ada@example.test", "nobody@example.test"):
            page = await sign_in(ada, email, "mistaken-1234")
            assert page.status == 400 and "ec_session" not in ada.cookies
            assert page.form("/sign-in").fields["email"] == email and "mistaken-1234" not in page.text
            told.add(page.visible)
        assert len(told) == 1 and "E-mail address or password is wrong." in told.pop()
        for _ in range(9):
            page = await ada.send("/sign-in", email="ada@example.test", password="mistaken-1234")
        assert page.status == 400
        page = await ada.send("/sign-in", email="ada@example.test", password=PASSWORD)
        assert (page.status, page.headers["Retry-After"]) == (429, "60")
        assert "After 10 wrong passwords this account is locked for another 15 min." in page.visible


async def test_forged_forms_change_nothing(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        ada, bob = people.ada, people.bob
        await ada.open("/account")
        actions = sorted({form.action for form in ada.page.forms if form.method == "post"})
        for path in ("/members", "/server-tokens", "/deployments/new", "/organizations"):
            actions += [form.action for form in (await ada.open(path)).forms]
        assert len(set(actions)) >= 10
        await bob.open("/account")
        foreign = bob.page.form("/sign-out").fields["csrf"]
        before = await people.parts.audit.entries(_all(people.platform.organization_id))
        fields = {"name": "Forged", "role": "admin", "organization": people.platform.organization_id}
        for action in sorted({*actions, "/device", "/invite/join"}):
            for forged in ({}, {"csrf": ""}, {"csrf": foreign}, {"csrf": "é"}):
                page = await ada.post(action, fields | forged)
                assert (page.status, "nothing was changed" in page.visible) == (403, True), action
            for origin in ("https://evil.example", "null"):
                own = {"csrf": ada.page.form("/sign-out").fields["csrf"]}
                page = await ada.post(action, fields | own, Origin=origin)
                assert (page.status, "wrong_origin" in page.text) == (403, True), action
                await ada.open("/account")
        assert await people.parts.audit.entries(_all(people.platform.organization_id)) == before
        assert (await ada.open("/account")).status == 200
        # Signing in is protected as well, before there is a session: nobody is signed in as somebody else.
        async with browser(people.platform.api_url) as visitor:
            await visitor.open("/sign-in")
            known = {"email": "ada@example.test", "password": PASSWORD}
            page = await visitor.post("/sign-in", known)
            assert (page.status, "ec_session" in visitor.cookies) == (403, False)
            page = await visitor.post("/sign-in", known | {"csrf": foreign})
            assert (page.status, "ec_session" in visitor.cookies) == (403, False)
            # A form whose session is over is not carried out after the next sign-in.
            page = await visitor.post("/deployments", {"name": "late"})
            assert page.path == "/sign-in?over=1" and "nothing was changed" in page.visible


async def test_each_page_of_the_table_needs_its_person_and_each_form_its_token(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people, browser(people.platform.api_url) as visitor:
        routes = Pages(people.parts, Operations(people.parts)).routes
        open_to_all = {"/", "/setup", "/sign-in", "/invite", "/static/platform.css"}
        posts = 0
        for route in routes:
            path = route.path.replace("{id}", "x")
            if "POST" in (route.methods or ()):
                posts += 1
                forged = await people.ada.post(path, {"csrf": "forged"})
                assert (forged.status, "nothing was changed" in forged.visible) == (403, True), path
                if path not in open_to_all:
                    assert (await visitor.post(path, {})).path == "/sign-in?over=1", path
            elif path not in open_to_all:
                assert (await visitor.open(path)).path.startswith("/sign-in?next="), path
        assert posts > 15 and len(routes) > 25
        page = await people.ada.open("/account")
        fields = {**page.form("/account/name").fields, "name": "Twice"}
        async with aiohttp.ClientSession(cookies=people.ada.cookies) as http:
            for body in (b"\xff\xfe", b"name=a&name=b", b"x" * 10, urlencode(fields).encode() + b"&name=Thrice"):
                async with http.post(f"{people.platform.api_url}/account/name", data=body) as reply:
                    assert reply.status == 400, body


def _all(organization_id: str) -> AuditFilter:
    return AuditFilter(organization_id=organization_id, limit=500)


async def test_a_forged_next_leads_home(tmp_path: Path) -> None:
    async with running_platform(tmp_path, password=PASSWORD) as platform, browser(platform.api_url) as ada:
        for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
            await ada.open("/sign-in", params={"next": target})
            assert ada.page.form("/sign-in").fields["next"] == ""
            page = await ada.send("/sign-in", email="ada@example.test", password=PASSWORD, next=target)
            assert page.path == "/deployments"
            page = await ada.open("/sign-in", params={"next": target})
            assert page.path == "/deployments"
            await ada.send("/sign-out")


async def test_a_person_of_several_organizations_chooses_one(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        ada, platform = people.ada, people.platform
        await ada.open("/organizations")
        assert (await ada.send("/organizations/new", name=" ")).status == 400
        page = await ada.send("/organizations/new", name="Gamma")
        assert page.path == "/deployments" and "Gamma" in page.visible
        # Signed in anew there is a choice to make, and then the way goes on.
        await ada.send("/sign-out")
        page = await sign_in(ada, "ada@example.test", to="/audit?action=person.")
        assert page.path.startswith("/organizations?next=") and "Test organization" in page.visible
        assert (await ada.open("/members")).path == "/organizations?next=%2Fmembers"
        await ada.open("/organizations?next=/audit%3Faction%3Dperson.")
        assert (await ada.send("/organizations", organization=people.beta)).status == 404
        await ada.open("/organizations?next=/audit%3Faction%3Dperson.")
        page = await ada.send("/organizations", organization=platform.organization_id)
        assert (page.status, page.path) == (200, "/audit?action=person.")
        # A member makes no organization.
        await people.bob.open("/organizations")
        assert "/organizations/new" not in people.bob.page.text
        csrf = people.bob.page.form("/sign-out").fields["csrf"]
        page = await people.bob.post("/organizations/new", {"csrf": csrf, "name": "Mine"})
        assert (page.status, "Ask an admin: Ada." in page.visible) == (403, True)
        # Who belongs nowhere is told what to do.
        await people.parts.members.remove(admin_of(people.platform), people.bob_id, address="127.0.0.1")
        page = await people.bob.open("/deployments")
        assert page.path == "/organizations?next=%2Fdeployments"
        assert "You belong to no organization at the moment." in page.visible
