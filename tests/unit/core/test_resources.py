from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_connector.core import resources
from edge_connector.core.errors import Fatal
from edge_connector.core.resources import resource_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder as `app/edge_connector` in a checkout."""
    folder = tmp_path / "app" / "edge_connector"
    folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", folder)
    return folder


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_checkout(package: Path) -> None:
    file = put(package.parent.parent / "resources" / "samples" / "a.py")
    assert resource_path("samples/a.py") == file
    assert resource_path("samples") == file.parent


def test_wheel(package: Path) -> None:
    file = put(package / "_resources" / "a")
    assert resource_path("a") == file


def test_frozen_build(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(package / "_resources" / "a")
    file = put(tmp_path / "bundle" / "resources" / "a")
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "bundle"), raising=False)
    assert resource_path("a") == file


def test_an_incomplete_installation_is_named(package: Path) -> None:
    with pytest.raises(Fatal) as caught:
        resource_path("samples/missing.py")
    assert caught.value.code == "resource_missing"
    assert "samples/missing.py" in caught.value.message and caught.value.hint


def test_this_installation_has_its_resources() -> None:
    assert resource_path(".").is_dir()
