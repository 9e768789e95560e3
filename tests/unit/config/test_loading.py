from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_connector.config.loading import LoadedConfig, Origin, OriginKind, load, unknown_setting, validate
from edge_connector.config.settings import SETTINGS
from edge_connector.core.errors import EdgeError, UserError


def write(directory: Path, document: object, mode: int = 0o600) -> Path:
    path = directory / "config.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(mode)
    return path


def refused(
    directory: Path, environ: dict[str, str] | None = None, flags: dict[str, object] | None = None
) -> EdgeError:
    with pytest.raises(UserError) as caught:
        load(directory, environ or {}, flags)
    assert caught.value.hint
    return caught.value


def test_an_empty_directory_gives_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, {})
    assert config.settings.tool_rpc_url == "ws://localhost:3001"
    assert config.settings.health_port == 8080
    assert config.settings.auth_token_path == tmp_path / "auth-token.json"
    assert config.settings.implementations_path == tmp_path / "custom-implementations"
    assert config.settings.webhook_relay_expose_lan is True
    assert config.settings.instance_name is None
    assert set(config.origins.values()) == {Origin(OriginKind.DEFAULT)}
    assert config.origins.keys() == {setting.name for setting in SETTINGS}
    assert config.warnings == ()
    assert config.paths.lock_file == tmp_path / "edge-runtime.lock"


def test_a_directory_that_does_not_exist_yet_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "new", {}).settings.health_port == 8080


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    def found(flags: dict[str, object], environ: dict[str, str]) -> tuple[int, str]:
        config = load(tmp_path, environ, flags)
        return config.settings.health_port, str(config.origins["health_port"])

    environ = {"HEALTH_PORT": "9002"}
    assert found({}, {}) == (8080, "default")
    write(tmp_path, {"healthPort": 9001})
    assert found({}, {}) == (9001, "config.json")
    assert found({}, environ) == (9002, "environment HEALTH_PORT")
    assert found({"health_port": 9003}, environ) == (9003, "flag --health-port")
    assert found({"health_port": "9003"}, environ) == (9003, "flag --health-port")
    assert found({"health_port": None}, environ) == (9002, "environment HEALTH_PORT")
    assert found({}, {"HEALTH_PORT": ""}) == (9001, "config.json")
    assert found({}, {"HEALTH_PORT": "  "}) == (9001, "config.json")


def test_the_fallback_variable_counts_only_while_the_first_is_unset(tmp_path: Path) -> None:
    second = {"NEXT_PUBLIC_TOOL_RPC_URL": "ws://second.example"}
    config = load(tmp_path, second)
    assert config.settings.tool_rpc_url == "ws://second.example"
    assert config.origins["tool_rpc_url"] == Origin(OriginKind.ENVIRONMENT, "NEXT_PUBLIC_TOOL_RPC_URL")
    both = load(tmp_path, {**second, "TOOL_RPC_URL": "ws://first.example"})
    assert both.settings.tool_rpc_url == "ws://first.example"
    assert load(tmp_path, {**second, "TOOL_RPC_URL": ""}).settings.tool_rpc_url == "ws://second.example"
    write(tmp_path, {"toolRpcUrl": "ws://file.example"})
    assert load(tmp_path, second).settings.tool_rpc_url == "ws://second.example"


def test_an_older_key_is_read_until_the_newer_one_is_set(tmp_path: Path) -> None:
    write(tmp_path, {"customImplementationsPath": "old"})
    config = load(tmp_path, {})
    assert config.settings.implementations_path == tmp_path / "old"
    assert config.warnings == ()
    write(tmp_path, {"customImplementationsPath": "old", "implementationsPath": "new"})
    config = load(tmp_path, {})
    assert config.settings.implementations_path == tmp_path / "new"
    [warning] = config.warnings
    assert warning.code == "older_key_ignored"
    assert warning.message == (
        "customImplementationsPath in config.json is ignored, because implementationsPath is set as well."
    )


def test_a_flag_may_be_a_path_or_a_list(tmp_path: Path) -> None:
    flags: dict[str, object] = {"auth_token_path": Path("t.json"), "tool_environment": ("PGHOST", "PGPORT")}
    config = load(tmp_path, {}, flags)
    assert config.settings.auth_token_path == tmp_path / "t.json"
    assert config.settings.tool_environment == ("PGHOST", "PGPORT")


def test_a_relative_directory_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Path("sub"), {}).settings.auth_token_path == tmp_path / "sub" / "auth-token.json"


def test_an_unknown_key_is_a_warning_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, {"healtPort": 9001})
    config = load(tmp_path, {})
    assert config.settings.health_port == 8080
    [warning] = config.warnings
    assert (warning.code, warning.message, warning.hint) == (
        "unknown_setting",
        "healtPort is not a setting (in config.json).",
        "Did you mean healthPort?",
    )
    with pytest.raises(UserError) as caught:
        load(tmp_path, {}, strict=True)
    assert caught.value.code == "unknown_setting"


def test_an_unknown_key_without_a_neighbour_points_to_the_list() -> None:
    assert unknown_setting("colour").hint == "See `edge-connector config show` for all settings."
    assert unknown_setting("a\nb").message == "'a\\nb' is not a setting."


def test_broken_json_stops_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "healthPort": 9000\n  "logLevel": "info"\n}')
    error = refused(tmp_path)
    assert error.code == "config_not_json"
    assert error.message == (
        f"{path} is not valid JSON: at line 3, column 3 a comma or a closing bracket was expected, "
        "but a text in double quotes was found."
    )
    assert error.hint == "Correct the file at this place."


def test_a_repeated_key_stops(tmp_path: Path) -> None:
    write(tmp_path, '{"healthPort": 1, "healthPort": 2}')
    error = refused(tmp_path)
    assert (error.code, error.message) == ("setting_repeated", "healthPort stands more than once in config.json.")


def test_a_wrong_flag_is_named_as_it_was_written(tmp_path: Path) -> None:
    error = refused(tmp_path, flags={"tool_timeout_s": "soon"})
    assert error.message == '--tool-timeout must be a number of seconds from 0.1 to 86400, but is "soon".'


def test_a_wrong_value_that_is_overridden_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, {"healthPort": "x"})
    assert load(tmp_path, {"HEALTH_PORT": "9000"}).settings.health_port == 9000


def test_an_undeclared_flag_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="which is no setting"):
        load(tmp_path, {}, {"colour": "red"})


@pytest.mark.parametrize(
    ("file", "environ", "message", "hint"),
    [
        ({}, {"DEPLOYMENT_ID": "dep_abc123"},
         "DEPLOYMENT_ID is set (environment DEPLOYMENT_ID), but DEPLOYMENT_SECRET is not set with it.",
         "Set both DEPLOYMENT_ID and DEPLOYMENT_SECRET, or neither."),
        ({}, {"DEPLOYMENT_SECRET": "sec_xyz789"},
         "DEPLOYMENT_SECRET is set (environment DEPLOYMENT_SECRET), but DEPLOYMENT_ID is not set with it.",
         "Set both DEPLOYMENT_ID and DEPLOYMENT_SECRET, or neither."),
        ({"deploymentId": "dep_abc123"}, {},
         "deploymentId is set (config.json), but deploymentSecret is not set with it.",
         "Set both deploymentId and deploymentSecret, or neither."),
        ({"deploymentSecret": "sec_xyz789"}, {"DEPLOYMENT_ID": ""},
         "deploymentSecret is set (config.json), but deploymentId is not set with it.",
         "Set both deploymentId and deploymentSecret, or neither."),
        ({"deploymentId": "dep_old", "deploymentSecret": "sec_xyz789"}, {"DEPLOYMENT_ID": "dep_new"},
         "DEPLOYMENT_ID is set (environment DEPLOYMENT_ID), but DEPLOYMENT_SECRET is not set with it.",
         "Set both DEPLOYMENT_ID and DEPLOYMENT_SECRET, or neither."),
    ],
)  # fmt: skip
def test_half_a_credential_pair_stops(
    tmp_path: Path, file: object, environ: dict[str, str], message: str, hint: str
) -> None:
    write(tmp_path, file)
    error = refused(tmp_path, environ)
    assert (error.code, error.message, error.hint) == ("half_credentials", message, hint)


def test_a_pair_may_keep_its_secret_in_the_environment(tmp_path: Path) -> None:
    write(tmp_path, {"deploymentId": "dep_abc123"})
    config = load(tmp_path, {"DEPLOYMENT_SECRET": "sec_xyz789"})
    assert (config.settings.deployment_id, config.settings.deployment_secret) == ("dep_abc123", "sec_xyz789")


def test_a_secret_in_a_readable_file_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, {"deploymentId": "dep_abc123", "deploymentSecret": "sec_xyz789"}, mode=0o644)
    [warning] = load(tmp_path, {}).warnings
    assert warning.code == "secret_readable_by_others"
    assert warning.message == f"{path} holds deploymentSecret and may be read by other users."
    assert warning.hint == f"Run: chmod 600 {path}"
    path.chmod(0o600)
    assert load(tmp_path, {}).warnings == ()


def test_validate_collects_every_problem(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"toolRpcUrl": "http://localhost:3001", "colour": 1, "healthPort": True, "deploymentId": "dep_abc123"},
    )
    found = validate(tmp_path, {"EC_TOOL_CONCURRENCY": "0"})
    assert [problem.code for problem in found] == [
        "url_wrong_scheme",
        "setting_out_of_range",
        "setting_wrong_type",
        "half_credentials",
        "unknown_setting",
    ]
    assert refused(tmp_path).code == found[0].code


def test_validate_reports_a_file_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    assert [problem.code for problem in validate(tmp_path, {})] == ["config_is_directory"]


def test_validate_finds_nothing_wrong_with_the_defaults(tmp_path: Path) -> None:
    assert validate(tmp_path, {}) == []


def test_secrets_show_neither_in_the_repr_nor_in_origins(tmp_path: Path) -> None:
    config = load(tmp_path, {"DEPLOYMENT_ID": "dep_abc123", "DEPLOYMENT_SECRET": "sec_xyz789", "EC_API_TOKEN": "tok_1"})
    assert "sec_xyz789" not in repr(config)
    assert "tok_1" not in repr(config)


def _load_bytes(content: bytes) -> LoadedConfig | None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_bytes(content)
        try:
            found = load(Path(folder), {})
        except EdgeError as error:
            assert error.message.endswith(".")
            assert error.hint
            assert validate(Path(folder), {})
            return None
        return found


near_json = st.dictionaries(
    st.sampled_from([s.key for s in SETTINGS]) | st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    ),
    max_size=4,
).map(lambda document: json.dumps(document).encode())


@settings(deadline=None, database=None, max_examples=300)
@given(st.binary(max_size=200) | near_json | st.tuples(near_json, st.binary(max_size=3)).map(b"".join))
def test_no_content_of_the_file_causes_anything_but_a_clear_error(content: bytes) -> None:
    _load_bytes(content)


@settings(deadline=None, database=None, max_examples=200)
@given(st.dictionaries(st.sampled_from([v for s in SETTINGS for v in s.variables]), st.text(max_size=20), max_size=4))
def test_no_environment_causes_anything_but_a_clear_error(environ: dict[str, str]) -> None:
    try:
        load(Path("/nonexistent"), environ)
    except EdgeError as error:
        assert error.hint


def test_provisioning_json_is_weaker_than_config_json(tmp_path: Path) -> None:
    packed = {
        "toolRpcUrl": "wss://packed.example",
        "platformApiUrl": "https://packed.example",
        "connectorType": "SERVER",
        "organizationName": "Acme",
    }
    (tmp_path / "provisioning.json").write_text(json.dumps(packed))
    (tmp_path / "config.json").write_text('{"platformApiUrl": "https://config.example"}')
    loaded = load(tmp_path, {"EC_CONNECTOR_TYPE": "DESKTOP"})
    assert loaded.settings.tool_rpc_url == "wss://packed.example"
    assert str(loaded.origins["tool_rpc_url"]) == "provisioning.json"
    assert loaded.settings.platform_api_url == "https://config.example"
    assert loaded.settings.connector_type == "DESKTOP"
    assert loaded.warnings == (), "whoever packed it may note more than settings"


def test_a_broken_provisioning_json_names_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "provisioning.json").write_text('{"healthPort": "many"}')
    with pytest.raises(UserError) as caught:
        load(tmp_path, {})
    assert "healthPort in provisioning.json" in caught.value.message
    (tmp_path / "provisioning.json").write_text("[]")
    with pytest.raises(UserError) as caught:
        load(tmp_path, {})
    assert caught.value.code == "provisioning_not_object"


def test_a_packed_secret_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "provisioning.json"
    path.write_text('{"deploymentId": "dep_1", "deploymentSecret": "sec_1"}')
    path.chmod(0o644)
    [warning] = load(tmp_path, {}).warnings
    assert warning.code == "secret_readable_by_others" and str(path) in warning.message
