from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from edge_connector.config.settings import BY_KEY, SETTINGS, Kind, Setting, Settings, nearest_key
from edge_connector.config.values import default_of

DOCUMENTED = {
    "TOOL_RPC_URL": "ws://localhost:3001",
    "NEXT_PUBLIC_TOOL_RPC_URL": "ws://localhost:3001",
    "PLATFORM_API_URL": "http://localhost:3000",
    "NEXT_PUBLIC_PLATFORM_API_URL": "http://localhost:3000",
    "AUTH_TOKEN_PATH": "./auth-token.json",
    "DEPLOYMENT_ID": None,
    "DEPLOYMENT_SECRET": None,
    "DEPLOYMENT_CREDENTIALS_PATH": "./deployment-credentials.json",
    "HEALTH_PORT": 8080,
    "EC_DISABLE_TRAY": False,
    "EC_DISABLE_AUTOSTART": False,
    "NARA_LOCAL_HOSTING_WEBHOOK_RELAY_EXPOSE_LAN": True,
    "CUSTOM_IMPLEMENTATIONS_PATH": "./custom-implementations",
    "DESKTOP_AUTH_BASE_URL": None,
}


def test_declarations_and_the_typed_result_name_the_same_settings() -> None:
    assert sorted(s.name for s in SETTINGS) == sorted(f.name for f in dataclasses.fields(Settings))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_each_default_has_the_type_that_settings_promise(setting: Setting, tmp_path: Path) -> None:
    promised = typing.get_type_hints(Settings)[setting.name]
    value = default_of(setting, directory=tmp_path)
    origin = typing.get_origin(promised)
    if origin is typing.Literal:
        assert value in typing.get_args(promised)
        assert setting.choices == typing.get_args(promised)
    elif origin is tuple:
        assert value == ()
    elif type(None) in typing.get_args(promised):
        assert value is None
    else:
        assert type(value) is promised or (promised is Path and isinstance(value, Path) and value.is_absolute())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_each_declaration_is_complete(setting: Setting) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", setting.name)
    assert setting.key == re.sub(r"_([a-z])", lambda m: m[1].upper(), setting.name)
    assert setting.variables
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", name) for name in setting.variables)
    assert setting.help.endswith(".")
    assert "|" not in setting.help
    assert (setting.kind is Kind.URL) == bool(setting.schemes)
    assert (setting.kind is Kind.CHOICE) == bool(setting.choices)
    assert (setting.kind in (Kind.INT, Kind.FLOAT)) == (setting.maximum > 0)
    assert setting.need


def test_no_name_key_variable_or_flag_is_used_twice() -> None:
    for words in (
        [s.name for s in SETTINGS],
        [key for s in SETTINGS for key in (s.key, *s.older_keys)],
        [name for s in SETTINGS for name in s.variables],
        [s.flag for s in SETTINGS],
    ):
        assert len(words) == len(set(words))


@pytest.mark.parametrize(("variable", "default"), DOCUMENTED.items())
def test_every_documented_variable_is_declared_with_its_default(variable: str, default: object) -> None:
    [setting] = [s for s in SETTINGS if variable in s.variables]
    assert setting.default == default


def test_every_documented_key_is_known() -> None:
    assert {
        "authTokenPath", "toolRpcUrl", "platformApiUrl", "desktopAuthBaseUrl", "deploymentCredentialsPath",
        "deploymentId", "deploymentSecret", "customImplementationsPath", "connectorType",
    } <= BY_KEY.keys()  # fmt: skip


def test_secrets_do_not_show_in_the_repr_of_settings(tmp_path: Path) -> None:
    values = {s.name: default_of(s, directory=tmp_path) for s in SETTINGS}
    for setting in SETTINGS:
        if setting.secret:
            values[setting.name] = "sec_xyz789"
    assert "sec_xyz789" not in repr(Settings(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("healtPort", "healthPort"),
        ("health_port", "healthPort"),
        ("HEALTH_PORT", "healthPort"),
        ("--health-port", "healthPort"),
        ("toolRPCURL", "toolRpcUrl"),
        ("customImplementationPath", "implementationsPath"),
        ("NEXT_PUBLIC_TOOL_RPC_URL", "toolRpcUrl"),
        ("colour", ""),
        ("", ""),
    ],
)
def test_the_nearest_key_is_found_by_any_spelling(word: str, key: str) -> None:
    assert nearest_key(word) == key


def test_flags_leave_the_unit_out() -> None:
    assert BY_KEY["toolTimeoutS"].flag == "--tool-timeout"
    assert BY_KEY["toolMemoryMb"].flag == "--tool-memory"
    assert BY_KEY["healthPort"].flag == "--health-port"
