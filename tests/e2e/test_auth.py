"""`auth` as a person meets it: real processes, a scripted sign-in server, and a browser that notes its address."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import COMMAND, Finished, clean_environment, run_command
from tests.support.noting_browser import NotingBrowser
from tests.support.session_keyring import session_keyring
from tests.support.sign_in_server import SignInServer, sign_in_server
from tests.support.waiting import eventually


@pytest.fixture
async def server() -> AsyncIterator[SignInServer]:
    async with sign_in_server() as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path) -> NotingBrowser:
    return NotingBrowser(tmp_path)


def variables(server: SignInServer, **more: Any) -> dict[str, str]:
    return clean_environment(PLATFORM_API_URL=server.url, **more)


async def auth(server: SignInServer, home: Path, *words: str, **more: Any) -> Finished:
    return await run_command("auth", *words, environment=variables(server, **more), directory=home)


def kept(home: Path) -> Mapping[str, Any]:
    path = home / "auth-token.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document: Mapping[str, Any] = json.loads(path.read_text())
    return document


async def test_the_browser_opens_once_and_the_approved_token_is_kept(
    server: SignInServer, home: Path, browser: NotingBrowser
) -> None:
    signing_in = asyncio.ensure_future(auth(server, home, "--browser", "--json", BROWSER=browser.program))
    await eventually(lambda: browser.visits and len(server.asked) > 2, what="the browser opens and the program polls")
    assert not signing_in.done()
    server.approve()
    ended = await signing_in
    assert ended.code == 0
    assert browser.visits == [f"{server.url}/device?user_code=BDWP-HQPK"]
    document = ended.document
    assert document["signedIn"] and document["signatureChecked"] and document["renewable"]
    assert (document["user"], document["organizationId"]) == ("usr_1", "org_1")
    assert document["keptIn"] == str(home / "auth-token.json")
    assert set(kept(home)) == {"token", "refreshToken", "expiresAt"}
    assert "BDWP-HQPK" in ended.err and browser.visits[0] in ended.err


async def test_the_code_for_another_machine_opens_nothing_here(
    server: SignInServer, home: Path, browser: NotingBrowser
) -> None:
    server.approve()
    ended = await auth(server, home, "--device", BROWSER=browser.program)
    assert ended.code == 0 and browser.visits == []
    assert f"{server.url}/device?user_code=BDWP-HQPK" in ended.err
    assert "Signed in as ada@example.org for organization org_1." in ended.out
    assert "kept in" in ended.out


async def test_without_a_browser_the_address_is_shown(server: SignInServer, home: Path) -> None:
    server.approve()
    ended = await auth(server, home, "--browser", PATH="/nowhere", BROWSER="")
    assert ended.code == 0
    assert "on any machine" in ended.err and server.url in ended.err


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [("denied", "sign_in_denied", "denied on the approval page"), ("expired", "sign_in_expired", "page was closed")],
)
async def test_a_sign_in_that_is_not_approved_ends_clearly(
    server: SignInServer, home: Path, state: str, code: str, words: str
) -> None:
    server.state = state
    ended = await auth(server, home, "--device", "--json")
    assert (ended.code, ended.error["code"]) == (3, code)
    assert words in ended.error["message"] and ended.error["hint"]
    assert not home.exists() or not list(home.iterdir())


async def test_nobody_there_is_said(home: Path, server: SignInServer) -> None:
    ended = await run_command(
        "auth",
        "--device",
        "--json",
        environment=clean_environment(PLATFORM_API_URL="http://127.0.0.1:9"),
        directory=home,
    )
    assert (ended.code, ended.error["code"]) == (4, "platform_unreachable")
    assert "ECONNREFUSED" in ended.error["message"]


async def test_ctrl_c_ends_quietly(server: SignInServer, home: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "auth", "--device", "--dir", str(home), env=variables(server),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await eventually(lambda: len(server.asked) > 1, what="it polls")
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert out == b"" and b"Traceback" not in err and b"error" not in err


async def test_a_token_that_fails_the_checks_is_not_kept(server: SignInServer, home: Path) -> None:
    async with sign_in_server() as stranger:
        bad = {
            "nonsense": ("token_invalid", "Token validation failed"),
            server.token(exp=1_000_000_000): ("token_expired", "Token has expired"),
            server.token(orgId=""): ("token_without_organization", "no organization in token"),
            server.token(iat=4_000_000_000, exp=4_000_003_600): ("clock_skew", "clock says"),
            stranger.token(): ("token_invalid", "signature"),
        }
    for token, (code, words) in bad.items():
        path = home.parent / "given.json"
        path.write_text(json.dumps({"token": token}))
        ended = await auth(server, home, "--token", str(path), "--json")
        assert (ended.code, ended.error["code"]) == (3, code), words
        assert words in ended.error["message"] and ended.error["hint"]
        path.unlink()
        assert not (home / "auth-token.json").exists()


async def test_a_token_may_be_given_as_word_file_or_input(server: SignInServer, home: Path, tmp_path: Path) -> None:
    token = server.token(watched=False)  # a word of the command line, as it is documented
    path = tmp_path / "token.json"
    path.write_text(json.dumps({"token": token}))
    for given in (token, str(path)):
        ended = await auth(server, home, "-t", given, "--json")
        assert ended.code == 0 and not ended.document["renewable"]
        assert kept(home)["token"] == token
        (home / "auth-token.json").unlink()
    path.unlink()
    elsewhere = tmp_path / "keys" / "auth-token.json"
    assert (await auth(server, home, "-t", token, AUTH_TOKEN_PATH=elsewhere)).code == 0
    assert json.loads(elsewhere.read_text())["token"] == token


async def test_a_token_is_kept_when_the_platforms_keys_are_not_to_be_had(server: SignInServer, home: Path) -> None:
    ended = await run_command(
        "auth",
        "-t",
        server.token(watched=False),
        environment=clean_environment(PLATFORM_API_URL="http://127.0.0.1:9"),
        directory=home,
    )
    assert ended.code == 0 and "could not be checked" in ended.out
    assert kept(home)


async def test_status_and_logout(server: SignInServer, home: Path) -> None:
    nobody = await auth(server, home, "status", "--json")
    assert nobody.code == 3
    assert "No authentication token found" in nobody.document["problems"][0]["message"]
    server.approve()
    assert (await auth(server, home, "--device")).code == 0
    refresh_token = kept(home)["refreshToken"]

    there = await auth(server, home, "status", "--json")
    assert there.code == 0 and there.document["method"] == "token" and there.document["problems"] == []
    assert there.document["token"]["keptIn"] == str(home / "auth-token.json")
    assert there.document["token"]["expiresAt"] and there.document["token"]["renewable"]
    shown = await auth(server, home, "status")
    assert "ada@example.org" in shown.out and "renewed by itself" in shown.out

    out = await auth(server, home, "logout", "--json")
    assert out.code == 0 and out.document["removedFrom"] == [str(home / "auth-token.json")]
    assert server.revoked == [refresh_token]
    assert not (home / "auth-token.json").exists()
    assert (await auth(server, home, "status")).code == 3
    again = await auth(server, home, "logout")
    assert again.code == 0 and "Nobody is signed in here" in again.out


async def test_a_token_that_nobody_can_renew_is_warned_about_ahead(server: SignInServer, home: Path) -> None:
    server.life_s = 30 * 86_400
    token = server.token(watched=False, iat=int(server.wall()) - 25 * 86_400, exp=int(server.wall()) + 5 * 86_400 + 60)
    assert (await auth(server, home, "-t", token)).code == 0
    shown = await auth(server, home, "status")
    assert shown.code == 0 and "ends in 5 days" in shown.out and "auth --browser" in shown.out


async def test_rotate_exchanges_the_token(server: SignInServer, home: Path) -> None:
    nothing = await auth(server, home, "rotate", "--json")
    assert (nothing.code, nothing.error["code"]) == (3, "no_credentials")
    server.approve()
    await auth(server, home, "--device")
    before = kept(home)
    rotated = await auth(server, home, "rotate", "--json")
    assert rotated.code == 0 and rotated.document["rotated"] == "token"
    assert kept(home)["refreshToken"] != before["refreshToken"] and server.refreshed == 1
    server.refuse_refresh = "invalid_grant"
    refused = await auth(server, home, "rotate", "--json")
    assert (refused.code, refused.error["code"]) == (3, "sign_in_ended")
    assert "Token validation failed" in refused.error["message"]


async def test_a_secret_of_the_environment_is_not_rotated_here(server: SignInServer, home: Path) -> None:
    pair = {"DEPLOYMENT_ID": "dep_abc123", "DEPLOYMENT_SECRET": "sec_xyz789-from-elsewhere"}
    ended = await auth(server, home, "rotate", "--json", **pair)
    assert (ended.code, ended.error["code"]) == (1, "secret_kept_elsewhere")
    assert "DEPLOYMENT_SECRET" in ended.error["message"]


@pytest.mark.parametrize("words", [["--browser", "--device"], ["--interactive", "--browser"], []])
async def test_one_way_is_chosen(server: SignInServer, home: Path, words: list[str]) -> None:
    ended = await auth(server, home, *words, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")


async def test_the_guided_way_asks(server: SignInServer, home: Path, browser: NotingBrowser) -> None:
    server.approve()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "auth", "--interactive", "--dir", str(home), env=variables(server, BROWSER=browser.program),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(b"2\n")
    assert process.returncode == 0, err.decode()
    assert b"How do you want to sign in?" in err and b"Signed in" in out
    assert browser.visits == []


async def test_in_a_session_the_keyring_keeps_the_token_and_locked_is_not_signed_out(
    server: SignInServer, home: Path, tmp_path: Path
) -> None:
    server.approve()
    with session_keyring(tmp_path) as keyring:
        session = {name: keyring.environment[name] for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME")}
        ended = await auth(server, home, "--device", "--json", **session)
        assert ended.code == 0 and ended.document["keptIn"] == "keyring"
        assert list(keyring.entries()) == [f"token of {home}"]
        assert [path.name for path in home.iterdir()] == ["keyring.json"]
        there = await auth(server, home, "status", **session)
        assert there.code == 0 and "the keyring of your session" in there.out

        keyring.lock()
        locked = await auth(server, home, "status", "--json", **session)
        assert locked.code == 4
        [problem] = locked.document["problems"]
        assert problem["code"] == "keyring_locked" and "locked: waiting" in problem["message"]
        refused = await auth(server, home, "--device", "--json", **session)
        assert (refused.code, refused.error["code"]) == (4, "keyring_locked")
        assert len(server.forms) <= 3, "nobody was asked to approve what could not be kept"

        keyring.unlock()
        out = await auth(server, home, "logout", "--json", **session)
        assert out.code == 0 and out.document["removedFrom"] == ["keyring"]
        assert keyring.entries() == {}
