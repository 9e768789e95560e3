from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_connector.config.settings import BY_KEY, SETTINGS, Setting
from edge_connector.config.values import parse_json, parse_text
from edge_connector.core.errors import EdgeError, UserError

HERE = Path("/srv/edge")


def text(key: str, value: str) -> object:
    return parse_text(BY_KEY[key], value, place=BY_KEY[key].variables[0], directory=HERE)


def from_file(key: str, value: object) -> object:
    return parse_json(BY_KEY[key], value, place=f"{key} in config.json", directory=HERE)


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("healthPort", "0", 0),
        ("healthPort", " 65535\n", 65535),
        ("toolTimeoutS", "2.5", 2.5),
        ("toolTimeoutS", "60", 60.0),
        ("disableTray", "1", True),
        ("disableTray", "TRUE", True),
        ("disableTray", "off", False),
        ("webhookRelayExposeLan", "0", False),
        ("connectorType", "server", "SERVER"),
        ("logLevel", "WARNING", "warning"),
        ("toolRpcUrl", "wss://rpc.example.org/edge?region=eu", "wss://rpc.example.org/edge?region=eu"),
        ("toolRpcUrl", "ws://[::1]:3001", "ws://[::1]:3001"),
        ("platformApiUrl", "https://bücher.example/", "https://bücher.example"),
        ("authTokenPath", "keys/token.json", HERE / "keys/token.json"),
        ("authTokenPath", "/run/token.json", Path("/run/token.json")),
        ("healthHost", "::", "::"),
        ("healthHost", "[::1]", "::1"),
        ("healthHost", "0.0.0.0", "0.0.0.0"),
        ("healthAllowedHosts", "a.example, b.example,,a.example", ("a.example", "b.example")),
        ("toolEnvironment", "PGHOST,ProgramFiles(x86)", ("PGHOST", "ProgramFiles(x86)")),
        ("deploymentSecret", "sec_xyz789\n", "sec_xyz789"),
        ("instanceName", "Halle 3 – Nord", "Halle 3 – Nord"),
    ],
)
def test_text_becomes_the_value(key: str, written: str, value: object) -> None:
    found = text(key, written)
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("healthPort", 0, 0),
        ("toolTimeoutS", 90, 90.0),
        ("disableTray", True, True),
        ("healthAllowedHosts", ["a.example", "10.0.0.1"], ("a.example", "10.0.0.1")),
        ("healthAllowedHosts", "a.example,b.example", ("a.example", "b.example")),
        ("toolEnvironment", [], ()),
    ],
)
def test_json_becomes_the_value(key: str, raw: object, value: object) -> None:
    assert from_file(key, raw) == value


def test_a_path_may_begin_with_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert text("authTokenPath", "~/token.json") == Path("/home/ada/token.json")


@pytest.mark.parametrize(
    ("key", "raw", "code", "message"),
    [
        ("healthPort", True, "setting_wrong_type",
         "healthPort in config.json must be a whole number from 0 to 65535, but is true."),
        ("healthPort", "9000", "setting_wrong_type",
         'healthPort in config.json must be a whole number from 0 to 65535, but is "9000".'),
        ("healthPort", 80.5, "setting_wrong_type",
         "healthPort in config.json must be a whole number from 0 to 65535, but is 80.5."),
        ("healthPort", None, "setting_wrong_type",
         "healthPort in config.json must be a whole number from 0 to 65535, but is null."),
        ("healthPort", [1], "setting_wrong_type",
         "healthPort in config.json must be a whole number from 0 to 65535, but is a list."),
        ("healthPort", 65536, "setting_out_of_range",
         "healthPort in config.json must be a whole number from 0 to 65535, but is 65536."),
        ("healthPort", -1, "setting_out_of_range",
         "healthPort in config.json must be a whole number from 0 to 65535, but is -1."),
        ("toolTimeoutS", 0, "setting_out_of_range",
         "toolTimeoutS in config.json must be a number of seconds from 0.1 to 86400, but is 0."),
        ("toolTimeoutS", float("inf"), "setting_out_of_range",
         "toolTimeoutS in config.json must be a number of seconds from 0.1 to 86400, but is Infinity."),
        ("disableTray", 1, "setting_wrong_type", "disableTray in config.json must be true or false, but is 1."),
        ("disableTray", "yes", "setting_wrong_type", 'disableTray in config.json must be true or false, but is "yes".'),
        ("toolRpcUrl", {}, "setting_wrong_type",
         "toolRpcUrl in config.json must be a URL that begins with ws:// or wss://, but is an object."),
        ("toolRpcUrl", "", "setting_empty", "toolRpcUrl in config.json is empty."),
        ("connectorType", "ROBOT", "setting_not_a_choice",
         'connectorType in config.json must be DESKTOP or SERVER, but is "ROBOT".'),
        ("authTokenPath", 7, "setting_wrong_type", "authTokenPath in config.json must be a path, but is 7."),
        ("authTokenPath", "a\0b", "setting_wrong_text",
         "authTokenPath in config.json holds a line break or another control character."),
        ("authTokenPath", "\ud800", "setting_wrong_text",
         "authTokenPath in config.json holds characters that cannot be encoded."),
        ("authTokenPath", "~nobody-of-that-name/x", "setting_wrong_path",
         "authTokenPath in config.json begins with ~, but that home directory is not known."),
        ("instanceName", "x" * 5000, "setting_wrong_text",
         "instanceName in config.json is longer than 4096 characters."),
        ("healthHost", "127.0.0.1:8080", "setting_wrong_host",
         'healthHost in config.json must be a host name or an address without a port, but is "127.0.0.1:8080".'),
        ("healthAllowedHosts", [1], "setting_wrong_type",
         "healthAllowedHosts in config.json must be a list of host names or addresses without ports, but holds 1."),
        ("healthAllowedHosts", 1, "setting_wrong_type",
         "healthAllowedHosts in config.json must be a list of host names or addresses without ports, but is 1."),
        ("toolEnvironment", ["A=1"], "setting_wrong_type",
         'toolEnvironment in config.json must be a list of names of environment variables, but holds "A=1".'),
        ("deploymentId", "dep:1", "setting_wrong_text",
         'deploymentId in config.json must be one word of visible ASCII characters without a colon, but is "dep:1".'),
    ],
)  # fmt: skip
def test_a_wrong_json_value_is_named_with_what_is_needed(key: str, raw: object, code: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        from_file(key, raw)
    assert (caught.value.code, caught.value.message) == (code, message)
    assert caught.value.hint


@pytest.mark.parametrize("written", ["abc", "8_080", "８０８０", "0x50", "80.0", "1e3", "9" * 30])
def test_a_port_in_the_environment_is_decimal_digits(written: str) -> None:
    with pytest.raises(UserError) as caught:
        text("healthPort", written)
    assert caught.value.code == "setting_wrong_type"
    assert caught.value.message.startswith("HEALTH_PORT must be a whole number from 0 to 65535, but is ")


def test_the_error_of_a_variable_names_the_variable() -> None:
    with pytest.raises(UserError) as caught:
        text("disableTray", "maybe")
    assert caught.value.message == 'EC_DISABLE_TRAY must be true or false, but is "maybe".'
    assert caught.value.hint == "The default is false."


@pytest.mark.parametrize(
    ("key", "url", "code", "message", "hint"),
    [
        ("toolRpcUrl", "http://localhost:3001", "url_wrong_scheme",
         'TOOL_RPC_URL must be a URL that begins with ws:// or wss://, but is "http://localhost:3001".',
         "Use ws://localhost:3001."),
        ("toolRpcUrl", "HTTPS://rpc.example.org/x", "url_wrong_scheme",
         'TOOL_RPC_URL must be a URL that begins with ws:// or wss://, but is "HTTPS://rpc.example.org/x".',
         "Use wss://rpc.example.org/x."),
        ("platformApiUrl", "wss://platform.example", "url_wrong_scheme",
         'PLATFORM_API_URL must be a URL that begins with http:// or https://, but is "wss://platform.example".',
         "Use https://platform.example."),
        ("toolRpcUrl", "localhost:3001", "url_wrong_scheme",
         'TOOL_RPC_URL must be a URL that begins with ws:// or wss://, but is "localhost:3001".',
         "Use ws://localhost:3001."),
        ("toolRpcUrl", "ftp://a.example", "url_wrong_scheme",
         'TOOL_RPC_URL must be a URL that begins with ws:// or wss://, but is "ftp://a.example".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://", "url_without_host", 'TOOL_RPC_URL names no host: "ws://".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://:3001", "url_without_host", 'TOOL_RPC_URL names no host: "ws://:3001".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://a..b", "url_wrong_host", 'TOOL_RPC_URL names a host that cannot exist: "ws://a..b".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://localhost:99999", "url_wrong_port",
         'TOOL_RPC_URL must name a port from 1 to 65535 or none, but is "ws://localhost:99999".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://localhost:abc", "url_wrong_port",
         'TOOL_RPC_URL must name a port from 1 to 65535 or none, but is "ws://localhost:abc".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://localhost:0", "url_wrong_port",
         'TOOL_RPC_URL must name a port from 1 to 65535 or none, but is "ws://localhost:0".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://localhost:", "url_wrong_port",
         'TOOL_RPC_URL must name a port from 1 to 65535 or none, but is "ws://localhost:".',
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://[::1", "url_malformed", "TOOL_RPC_URL is not a URL.",
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://local host", "url_malformed", "TOOL_RPC_URL is not a URL.",
         "The default is ws://localhost:3001."),
        ("toolRpcUrl", "ws://localhost#x", "url_malformed",
         "TOOL_RPC_URL must end with its path, but goes on with ? or #.", "The default is ws://localhost:3001."),
        ("desktopAuthBaseUrl", "https://a.example/?t=1", "url_malformed",
         "DESKTOP_AUTH_BASE_URL must end with its path, but goes on with ? or #.",
         "The default is http://platform.example."),
    ],
)  # fmt: skip
def test_a_wrong_url_is_told_apart(key: str, url: str, code: str, message: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        text(key, url)
    assert (caught.value.code, caught.value.message, caught.value.hint) == (code, message, hint)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as caught:
        text("toolRpcUrl", "http://ada:hunter2@rpc.example.org:99999")
    assert caught.value.code == "url_with_credentials"
    assert caught.value.message == "TOOL_RPC_URL must not hold a user name or a password."
    assert "hunter2" not in str(caught.value.to_document())


@pytest.mark.parametrize("url", ["http://rpc.example.org?token=hunter2", "ws://localhost:0?token=hunter2"])
def test_the_query_of_a_url_is_not_repeated(url: str) -> None:
    with pytest.raises(UserError) as caught:
        text("toolRpcUrl", url)
    assert "hunter2" not in str(caught.value.to_document())


@pytest.mark.parametrize("raw", ["two words", "sécret", 17, ["s"], "x" * 5000, "a\nb", ""])
def test_a_secret_is_never_repeated(raw: object) -> None:
    with pytest.raises(UserError) as caught:
        from_file("deploymentSecret", raw)
    said = str(caught.value.to_document())
    assert "deploymentSecret in config.json" in said
    for part in ("two words", "sécret", "17", "xxx"):
        assert part not in said


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
urls = st.tuples(st.sampled_from(["ws://", "http://", "wss:", "", "//"]), st.text(max_size=30)).map("".join)


@settings(deadline=None, database=None, max_examples=300)
@given(st.sampled_from(SETTINGS), anything | urls)
def test_any_json_value_is_taken_or_refused_in_one_sentence(setting: Setting, raw: object) -> None:
    try:
        parse_json(setting, raw, place=setting.key, directory=HERE)
    except EdgeError as error:
        assert error.message.startswith(setting.key)
        assert error.message.endswith(".")
        assert "\n" not in error.message
        assert error.hint


@settings(deadline=None, database=None, max_examples=300)
@given(st.sampled_from(SETTINGS), st.text(alphabet=st.characters(codec=None)) | urls)
def test_any_text_is_taken_or_refused_in_one_sentence(setting: Setting, written: str) -> None:
    try:
        parse_text(setting, written, place=setting.key, directory=HERE)
    except EdgeError as error:
        assert error.message.startswith(setting.key)
        assert error.hint
