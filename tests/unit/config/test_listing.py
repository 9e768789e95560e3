from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edge_connector.config.listing import (
    check,
    check_document,
    edit_document,
    edit_sentence,
    set_setting,
    show,
    unset_setting,
)
from edge_connector.config.settings import SETTINGS


def test_every_setting_is_listed_with_value_and_origin(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"logLevel": "debug"}')
    listing = show(tmp_path, {"HEALTH_PORT": "9000", "EC_API_TOKEN": "tok_secret"})
    assert [row.key for row in listing.rows] == [setting.key for setting in SETTINGS]
    rows = {row.key: (row.value, row.origin) for row in listing.rows}
    assert rows["healthPort"] == ("9000", "environment HEALTH_PORT")
    assert rows["logLevel"] == ("debug", "config.json")
    assert rows["toolTimeoutS"] == ("60", "default")
    assert rows["disableTray"] == ("false", "default")
    assert rows["toolEnvironment"] == ("empty", "default")
    assert rows["authTokenPath"] == (str(tmp_path / "auth-token.json"), "default")
    assert rows["apiToken"] == ("set", "environment EC_API_TOKEN")
    assert rows["deploymentSecret"] == ("not set", "default")
    assert {row.unit for row in listing.rows if row.key == "toolTimeoutS"} == {"seconds"}
    assert listing.problems == ()
    assert "tok_secret" not in repr(listing)


def test_wrong_values_are_listed_as_wrong(tmp_path: Path) -> None:
    listing = show(tmp_path, {"HEALTH_PORT": "many", "DEPLOYMENT_SECRET": "sec_xyz789"})
    rows = {row.key: row for row in listing.rows}
    assert rows["healthPort"].value == "wrong"
    assert rows["healthPort"].problem.startswith("HEALTH_PORT must be")
    assert rows["deploymentSecret"].value == "set"
    assert rows["deploymentSecret"].problem == rows["deploymentId"].problem != ""
    assert [problem.code for problem in listing.problems] == ["setting_wrong_type", "half_credentials"]


def test_the_listing_as_one_json_document(tmp_path: Path) -> None:
    document = json.loads(json.dumps(show(tmp_path, {"HEALTH_PORT": "x", "EC_API_TOKEN": "tok_secret"}).to_document()))
    assert document["schemaVersion"] == 1
    assert document["directory"] == str(tmp_path)
    assert document["settings"][0] == {
        "key": "toolRpcUrl",
        "value": "ws://localhost:3001",
        "origin": "default",
        "unit": "",
        "help": SETTINGS[0].help,
        "problem": "",
    }
    assert document["problems"][0].keys() == {"code", "message", "hint"}
    assert "tok_secret" not in str(document)


def test_set_and_unset_say_what_they_did(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    edit = set_setting(tmp_path, "deploymentSecret", "sec_xyz789", {})
    assert edit_sentence(edit, verb="set") == f"deploymentSecret is set in {file}. It counts from the next start."
    document = edit_document(edit)
    assert document["schemaVersion"] == 1
    assert document["changed"] is True
    assert document["file"] == str(file)
    assert [warning["code"] for warning in document["warnings"]] == ["half_credentials"]
    assert "sec_xyz789" not in str(document)
    again = set_setting(tmp_path, "deploymentSecret", "sec_xyz789", {})
    assert edit_sentence(again, verb="set") == f"deploymentSecret was set that way already in {file}."
    gone = unset_setting(tmp_path, "deploymentSecret", {})
    assert edit_sentence(gone, verb="unset") == f"deploymentSecret is unset in {file}. It counts from the next start."
    again = unset_setting(tmp_path, "deploymentSecret", {})
    assert edit_sentence(again, verb="unset") == f"deploymentSecret was not set in {file}."


def test_check_lists_problems_as_a_document(tmp_path: Path) -> None:
    assert check_document(tmp_path, check(tmp_path, {})) == {
        "schemaVersion": 1,
        "file": str(tmp_path / "config.json"),
        "valid": True,
        "problems": [],
    }
    (tmp_path / "config.json").write_text("{")
    document = check_document(tmp_path, check(tmp_path, {}))
    assert document["valid"] is False
    assert [problem["code"] for problem in document["problems"]] == ["config_not_json"]


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, edge_connector.config.listing; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"click", "rich", "aiohttp", "asyncio", "jwt", "psutil", "platformdirs", "websockets"})
