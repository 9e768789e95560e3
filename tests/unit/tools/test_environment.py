"""Secrets of the connector do not reach its tools."""

from __future__ import annotations

import sys

import pytest

from edge_connector.config.settings import SETTINGS
from edge_connector.tools.environment import scrubbed_environment, worker_command


def test_secrets_stay_out() -> None:
    environment = {
        "PATH": "/bin", "LC_ALL": "C", "DEPLOYMENT_SECRET": "s", "EC_API_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "k",
        "SHOP_DB": "x", "SHOP_URL": "y", "HTTPS_PROXY": "http://user:pass@proxy:1", "HTTP_PROXY": "http://proxy:1",
    }  # fmt: skip
    assert scrubbed_environment(environment) == {"PATH": "/bin", "LC_ALL": "C", "HTTP_PROXY": "http://proxy:1"}
    assert set(scrubbed_environment(environment, ["SHOP_*"])) == {"PATH", "LC_ALL", "HTTP_PROXY", "SHOP_DB", "SHOP_URL"}


OWN_SECRETS = [name for setting in SETTINGS if setting.secret for name in setting.variables]


def test_own_secrets_pass_by_their_full_name_alone() -> None:
    assert {"DEPLOYMENT_SECRET", "EC_API_TOKEN"} <= set(OWN_SECRETS)
    environment = dict.fromkeys(OWN_SECRETS, "a secret") | {"EC_TOOL_SETTING": "1", "https_proxy": "http://u:p@proxy:1"}
    assert scrubbed_environment(environment) == {}
    assert scrubbed_environment(environment, ["EC_*", "DEPLOYMENT_*"]) == {"EC_TOOL_SETTING": "1"}
    for name in (*OWN_SECRETS, "https_proxy"):
        assert scrubbed_environment(environment, [name]) == {name: environment[name]}


def test_an_interpreter_starts_the_module_as_its_worker() -> None:
    assert worker_command() == [sys.executable, "-P", "-m", "edge_connector.tools.worker"]


@pytest.mark.parametrize(
    ("running", "started"),
    [
        ("/opt/ec/edge-connector", "/opt/ec/edge-connector"),
        ("/opt/ec/edge-connector-desktop", "/opt/ec/edge-connector"),
        ("/opt/ec/edge-connector-desktop.exe", "/opt/ec/edge-connector.exe"),
    ],
)
def test_a_frozen_program_starts_the_command_as_its_worker(
    monkeypatch: pytest.MonkeyPatch, running: str, started: str
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", running)
    assert worker_command() == [started, "tool-worker"]
