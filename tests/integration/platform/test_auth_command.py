"""`edge-connector auth` against the real platform: signed in by a person's approval, renewed, signed out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from edge_connector.platform_api import operations as ops
from tests.support.commands import Finished, clean_environment, run_command
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.sign_in import HERE, browser_of, new_member, parts_of
from tests.support.waiting import eventually


async def auth(platform: RunningPlatform, home: Path, *words: str) -> Finished:
    variables = clean_environment(PLATFORM_API_URL=platform.api_url)
    return await run_command("auth", *words, environment=variables, directory=home)


async def test_a_person_approves_a_real_connector_which_renews_and_signs_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with running_platform(tmp_path / "platform") as platform:
        parts = parts_of(platform)
        bob = await new_member(platform, "bob@example.test")
        signing_in = asyncio.ensure_future(auth(platform, home, "--device", "--json"))

        async def is_waiting() -> int:
            return await parts.store.people.pending_device_grants(parts.clock.wall())

        await eventually(is_waiting, what="a connector waits for approval")
        (code,) = await parts.store.people._database.read(  # type: ignore[attr-defined]
            lambda connection: [row[0] for row in connection.execute("SELECT user_code FROM device_grants")]
        )
        await parts.devices.decide(await browser_of(platform, bob), code, approve=True, address=HERE)
        ended = await signing_in
        assert ended.code == 0, ended.err
        assert code in ended.err
        document = ended.document
        assert (document["user"], document["organizationId"]) == (bob, platform.organization_id)
        assert document["signatureChecked"] and document["renewable"]

        def kept() -> str:
            token: str = json.loads((home / "auth-token.json").read_text())["token"]
            return token

        first = kept()
        me = await platform.client_with(first).call(ops.WHOAMI)
        assert (me.user_id, "manage" in me.scopes) == (bob, False)
        assert (await auth(platform, home, "rotate", "--json")).code == 0
        renewed = kept()
        assert renewed != first
        places = (await platform.client_with(renewed).call(ops.LIST_SESSIONS)).sessions
        assert [place.kind for place in places if place.is_current] == ["connector"]
        assert (await auth(platform, home, "logout", "--json")).code == 0
        assert parts.identity.authenticate(f"Bearer {renewed}".encode()) is None
        actions = [entry.action for entry in (await platform.client.call(ops.LIST_AUDIT)).entries]
        assert actions[0] == "connector.signed_out"
        assert "connector.approved" in actions
