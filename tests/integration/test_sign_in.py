"""A running connector and its person: signing in and out at a real platform, registration, renewal, locked keyring."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from edge_connector.core.errors import EdgeError
from edge_connector.core.status import SignInPhase, State
from edge_connector.platform_api import operations as ops
from edge_connector.runtime.app import ConnectorRuntime
from tests.support.real_connector import WORKING, running_connector
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.secrets import WATCH
from tests.support.session_keyring import session_keyring
from tests.support.sign_in import browser_of, parts_of, signed_in
from tests.support.waiting import eventually


@pytest.fixture
async def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningPlatform]:
    # Nobody here has five seconds between two questions.
    monkeypatch.setattr("edge_connector.platform_server.people.devices.INTERVAL_S", 1.0)
    async with running_platform(tmp_path) as found:
        # The person has long been a member: tokens from before that are refused.
        membership = parts_of(found).identity._memberships[found.user_id][found.organization_id]
        membership.created_at -= 10 * 86_400
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def variables(platform: RunningPlatform, **more: str) -> dict[str, str]:
    return {"TOOL_RPC_URL": platform.rpc_url, "PLATFORM_API_URL": platform.api_url, "HEALTH_PORT": "0", **more}


async def approve(platform: RunningPlatform, code: str, *, yes: bool = True) -> None:
    session = await browser_of(platform, platform.user_id)
    await parts_of(platform).devices.decide(session, code, approve=yes, address="127.0.0.1")


def save(home: Path, **document: Any) -> None:
    for value in document.values():
        WATCH.learn(value, "saved token")
    path = home / "auth-token.json"
    path.write_text(json.dumps(document))
    path.chmod(0o600)


def saved(home: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((home / "auth-token.json").read_text())
    return document


def pages_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened in the browser from now on."""
    opened: list[str] = []

    def open_page(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("edge_connector.runtime.app.open_page", open_page)
    return opened


def codes(connector: ConnectorRuntime) -> list[str]:
    return [problem.code for problem in connector.board.problems]


async def ask(connector: ConnectorRuntime, method: str, **params: Any) -> Any:
    return await connector.commands.handle(method, params)


def desktop(home: Path, settings: dict[str, str], **options: Any) -> Any:
    return running_connector(
        home, settings, until_working=False, stay_without_credentials=True, is_desktop=True, **options
    )


async def test_a_desktop_signs_in_registers_itself_and_links_by_its_own_secret(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = pages_opened(monkeypatch)
    async with desktop(home, variables(platform), sign_in_at_start=True) as connector:
        await eventually(lambda: opened, what="the page opens")
        assert connector.sign_in.status.phase is SignInPhase.WAITING
        await eventually(lambda: connector.board.state is State.NEEDS_YOU, what="it says that it needs a person")
        shown = json.dumps(list(map(str, [connector.board.snapshot()])))
        code = opened[0].partition("user_code=")[2]
        assert code not in shown, "nobody who reads the status may approve it"

        again = await ask(connector, "auth.sign_in")
        assert (again["userCode"], again["address"]) == (code, opened[0]), "one sign-in, however often asked"
        await approve(platform, code)
        await eventually(lambda: connector.board.state in WORKING, what="it works")
        assert len(opened) == 1
        status = connector.board.snapshot()
        assert status.authorised.method == "deployment" and status.authorised.accepted
        assert status.authorised.source == str(home / "deployment-credentials.json")
        assert status.sign_in.phase is SignInPhase.SIGNED_IN and status.sign_in.renewable
        assert (await ask(connector, "auth.status"))["email"]
        assert status.problems == []
        deployment = status.authorised.deployment_id

    # The next start needs nobody and opens nothing.
    async with desktop(home, variables(platform), sign_in_at_start=True) as connector:
        await eventually(lambda: connector.board.state in WORKING, what="it works again")
        assert connector.board.snapshot().authorised.deployment_id == deployment
        assert len(opened) == 1

        # Signing out ends it at the platform and here; the link falls at once.
        refresh_token = saved(home)["refreshToken"]
        done = await ask(connector, "auth.sign_out")
        assert done["revoked"] is True and len(done["removedFrom"]) == 2
        await eventually(lambda: connector.board.state is State.NEEDS_YOU, what="it needs a person")
        assert not (home / "auth-token.json").exists() and not (home / "deployment-credentials.json").exists()
        assert connector.sign_in.status.phase is SignInPhase.NONE
        with pytest.raises(EdgeError):
            await renew(platform, refresh_token)
        assert len(opened) == 1


async def renew(platform: RunningPlatform, refresh_token: str) -> None:
    from edge_connector.platform_api import oauth

    body = oauth.TokenRequest(grant_type="refresh_token", refresh_token=refresh_token, client_id=oauth.CLIENT_ID)
    await platform.client.call(ops.OAUTH_TOKEN, body)


async def test_started_hidden_it_opens_nothing_and_says_what_it_needs(
    platform: RunningPlatform, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = pages_opened(monkeypatch)
    async with desktop(home, variables(platform)) as connector:
        await eventually(lambda: connector.board.state is State.NEEDS_YOU, what="it needs a person")
        [problem] = connector.board.problems
        assert problem.code == "needs_login" and "auth --browser" in problem.fix
        assert "No authentication token found" in problem.sentence
        assert connector.sign_in.status.phase is SignInPhase.NONE and opened == []


async def test_a_denied_sign_in_is_a_problem_with_a_cure(platform: RunningPlatform, home: Path) -> None:
    async with desktop(home, variables(platform)) as connector:
        begun = await ask(connector, "auth.sign_in")
        await approve(platform, begun["userCode"], yes=False)
        await eventually(lambda: "sign_in_failed" in codes(connector), what="the denial is shown")
        assert connector.sign_in.status.phase is SignInPhase.NONE
        assert not (home / "auth-token.json").exists()
        again = await ask(connector, "auth.sign_in")
        assert again["userCode"] != begun["userCode"] and "sign_in_failed" not in codes(connector)
        assert await ask(connector, "auth.cancel") == {"cancelled": True}
        await eventually(lambda: connector.sign_in.status.phase is SignInPhase.NONE, what="it is given up")


async def test_a_token_that_is_nearly_over_is_renewed_before_the_link_uses_it(
    platform: RunningPlatform, home: Path
) -> None:
    tokens = await signed_in(platform, platform.user_id)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    key = parts_of(platform).identity._key
    now = int(time.time())
    over = key.sign({**claims, "iat": now - 7200, "exp": now - 3600})
    save(home, token=over, refreshToken=tokens.refresh_token)
    async with running_connector(home, variables(platform)) as connector:
        status = connector.board.snapshot()
        assert status.authorised.method == "token" and status.sign_in.renewable
        assert saved(home)["token"] != over
        assert saved(home)["refreshToken"] != tokens.refresh_token


async def test_a_renewal_that_is_refused_for_good_needs_a_person(platform: RunningPlatform, home: Path) -> None:
    tokens = await signed_in(platform, platform.user_id)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    now = int(time.time())
    nearly = parts_of(platform).identity._key.sign({**claims, "iat": now - 3500, "exp": now + 100})
    save(home, token=nearly, refreshToken="ecr_never-issued-by-this-platform")
    async with running_connector(home, variables(platform), until_working=False) as connector:
        await eventually(lambda: "sign_in_ended" in codes(connector), what="the end is shown")
        [ended] = [problem for problem in connector.board.problems if problem.code == "sign_in_ended"]
        assert "Token validation failed" in ended.sentence
        await eventually(lambda: connector.board.state is State.NEEDS_YOU, what="it needs a person")
        assert "refreshToken" not in saved(home)


async def test_a_token_without_renewal_is_warned_about_ahead(platform: RunningPlatform, home: Path) -> None:
    tokens = await signed_in(platform, platform.user_id)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    now = int(time.time())
    soon = parts_of(platform).identity._key.sign({**claims, "iat": now - 80_000, "exp": now + 3000})
    save(home, token=soon)
    async with running_connector(home, variables(platform)) as connector:
        await eventually(lambda: codes(connector) == ["token_expires_soon"], what="the warning")
        [problem] = connector.board.problems
        assert problem.code == "token_expires_soon" and "minutes" in problem.sentence
        assert connector.board.state is State.WORKING_WITH_PROBLEMS

        # A better token is taken up at once, and the warning goes.
        save(home, token=tokens.access_token, refreshToken=tokens.refresh_token)
        await ask(connector, "auth.reload")
        await eventually(lambda: not connector.board.problems, what="the warning is gone")


async def test_a_locked_keyring_waits_and_goes_on_when_it_is_unlocked(
    platform: RunningPlatform, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_connector.runtime.sign_in.LOCKED_LOOK_S", 0.1)
    with session_keyring(tmp_path) as keyring:
        async with desktop(home, variables(platform)) as connector:
            begun = await ask(connector, "auth.sign_in")
            await approve(platform, begun["userCode"])
            await eventually(lambda: connector.board.state in WORKING, what="it works")
            assert connector.board.snapshot().authorised.source == "keyring"
            assert set(keyring.entries()) == {f"token of {home}", f"deployment of {home}"}
        keyring.lock()
        # As `run` does: nothing is missing for good, so it does not end.
        async with running_connector(
            home, variables(platform), until_working=False, exit_when_refused=True
        ) as connector:
            await eventually(lambda: connector.board.state is State.NEEDS_YOU, what="it waits")
            [problem] = connector.board.problems
            assert problem.code == "keyring_locked" and "locked: waiting" in problem.sentence
            await eventually(lambda: connector.sign_in.status.phase is SignInPhase.LOCKED, what="it says so")
            keyring.unlock()
            await eventually(lambda: connector.board.state in WORKING, what="it goes on by itself")
            assert connector.board.problems == []


async def test_a_rotated_secret_is_taken_up_while_the_old_one_still_serves(
    platform: RunningPlatform, home: Path
) -> None:
    from click.testing import CliRunner

    from edge_connector.auth.credentials import save_deployment
    from edge_connector.cli.auth import auth
    from edge_connector.config.loading import load

    made = await platform.deploy("edge")
    settings = variables(platform)
    save_deployment(load(home, settings), deployment_id=made.id, deployment_secret=made.secret)
    async with running_connector(home, settings) as connector:
        session = connector.board.snapshot().link.session_id
        await connector._uplink.credentials_changed("nothing changed")
        assert connector.board.snapshot().link.session_id == session, "the same credentials cut no link"
        result = await asyncio.to_thread(
            CliRunner().invoke, auth, ["rotate", "--json", "--dir", str(home)], env=settings, standalone_mode=False
        )
        assert result.exception is None, result.exception
        assert json.loads(result.stdout)["id"] == made.id
        new = json.loads((home / "deployment-credentials.json").read_text())["deploymentSecret"]
        WATCH.learn(new, "the new secret")
        assert new != made.secret and new not in result.output
        await eventually(
            lambda: connector.board.state in WORKING and connector.board.snapshot().link.session_id != session,
            what="it linked by the new secret",
        )
