"""A person approves or denies a connector on the page, while the connector asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_connector.core.errors import UserError
from edge_connector.platform_api import oauth
from edge_connector.platform_api import operations as ops
from edge_connector.platform_server.store.sqlite_people import SqlitePeople
from tests.support.browser import browser
from tests.support.page_people import PagePeople, sign_in, signed_in_people
from tests.support.sign_in import DEVICE, token_request


async def begin(people: PagePeople) -> oauth.DeviceAuthorization:
    return await people.platform.client.call(ops.DEVICE_AUTHORIZATION, DEVICE)


async def test_the_link_leads_through_sign_in_and_choice_to_tokens(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people, browser(people.platform.api_url) as ada:
        await people.ada.open("/organizations")
        await people.ada.send("/organizations/new", name="Gamma")
        grant = await begin(people)
        link = grant.verification_uri_complete.removeprefix(people.platform.api_url)
        page = await sign_in(ada, "ada@example.test", to=link)
        assert page.path.startswith("/organizations?next=%2Fdevice")
        page = await ada.send("/organizations", organization=people.platform.organization_id)
        assert page.path == link
        for shown in (grant.user_code, "Edge Connector", "box", "Ada, ada@example.test", "Test organization", "Gamma"):
            assert shown in page.visible
        assert page.form("/device").fields["organization"] == people.platform.organization_id
        page = await ada.send("/device", decision="approve")
        assert page.status == 200 and "Approved: Edge Connector on box" in page.visible
        assert "You can close this window." in page.visible
        tokens = await people.platform.client.call(ops.OAUTH_TOKEN, token_request(grant))
        assert tokens.organization_id == people.platform.organization_id
        # The same form again, and the link again.
        csrf = page.form("/sign-out").fields["csrf"]
        fields = {"csrf": csrf, "user_code": grant.user_code, "decision": "approve"}
        for again in (await ada.post("/device", fields), await ada.open(link)):
            assert (again.status, "was approved or denied already" in again.visible) == (409, True)


async def test_the_code_is_typed_and_the_connector_denied(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        bob = people.bob
        await bob.open("/device")
        page = await bob.send("/device", user_code="AAAA-AAAA")
        assert (page.status, page.form("/device").fields["user_code"]) == (404, "AAAA-AAAA")
        assert "No connector shows this code." in page.visible
        grant = await begin(people)
        page = await bob.send("/device", user_code=f" {grant.user_code.lower().replace('-', ' ')} ")
        assert page.status == 200 and "where you are Admin" not in page.visible
        page = await bob.send("/device", decision="deny")
        assert page.status == 200 and "Denied: Edge Connector on box" in page.visible
        assert "You can close this window." in page.visible
        with pytest.raises(UserError) as denied:
            await people.platform.client.call(ops.OAUTH_TOKEN, token_request(grant))
        assert denied.value.code == "access_denied"


async def test_codes_expire_and_guesses_are_limited(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        bob = people.bob
        grant = await begin(people)
        store = people.parts.store.people
        assert isinstance(store, SqlitePeople)
        await store._change("UPDATE device_grants SET expires_at=1", ())
        page = await bob.open(f"/device?user_code={grant.user_code}")
        assert (page.status, "This code has expired." in page.visible) == (410, True)
        for _ in range(20):
            assert (await bob.open("/device?user_code=AAAAAAAA")).status == 404
        page = await bob.open("/device?user_code=AAAAAAAA")
        assert (page.status, page.headers["Retry-After"]) == (429, "60")


async def test_it_works_for_no_organization_that_the_person_is_not_in(tmp_path: Path) -> None:
    async with signed_in_people(tmp_path) as people:
        bob = people.bob
        grant = await begin(people)
        await bob.open(f"/device?user_code={grant.user_code}")
        page = await bob.send("/device", decision="approve", organization=people.beta)
        assert page.status == 404 and "Beta" not in page.text
        await bob.open(f"/device?user_code={grant.user_code}")
        page = await bob.send("/device", organization=None, decision="approve")
        assert (page.status, "Choose the organization it works for." in page.visible) == (400, True)
        # Anything but the word approve is a denial.
        page = await bob.send("/device", decision="")
        assert "Denied" in page.visible
