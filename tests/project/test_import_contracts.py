"""Each import contract is kept, and each is seen to fail when it is broken on purpose."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.documents import ROOT

BREACHES: dict[str, tuple[str, str]] = {
    "rooms import only from the floors below": ("core/clock.py", "import edge_connector.config.settings"),
    "decisions are pure: no asyncio, sockets or files": ("runtime/state.py", "import asyncio"),
    "only link, runtime and platform_server speak the wire protocol": (
        "tools/calls.py",
        "import edge_connector.wire.messages",
    ),
    "the client side of websockets lives in link only": ("runtime/probe.py", "import websockets"),
    "what a tool author imports is light: core and msgspec": ("tools/api.py", "import aiohttp"),
    "Qt lives in desktop only": ("runtime/board.py", "import PySide6"),
}
"""For each contract a file and the import that breaks it."""


def test_every_contract_has_its_breach() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {contract["name"] for contract in project["tool"]["importlinter"]["contracts"]} == set(BREACHES)


@pytest.mark.parametrize("contract", BREACHES)
def test_broken_contract_is_reported(contract: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file, breach = BREACHES[contract]
    path = tmp_path / "app" / "edge_connector" / file
    path.write_text(f"{path.read_text()}\n{breach}\n")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "app"), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert f"{contract} BROKEN" in " ".join(ended.stdout.split()), ended.stdout
