"""The keyring and the vault over it, against a real gnome-keyring on a bus of the test's own."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from edge_connector.auth.credentials import (
    DeploymentCredentials,
    TokenCredentials,
    find_credentials,
    find_token,
    save_deployment,
    save_token,
)
from edge_connector.auth.keyring_access import Keyring, KeyringLocked, KeyringUnavailable, has_session_keyring
from edge_connector.auth.vault import KEYRING_FILE, Kind, Vault
from edge_connector.config.loading import LoadedConfig, load
from edge_connector.core.errors import EdgeError
from tests.support.session_keyring import SessionKeyring, session_keyring
from tests.unit.auth.test_credentials import NOW, PAIR, private, token


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SessionKeyring]:
    with session_keyring(tmp_path) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def saved_token(config: LoadedConfig) -> TokenCredentials:
    found = find_token(config, now=NOW)
    assert found is not None
    return found


def test_token_and_deployment_are_kept_in_the_keyring_under_the_directory(session: SessionKeyring, home: Path) -> None:
    config, fresh = load(home, {}), token(sub="usr_1")
    assert save_token(config, fresh, now=NOW, refresh_token="ecr_1234").source == "keyring"
    found = saved_token(config)
    assert (found.token, found.refresh_token, found.source) == (fresh, "ecr_1234", "keyring")
    assert (
        save_deployment(config, deployment_id="dep_1", deployment_secret="sec_1", registered_for="usr_1") == "keyring"
    )
    deployment = find_credentials(config, now=NOW)
    assert isinstance(deployment, DeploymentCredentials)
    assert (deployment.deployment_id, deployment.source, deployment.registered_for) == ("dep_1", "keyring", "usr_1")
    assert set(session.entries()) == {f"token of {home}", f"deployment of {home}"}
    assert [path.name for path in home.iterdir()] == [KEYRING_FILE]
    assert fresh not in (home / KEYRING_FILE).read_text()
    assert json.loads((home / KEYRING_FILE).read_text()) == {"kept": ["deployment", "token"]}


def test_installations_do_not_see_each_others_secrets(session: SessionKeyring, home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    mine, theirs = token(sub="usr_1"), token(sub="usr_2")
    save_token(load(home, {}), mine, now=NOW)
    save_token(load(other, {}), theirs, now=NOW)
    assert saved_token(load(home, {})).token == mine
    assert saved_token(load(other, {})).token == theirs
    # A copied directory brings its note along, but not the entry.
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / KEYRING_FILE).write_text((home / KEYRING_FILE).read_text())
    assert find_token(load(tmp_path / "copy", {}), now=NOW) is None


def test_a_locked_keyring_is_waiting_and_not_signed_out(session: SessionKeyring, home: Path) -> None:
    config = load(home, {})
    save_token(config, token(), now=NOW)
    session.lock()
    with pytest.raises(KeyringLocked) as caught:
        find_credentials(config, now=NOW)
    assert caught.value.code == "keyring_locked"
    assert "locked: waiting" in caught.value.message and "Unlock" in caught.value.hint
    with pytest.raises(KeyringLocked):
        save_token(config, token(sub="usr_2"), now=NOW)
    with pytest.raises(KeyringLocked):
        Vault(config).delete(Kind.TOKEN)
    session.unlock()
    assert saved_token(config).info.user == ""


def test_what_a_file_holds_needs_no_keyring(session: SessionKeyring, home: Path) -> None:
    private(home / "deployment-credentials.json", PAIR)
    session.lock()
    assert find_credentials(load(home, {}), now=NOW).source == str(home / "deployment-credentials.json")


@pytest.mark.parametrize(
    "headless", [{"AUTH_TOKEN_PATH": "./auth-token.json"}, {"EC_CONNECTOR_TYPE": "SERVER"}, {"EC_DISABLE_TRAY": "1"}]
)
def test_a_given_path_or_a_server_means_the_file(session: SessionKeyring, home: Path, headless: dict[str, str]) -> None:
    config = load(home, headless)
    save_token(config, token(), now=NOW)
    assert stat.S_IMODE((home / "auth-token.json").stat().st_mode) == 0o600
    assert session.entries() == {}
    assert not (home / KEYRING_FILE).exists()


def test_secrets_move_both_ways(session: SessionKeyring, home: Path) -> None:
    fresh = token(sub="usr_1")
    private(home / "auth-token.json", {"token": fresh, "refreshToken": "ecr_1234"})
    desktop, server = load(home, {}), load(home, {"EC_CONNECTOR_TYPE": "SERVER"})
    assert Vault(desktop).move(Kind.TOKEN, to_keyring=False) == "", "a service may need the file"
    assert Vault(desktop).move(Kind.TOKEN, to_keyring=True) == "keyring"
    assert Vault(desktop).move(Kind.TOKEN, to_keyring=True) == "", "it is there already"
    assert not (home / "auth-token.json").exists()
    assert (saved_token(desktop).token, saved_token(desktop).refresh_token) == (fresh, "ecr_1234")

    assert saved_token(server).source == "keyring", "reading tries both"
    assert Vault(server).move(Kind.TOKEN, to_keyring=True) == str(home / "auth-token.json")
    assert saved_token(server).refresh_token == "ecr_1234"
    assert session.entries() == {}
    assert not (home / KEYRING_FILE).exists()
    assert Vault(server).move(Kind.DEPLOYMENT, to_keyring=True) == ""


def test_what_was_asked_for_in_the_directory_is_a_file(session: SessionKeyring, home: Path) -> None:
    config = load(home, {})
    place = save_deployment(config, deployment_id="dep_1", deployment_secret="sec_1", to_file=True)
    assert place == str(home / "deployment-credentials.json") and session.entries() == {}


def test_deleting_forgets_every_place(session: SessionKeyring, home: Path) -> None:
    config = load(home, {})
    save_token(config, token(), now=NOW)
    private(home / "auth-token.json", {"token": token()})
    assert Vault(config).delete(Kind.TOKEN) == [str(home / "auth-token.json"), "keyring"]
    assert find_token(config, now=NOW) is None
    assert session.entries() == {}
    assert Vault(config).delete(Kind.TOKEN) == []


def test_without_a_keyring_a_private_file_is_used(home: Path) -> None:
    # The suite's environment has none.
    config = load(home, {})
    vault = Vault(config, environ={"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"})
    assert not vault.prefers_file(Kind.TOKEN)
    assert save_token(config, token(), now=NOW, vault=vault).source == str(home / "auth-token.json")


class Hanging(KeyringBackend):
    """Waits for a prompt that nobody answers, as long as it is told to."""

    priority = 1

    def __init__(self) -> None:
        self.answered = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.answered.wait(30)
        return "the secret"

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("not asked for")

    def delete_password(self, service: str, username: str) -> None:
        raise RuntimeError("the backend broke")


def test_a_prompt_that_nobody_answers_is_locked_and_the_next_question_does_not_pile_up(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Hanging()
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
    asking = Keyring(home, may_ask=True, timeout_s=0.05)
    threads = threading.active_count()
    for words in ("no answer within", "still waits", "still waits"):
        with pytest.raises(KeyringLocked) as caught:
            asking.read("token")
        assert words in caught.value.message
    assert threading.active_count() == threads + 1
    backend.answered.set()
    assert Keyring(home).read("token") == "the secret"
    with pytest.raises(KeyringUnavailable) as broken:
        Keyring(home).delete("token")
    assert "the backend broke" in broken.value.message


def test_an_entry_that_is_not_ours_is_said(session: SessionKeyring, home: Path) -> None:
    config = load(home, {})
    save_token(config, token(), now=NOW)
    Keyring(home).write("token", "not json")
    with pytest.raises(EdgeError) as caught:
        find_token(config, now=NOW)
    assert caught.value.code == "token_file_not_json" and "keyring" in caught.value.message
    assert "not json" not in caught.value.message


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}, "linux", True),
        ({"DISPLAY": ":0"}, "linux", False),
        ({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
    ],
)
def test_who_has_a_keyring(environ: dict[str, str], platform: str, expected: bool) -> None:
    assert has_session_keyring(environ, platform) is expected
