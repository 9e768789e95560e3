from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_connector.auth.credentials import (
    ApiToken,
    DeploymentCredentials,
    TokenCredentials,
    find_api_access,
    find_credentials,
    find_token,
    save_deployment,
    save_token,
)
from edge_connector.config.loading import LoadedConfig, load
from edge_connector.core.errors import EdgeError, NeedsLogin, UserError
from tests.unit.config.permissions import as_ordinary_user

NOW = float(int(time.time()))
KEY = Ed25519PrivateKey.generate()
PAIR = {"deploymentId": "dep_abc123", "deploymentSecret": "sec_xyz789"}


def token(**claims: object) -> str:
    return jwt.encode({"orgId": "org_1", "exp": NOW + 3600, **claims}, KEY, algorithm="EdDSA")


def private(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    return path


def refused(config: LoadedConfig) -> EdgeError:
    with pytest.raises(EdgeError) as caught:
        find_credentials(config, now=NOW)
    assert caught.value.hint
    return caught.value


def test_the_pair_comes_before_the_file_before_the_token(tmp_path: Path) -> None:
    saved = token()
    private(tmp_path / "auth-token.json", {"token": saved, "savedAt": "2026-01-01"})
    found = find_credentials(load(tmp_path, {}), now=NOW)
    assert isinstance(found, TokenCredentials)
    assert found.authorization_header == f"Bearer {saved}"
    assert found.info.organization_id == "org_1"
    assert found.source == str(tmp_path / "auth-token.json")

    private(tmp_path / "deployment-credentials.json", PAIR)
    found = find_credentials(load(tmp_path, {}), now=NOW)
    assert isinstance(found, DeploymentCredentials)
    assert found.authorization_header == "Deployment dep_abc123:sec_xyz789"
    assert found.source == str(tmp_path / "deployment-credentials.json")

    environ = {"DEPLOYMENT_ID": "dep_env", "DEPLOYMENT_SECRET": "sec:with:colons"}
    found = find_credentials(load(tmp_path, environ), now=NOW)
    assert found.authorization_header == "Deployment dep_env:sec:with:colons"
    assert found.source == "environment DEPLOYMENT_ID"


def test_the_pair_may_stand_in_config_json(tmp_path: Path) -> None:
    private(tmp_path / "config.json", PAIR)
    found = find_credentials(load(tmp_path, {}), now=NOW)
    assert found.authorization_header == "Deployment dep_abc123:sec_xyz789"
    assert found.source == "config.json"


def test_files_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    private(tmp_path / "keys" / "pair.json", PAIR)
    config = load(tmp_path, {"DEPLOYMENT_CREDENTIALS_PATH": "keys/pair.json"})
    assert find_credentials(config, now=NOW).source == str(tmp_path / "keys" / "pair.json")


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    saved = token()
    private(tmp_path / "auth-token.json", {"token": saved})
    shown = repr(find_credentials(load(tmp_path, {}), now=NOW))
    private(tmp_path / "deployment-credentials.json", PAIR)
    shown += repr(find_credentials(load(tmp_path, {}), now=NOW))
    shown += repr(find_api_access(load(tmp_path, {"EC_API_TOKEN": "tok_secret"}), now=NOW))
    for secret in (saved, "sec_xyz789", "tok_secret"):
        assert secret not in shown
    assert "dep_abc123" in shown


def test_nothing_found_names_the_places(tmp_path: Path) -> None:
    error = refused(load(tmp_path, {}))
    assert isinstance(error, NeedsLogin)
    assert (error.code, error.exit_code) == ("no_credentials", 3)
    assert error.message == (
        f"No authentication token found: neither {tmp_path}/deployment-credentials.json nor "
        f"{tmp_path}/auth-token.json exists, and DEPLOYMENT_ID and DEPLOYMENT_SECRET are not set."
    )
    assert error.hint == ("Run `edge-connector auth --browser`, or set DEPLOYMENT_ID and DEPLOYMENT_SECRET.")


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ({}, "credentials_incomplete", "PATH has no deploymentId."),
        ({"deploymentId": "dep_abc123"}, "credentials_incomplete", "PATH has no deploymentSecret."),
        ({**PAIR, "deploymentSecret": 5}, "setting_wrong_type",
         "deploymentSecret in PATH must be one word of visible ASCII characters, but is a number."),
        ({**PAIR, "deploymentSecret": "sec xyz789"}, "setting_wrong_text",
         "deploymentSecret in PATH must be one word of visible ASCII characters, but is text."),
        ({**PAIR, "deploymentId": ""}, "setting_empty", "deploymentId in PATH is empty."),
        ({**PAIR, "deploymentId": "a:b"}, "setting_wrong_text",
         'deploymentId in PATH must be one word of visible ASCII characters without a colon, but is "a:b".'),
        ([], "credentials_not_object", "PATH holds a list, but must hold one JSON object."),
        ("sec_xyz789", "credentials_not_json",
         "PATH is not valid JSON: at line 1, column 1 a value was expected, but a word without quotes was found."),
    ],
)  # fmt: skip
def test_a_broken_credentials_file_stops(tmp_path: Path, content: object, code: str, message: str) -> None:
    path = private(tmp_path / "deployment-credentials.json", content)
    private(tmp_path / "auth-token.json", {"token": token()})
    error = refused(load(tmp_path, {}))
    assert isinstance(error, UserError)
    assert (error.code, error.message) == (code, message.replace("PATH", str(path)))
    assert "xyz789" not in str(error.to_document())


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ({}, "token_invalid", "Token validation failed: the token field of PATH is missing."),
        ({"token": None}, "token_invalid",
         "Token validation failed: the token field of PATH is null, but must be text."),
        ({"token": "abc"}, "token_invalid",
         "Token validation failed: a token has three parts separated by dots, this one has 1."),
        ("eyJhbGciOi.x.y", "token_file_not_json",
         "PATH is not valid JSON: at line 1, column 1 a value was expected, but a word without quotes was found."),
    ],
)  # fmt: skip
def test_a_broken_token_file_stops(tmp_path: Path, content: object, code: str, message: str) -> None:
    path = private(tmp_path / "auth-token.json", content)
    error = refused(load(tmp_path, {}))
    assert (error.code, error.message) == (code, message.replace("PATH", str(path)))


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "auth-token.json").mkdir()
    assert refused(load(tmp_path, {})).code == "token_file_is_directory"
    (tmp_path / "deployment-credentials.json").mkdir()
    assert refused(load(tmp_path, {})).code == "credentials_is_directory"


def test_an_expired_saved_token_names_where_the_next_one_belongs(tmp_path: Path) -> None:
    path = private(tmp_path / "auth-token.json", {"token": token(exp=NOW - 7200)})
    error = refused(load(tmp_path, {}))
    assert error.code == "token_expired"
    assert error.message.startswith("Token has expired at ")
    assert error.message.endswith("(2 hours ago).")
    assert error.hint == (
        f"Run `edge-connector auth --browser` or `edge-connector auth --token <new-token>`. It is kept in {path}."
    )


def test_files_that_others_may_read_are_a_warning(tmp_path: Path) -> None:
    path = private(tmp_path / "deployment-credentials.json", PAIR)
    assert find_credentials(load(tmp_path, {}), now=NOW).warnings == ()
    path.chmod(0o640)
    [warning] = find_credentials(load(tmp_path, {}), now=NOW).warnings
    assert warning.code == "secret_readable_by_others"
    assert warning.message == f"{path} may be read by other users (mode 0640)."
    assert warning.hint == f"Run: chmod 600 {path}"


def test_files_that_may_not_be_read_stop() -> None:
    with as_ordinary_user() as directory:
        path = private(directory / "deployment-credentials.json", PAIR)
        path.chmod(0)
        error = refused(load(directory, {}))
        assert error.code == "credentials_unreadable"
        assert error.message == f"{path} may not be read by this user."
        path.unlink()
        private(directory / "auth-token.json", {"token": token()}).chmod(0)
        assert refused(load(directory, {})).code == "token_file_unreadable"


def test_a_saved_token_is_private_and_found_again(tmp_path: Path) -> None:
    config = load(tmp_path, {"AUTH_TOKEN_PATH": "keys/token.json"})
    assert find_token(config, now=NOW) is None
    saved = token(sub="user_7")
    assert save_token(config, saved, now=NOW).info.user == "user_7"
    assert stat.S_IMODE((tmp_path / "keys" / "token.json").stat().st_mode) == 0o600
    found = find_token(config, now=NOW)
    assert found is not None
    assert found.token == saved
    assert found.warnings == ()


def test_a_token_that_fails_is_not_saved(tmp_path: Path) -> None:
    config = load(tmp_path, {})
    for wrong in ("abc", token(exp=NOW - 7200), token(orgId="")):
        with pytest.raises(NeedsLogin):
            save_token(config, wrong, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_pair_is_private_and_found_again(tmp_path: Path) -> None:
    config = load(tmp_path, {})
    path = save_deployment(config, deployment_id="dep_abc123", deployment_secret="sec_xyz789")
    assert path == str(tmp_path / "deployment-credentials.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    found = find_credentials(config, now=NOW)
    assert found.authorization_header == "Deployment dep_abc123:sec_xyz789"
    assert found.warnings == ()


@pytest.mark.parametrize(("name", "secret"), [("", "s"), ("a:b", "s"), ("a", ""), ("a", "two words")])
def test_a_pair_that_cannot_be_sent_is_not_saved(tmp_path: Path, name: str, secret: str) -> None:
    with pytest.raises(UserError):
        save_deployment(load(tmp_path, {}), deployment_id=name, deployment_secret=secret)
    assert list(tmp_path.iterdir()) == []


def test_requests_carry_the_api_token_else_the_saved_one(tmp_path: Path) -> None:
    with pytest.raises(NeedsLogin) as caught:
        find_api_access(load(tmp_path, {}), now=NOW)
    assert caught.value.message == (
        f"No authentication token found: EC_API_TOKEN is not set and {tmp_path}/auth-token.json does not exist."
    )
    saved = token()
    private(tmp_path / "auth-token.json", {"token": saved})
    assert find_api_access(load(tmp_path, {}), now=NOW).authorization_header == f"Bearer {saved}"
    found = find_api_access(load(tmp_path, {"EC_API_TOKEN": "tok_secret"}), now=NOW)
    assert found == ApiToken("tok_secret", "environment EC_API_TOKEN")
    assert found.authorization_header == "Bearer tok_secret"


def test_a_deployment_that_was_kept_here_is_newer_than_the_packed_one(tmp_path: Path) -> None:
    private(tmp_path / "provisioning.json", {"deploymentId": "dep_packed", "deploymentSecret": "sec_packed"})
    assert find_credentials(load(tmp_path, {}), now=NOW).source == "provisioning.json"
    save_deployment(load(tmp_path, {}), deployment_id="dep_packed", deployment_secret="sec_rotated")
    found = find_credentials(load(tmp_path, {}), now=NOW)
    assert found.authorization_header == "Deployment dep_packed:sec_rotated"
    private(tmp_path / "config.json", PAIR)
    assert find_credentials(load(tmp_path, {}), now=NOW).source == "config.json"
