"""What people manage on pages: account, members, invites, tokens, deployments, audit; roles and organizations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_connector.core.errors import NeedsLogin
from edge_connector.platform_api import models as api
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.store.people import MembershipRow, UserRow
from edge_connector.platform_server.store.records import ServerTokenRow
from tests.support.browser import browser
from tests.support.page_people import admin_of, sign_in, signed_in_people
from tests.support.peers import connector, pair
from tests.support.sign_in import PASSWORD, signed_in

NEW_PASSWORD = "another horse battery"
ADMIN_PAGES = ("/members", "/server-tokens", "/audit", "/deployments/new")


async def test_the_own_account(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people, browser(people.platform.api_url) as elsewhere:
        ada, platform = people.ada, people.platform
        await sign_in(elsewhere, "ada@example.test")
        tokens = await signed_in(platform, platform.user_id)
        page = await ada.open("/account")
        assert "Firefox on Linux this one" in page.visible and "Edge Connector on box" in page.visible
        page = await ada.send("/account/name", name="x" * 101)
        assert (page.status, "This needs 1 to 100 characters." in page.visible) == (400, True)
        page = await ada.send("/account/name", name=" Ada <Lovelace> ")
        assert page.path == "/account" and "Ada <Lovelace>" in page.visible
        assert (await platform.client_with(tokens.access_token).call(ops.WHOAMI)).name == "Ada <Lovelace>"
        # A connector and another browser are signed out from here.
        connectors = [form.action for form in page.forms if "/sessions/fam_" in form.action]
        page = await ada.send(connectors[0])
        assert (page.path, "Edge Connector on box" in page.visible) == ("/account", False)
        await elsewhere.open("/account")
        mine = re.search(r"(/account/sessions/ses_\w+/end)(?=(?:(?!<tr>).)*</tr>)", elsewhere.page.text, re.S)
        assert mine is not None
        assert (await people.bob.open("/account")).status == 200
        csrf = people.bob.page.form("/sign-out").fields["csrf"]
        assert (await people.bob.post(mine[1], {"csrf": csrf})).status == 404
        # A new password, with everything that may be wrong with it.
        await ada.open("/account")
        wrong = {"current": "mistaken-1234", "password": NEW_PASSWORD, "password_again": NEW_PASSWORD}
        page = await ada.send("/account/password", **wrong)
        assert (page.status, "This is not your password." in page.visible) == (400, True)
        assert "mistaken-1234" not in page.text and NEW_PASSWORD not in page.text
        page = await ada.send("/account/password", **(wrong | {"current": PASSWORD, "password": "short"}))
        assert (page.status, "this has 5" in page.visible) == (400, True)
        page = await ada.send("/account/password", **(wrong | {"current": PASSWORD}))
        assert (page.status, "The new password holds." in page.visible) == (200, True)
        assert (await elsewhere.open("/account")).path == "/sign-in?next=%2Faccount"
        assert (await sign_in(elsewhere, "ada@example.test")).status == 400
        assert (await sign_in(elsewhere, "ada@example.test", NEW_PASSWORD)).path == "/deployments"
        # Ending the own session leads to the sign-in.
        (current,) = people.parts.sessions._of(platform.user_id)[-1:]
        await elsewhere.open("/account")
        page = await elsewhere.send(f"/account/sessions/ses_{current.digest[:8].hex()}/end")
        assert page.path == "/sign-in" and "ec_session" not in elsewhere.cookies


async def test_members_roles_and_their_end(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        ada, bob = people.ada, people.bob
        page = await ada.open("/members")
        assert "Bob bob@example.test" in page.visible and "Eve" not in page.visible
        page = await ada.send(f"/members/{people.platform.user_id}/role", role="member")
        assert page.status == 409 and "This person is the organization's last admin." in page.visible
        page = await ada.send(f"/members/{people.platform.user_id}/remove")
        assert page.status == 409 and "Make somebody else admin first." in page.visible
        assert (await ada.send(f"/members/{people.bob_id}/role", role="king")).status == 400
        await ada.open("/members")
        assert (await ada.send(f"/members/{people.bob_id}/role", role="admin")).path == "/members"
        assert (await bob.open("/members")).status == 200
        # Who steps down sees what members see.
        assert (await bob.send(f"/members/{people.bob_id}/role", role="member")).path == "/deployments"
        assert (await bob.open("/members")).status == 403
        await ada.open("/members")
        assert (await ada.send(f"/members/{people.bob_id}/remove")).path == "/members"
        assert "Bob" not in ada.page.visible
        assert (await bob.open("/deployments")).path.startswith("/organizations")


async def test_an_invite_for_a_new_person(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people, browser(people.platform.api_url) as carl:
        ada = people.ada
        await ada.open("/members")
        page = await ada.send("/invites", email="nonsense", role="admin")
        assert (page.status, "This is not an e-mail address" in page.visible) == (400, True)
        assert page.form("/invites").fields == page.form("/invites").fields | {"email": "nonsense", "role": "admin"}
        page = await ada.send("/invites", email="bob@example.test", role="member")
        assert (page.status, "bob@example.test is a member already." in page.visible) == (409, True)
        page = await ada.send("/invites", email="", role="member")
        (link,) = page.secrets
        code = link.partition("code=")[2]
        assert link.startswith(f"{people.platform.api_url}/invite?code=") and "whoever has the link" in page.visible
        assert code not in (await ada.open("/members")).text
        page = await carl.open(link)
        assert "Join Test organization" in page.visible and "Member" in page.visible
        given = {"name": "Carl", "email": "carl@example.test"}
        page = await carl.send("/invite", **given, password=NEW_PASSWORD, password_again="other")
        assert (page.status, page.form("/invite").fields["name"]) == (400, "Carl")
        assert NEW_PASSWORD not in page.text and not carl.set_cookies
        page = await carl.send("/invite", name="", email="x", password=PASSWORD, password_again=PASSWORD)
        assert page.status == 400 and "This needs 1 to 100 characters." in page.visible
        taken = {"name": "Carl", "email": "BOB@example.test", "password": PASSWORD, "password_again": PASSWORD}
        page = await carl.send("/invite", **taken)
        assert (page.status, "has an account here. Sign in" in page.visible) == (409, True)
        page = await carl.send("/invite", **given, password=NEW_PASSWORD, password_again=NEW_PASSWORD)
        assert page.path == "/deployments" and "Carl" in page.visible
        assert (await carl.open("/members")).status == 403
        page = await people.bob.open(link)
        assert (page.status, "This invite link was used before." in page.visible) == (410, True)


async def test_an_invite_for_somebody_who_is_known_and_one_that_is_revoked(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people, browser(people.platform.api_url) as eve:
        ada = people.ada
        await ada.open("/members")
        (link,) = (await ada.send("/invites", email="eve@example.test", role="admin")).secrets
        # Another person is told, and nothing happens.
        page = await people.bob.open(link)
        assert "This invite is for eve@example.test; you are signed in as bob@example.test." in page.visible
        csrf = page.form("/sign-out").fields["csrf"]
        code = link.partition("code=")[2]
        assert (await people.bob.post("/invite/join", {"csrf": csrf, "code": code})).status == 403
        # Signed out, the way leads through the sign-in and back.
        page = await eve.open(link)
        assert "You have an account here already." in page.visible and not page.forms
        href = page.text.partition('class="button" href="')[2].partition('"')[0]
        page = await sign_in(eve, "eve@example.test", to=href)
        assert page.path == f"/invite?code={code}"
        page = await eve.send("/invite/join")
        assert page.path == "/deployments" and "Test organization" in page.visible
        assert (await eve.open("/members")).status == 200
        await ada.open("/members")
        (link,) = (await ada.send("/invites", email="", role="member")).secrets
        await ada.open("/members")
        (revoke,) = [form.action for form in ada.page.forms if form.action.endswith("/revoke")]
        assert (await ada.send(revoke)).path == "/members"
        page = await eve.open(link)
        assert (page.status, "or was revoked" in page.visible) == (404, True)
        assert (await eve.open("/invite")).status == 404


async def test_server_tokens_are_shown_once(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        ada, platform = people.ada, people.platform
        await ada.open("/server-tokens")
        assert (await ada.send("/server-tokens", name=" ")).status == 400
        page = await ada.send("/server-tokens", name="agent")
        (token,) = page.secrets
        assert token.startswith("ect_")
        me = await platform.client_with(token).call(ops.WHOAMI)
        assert (me.kind, me.name) == ("server_token", "agent")
        page = await ada.open("/server-tokens")
        assert token not in page.text and "0 s ago" in page.visible
        token_id = next(known.id for known in people.parts.identity.server_tokens.values() if known.name == "agent")
        revoke = f"/server-tokens/{token_id}/revoke"
        page = await ada.send(revoke)
        assert page.path == "/server-tokens" and "agent" not in page.visible
        with pytest.raises(NeedsLogin):
            await platform.client_with(token).call(ops.WHOAMI)


async def test_deployments_from_making_to_deleting(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        ada, platform = people.ada, people.platform
        assert "There is no deployment yet." in (await ada.open("/deployments")).visible
        await ada.open("/deployments/new")
        page = await ada.send("/deployments", name="", description="Hall 3", type="DESKTOP")
        assert page.status == 400
        assert page.form("/deployments").fields == page.form("/deployments").fields | {
            "description": "Hall 3", "type": "DESKTOP",
        }  # fmt: skip
        page = await ada.send("/deployments", name="edge <1>", type="SERVER")
        secret, line = page.secrets
        edge = await platform.deployment("edge <1>")
        assert f"DEPLOYMENT_ID={edge.id} DEPLOYMENT_SECRET={secret} edge-connector run" in line
        assert (edge.description, edge.type) == ("Hall 3", "SERVER")
        await ada.open("/deployments/new")
        page = await ada.send("/deployments", name="edge <1>")
        assert (page.status, "A deployment named 'edge <1>' exists." in page.visible) == (409, True)
        here = f"/deployments/{edge.id}"
        async with connector(platform.rpc_url, pair(edge.id, secret)):
            await platform.until_online(edge.id)
            assert "● " not in (await ada.open("/deployments")).text  # the sign is the style sheet's
            assert "edge <1> server edge-device Active" in ada.page.visible
            page = await ada.open(here)
            assert secret not in page.text and "echo" in page.visible and "Working" in page.visible
            page = await ada.send(f"{here}/secret", keep_old_for_s="3600")
            newer = page.secrets[0]
            assert newer != secret and "it ends in 59 min" in page.visible
            assert (await ada.send(f"{here}/secret", keep_old_for_s="-1")).status == 400
            await ada.open(here)
            page = await ada.send(f"{here}/old-secret/end")
            assert page.path == here and "The secret before this one" not in page.visible
        page = await ada.send(f"{here}/delete", confirm="edge")
        assert (page.status, "Type edge <1> to delete it." in page.visible) == (400, True)
        page = await ada.send(f"{here}/delete", confirm="edge <1>")
        assert page.path == "/deployments" and "There is no deployment yet." in page.visible
        assert (await ada.open(here)).status == 404


async def test_members_look_and_change_the_own_desktop_only(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        bob, platform = people.bob, people.platform
        edge = await platform.deploy()
        bob_principal = people.parts.identity.person(people.bob_id, platform.organization_id)
        assert bob_principal is not None
        own, _, _ = await people.parts.deployments.register_desktop(bob_principal, "inst-1", "laptop")
        page = await bob.open("/deployments")
        assert "edge server" in page.visible and "laptop desktop" in page.visible
        assert "/members" not in page.text and "/audit" not in page.text and "New deployment" not in page.visible
        for path in ADMIN_PAGES:
            page = await bob.open(path)
            assert page.status == 403, path
            assert "Only admins of Test organization may do this; you are a Member. Ask an admin: Ada." in page.visible
        assert "/delete" not in (await bob.open(f"/deployments/{edge.id}")).text
        csrf = {"csrf": bob.page.form("/sign-out").fields["csrf"]}
        token = next(iter(people.parts.identity.server_tokens))
        forms = {
            "/deployments": {"name": "mine"},
            f"/deployments/{edge.id}/secret": {"keep_old_for_s": "0"},
            f"/deployments/{edge.id}/old-secret/end": {},
            f"/deployments/{edge.id}/delete": {"confirm": "edge"},
            f"/deployments/{own.row.id}/delete": {"confirm": "laptop"},
            "/server-tokens": {"name": "mine"},
            f"/server-tokens/{token}/revoke": {},
            f"/members/{people.bob_id}/role": {"role": "admin"},
            f"/members/{platform.user_id}/remove": {},
            "/invites": {"email": "", "role": "admin"},
            "/invites/inv_1/revoke": {},
        }
        for action, fields in forms.items():
            page = await bob.post(action, fields | csrf)
            assert (page.status, "Ask an admin: Ada." in page.visible) == (403, True), action
        await bob.open(f"/deployments/{own.row.id}")
        assert (await bob.send(f"/deployments/{own.row.id}/secret")).secrets[0].startswith("sec_")
        assert platform.user_id in people.parts.identity.users and len(people.parts.identity.server_tokens) == 1


async def test_nothing_of_another_organization_is_there(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        eve, platform = people.eve, people.platform
        edge = await platform.deploy("secret place")
        await people.parts.members.invite(admin_of(platform), "member", address="127.0.0.1")
        (invite,) = await people.parts.members.invites(platform.organization_id)
        token = next(iter(people.parts.identity.server_tokens))
        for path in ("/deployments", "/members", "/server-tokens", "/audit", "/organizations"):
            page = await eve.open(path)
            assert page.status == 200
            for foreign in ("secret place", "Ada", "Bob", "first token", "Test organization"):
                assert foreign not in page.text, (path, foreign)
        csrf = {"csrf": eve.page.form("/sign-out").fields["csrf"]}
        for action, fields in {
            f"/deployments/{edge.id}/secret": {"keep_old_for_s": "0"},
            f"/deployments/{edge.id}/old-secret/end": {},
            f"/deployments/{edge.id}/delete": {"confirm": "secret place"},
            f"/server-tokens/{token}/revoke": {},
            f"/members/{people.bob_id}/role": {"role": "admin"},
            f"/members/{people.bob_id}/remove": {},
            f"/invites/{invite.id}/revoke": {},
            "/organizations": {"organization": platform.organization_id},
        }.items():
            page = await eve.post(action, fields | csrf)
            assert page.status == 404, action
            assert "secret place" not in page.text and "Test organization" not in page.text
        assert (await eve.open(f"/deployments/{edge.id}")).status == 404
        page = await eve.open(f"/audit?actor={platform.user_id}")
        assert page.status == 200 and "Nothing like this is in the log" in page.visible and "Ada" not in page.text


async def test_pages_of_a_large_organization_stay_small(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        identity, organization_id = people.parts.identity, people.platform.organization_id
        for number in range(500):
            user = UserRow(id=f"usr_{number:016}", email="e" * 200 + f"{number}@example.test", name="n" * 100)
            identity.put_user(user)
            identity.put_membership(MembershipRow(user_id=user.id, organization_id=organization_id, role="member"))
            identity.add_server_token(
                ServerTokenRow(
                    id=f"tok_{number:016}",
                    organization_id=organization_id,
                    user_id=user.id,
                    name="t" * 100,
                    digest=f"{number}".encode(),
                )
            )
            principal = identity.person(user.id, organization_id)
            assert principal is not None
            if number < 50:
                await people.parts.deployments.register_desktop(principal, f"inst-{number}", "h" * 100)
                await people.parts.audit.note(
                    principal, "deployment.desktop_registered", ("deployment", "dep_1", "h" * 200), place="p" * 300
                )
                await people.parts.members.invite(principal, "member", email=user.email + "x", address="127.0.0.1")
        for path in ("/members", "/server-tokens", "/deployments", "/audit"):
            assert (await people.ada.open(path)).status == 200  # the browser looks at the size


async def test_a_link_that_leads_nowhere_is_told_to_a_person_as_a_page(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        page = await people.ada.open("/member", headers={"Accept": "text/html,*/*"})
        assert (page.status, "There is no such page here." in page.visible) == (404, True)
        page = await people.ada.open("/api/v1/nothing")
        assert (page.status, "unknown_path" in page.text) == (404, True)


async def test_the_audit_log_is_narrowed_and_paged(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        ada, platform = people.ada, people.platform
        for number in range(45):
            row = await platform.client.call(ops.CREATE_SERVER_TOKEN, api.ServerTokenRequest(name=f"token {number}"))
        page = await ada.open("/audit")
        assert "first token (server token) made the server token token 44" in page.visible
        assert "made the organization" in (await ada.send("/audit", action="organization.", actor="")).visible
        page = await ada.send("/audit", action="server_token.", actor="")
        assert "made the organization" not in page.visible and "Newest" not in page.visible
        older = page.text.partition('<a href="/audit?')[2].partition('"')[0].replace("&amp;", "&")
        page = await ada.open(f"/audit?{older}")
        assert page.visible.count("made the server token") == 15 and "Older" not in page.visible
        page = await ada.send("/audit", action="", actor=people.bob_id)
        assert "Bob joined by an invite" in page.visible and "made the" not in page.visible
        for strange in ("before=x", "before=-1", "before=9999999999999999", "action=%00", f"actor={'x' * 5000}"):
            assert (await ada.open(f"/audit?{strange}")).status == 200
        # Long tables come in parts.
        page = await ada.open("/server-tokens")
        assert "1–30 of 46" in page.visible and row.name not in page.visible
        page = await ada.open("/server-tokens?page=2")
        assert "31–46 of 46" in page.visible and row.name in page.visible
        assert "31–46 of 46" in (await ada.open("/server-tokens?page=99999")).visible
