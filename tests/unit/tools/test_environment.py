"""Secrets of the connector do not reach its tools."""

from __future__ import annotations

import sys

import pytest

from edge_connector.tools.environment import scrubbed_environment, worker_command


def test_secrets_stay_out() -> None:
    environment = {
        "PATH": "/bin", "LC_ALL": "C", "DEPLOYMENT_SECRET": "s", "EC_API_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "k",
        "SHOP_DB": "x", "SHOP_URL": "y", "HTTPS_PROXY": "http://user:pass@proxy:1", "HTTP_PROXY": "http://proxy:1",
    }  # fmt: skip
    assert scrubbed_environment(environment) == {"PATH": "/bin", "LC_ALL": "C", "HTTP_PROXY": "http://proxy:1"}
    assert set(scrubbed_environment(environment, ["SHOP_*"])) == {"PATH", "LC_ALL", "HTTP_PROXY", "SHOP_DB", "SHOP_URL"}


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
