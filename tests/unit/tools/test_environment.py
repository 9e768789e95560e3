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


def test_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_command() == [sys.executable, "-P", "-m", "edge_connector.tools.worker"]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert worker_command() == [sys.executable, "tool-worker"]
