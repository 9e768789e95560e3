"""The wheel works on its own: code, resources, commands; and the base install stays small."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.documents import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, code: str) -> str:
    ended = subprocess.run(
        # -S would hide the libraries too: the wheel's own folder simply comes first.
        [sys.executable, "-c", code], cwd=site.parent, env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_resources_are_found_inside_the_wheel(unpacked: Path) -> None:
    code = "from edge_connector.core.resources import resource_path as p; print(p('samples/tools'))"
    assert run(unpacked, code) == str(unpacked / "edge_connector" / "_resources" / "samples" / "tools")


def test_resources_are_found_in_the_checkout() -> None:
    from edge_connector.core.resources import resource_path

    assert resource_path("samples/tools") == ROOT / "resources" / "samples" / "tools"


def test_resources_are_found_in_a_frozen_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_connector.core.resources import resource_path

    (tmp_path / "resources" / "samples").mkdir(parents=True)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert resource_path("samples") == tmp_path / "resources" / "samples"


def test_wheel_is_typed_and_licensed(unpacked: Path) -> None:
    assert (unpacked / "edge_connector" / "py.typed").exists()
    assert list(unpacked.glob("*.dist-info/licenses/LICENSE"))


def test_commands_run_from_the_wheel(unpacked: Path) -> None:
    code = "import sys; sys.argv=['edge-connector', '--version']; from edge_connector.cli.main import main; main()"
    assert run(unpacked, code).startswith("edge-connector 0.")


def test_base_install_has_no_qt_no_platform_server_and_no_broker_driver() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = " ".join(project["dependencies"]).lower()
    for name in ("pyside", "qasync", "pystray", "starlette", "uvicorn", "kafka", "nats", "redis", "grpc"):
        assert name not in base


def test_every_dependency_is_pinned_and_no_index_is_named() -> None:
    pins = (ROOT / "constraints.txt").read_text().lower()
    assert "http" not in pins.replace("httptools", "").replace("aiohttp", "")
    pinned = {line.partition("==")[0].replace("_", "-") for line in pins.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(item for group in project["optional-dependencies"].values() for item in group),
    ]
    names = {item.split(">")[0].split("=")[0].split("[")[0].split(";")[0].strip().lower() for item in wanted}
    assert names - {"edge-connector"} <= pinned


def test_the_connector_needs_no_platform_extra() -> None:
    """What `run` imports loads without starlette, uvicorn and jinja2."""
    code = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('starlette', 'uvicorn', 'jinja2', 'limits', 'uvloop'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import edge_connector.runtime.main, edge_connector.cli.table, edge_connector.cli.run\n"
        "print('ok')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "ok", ended.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['edge-connector', '--help']\n"
        "from edge_connector.cli.table import run; run(['--help'])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    for heavy in ("aiohttp", "websockets", "msgspec", "asyncio", "rich", "psutil", "jwt"):
        assert f"'{heavy}'" not in ended.stderr, f"--help imports {heavy}"
