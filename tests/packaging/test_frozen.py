"""The frozen build works where there is no Python: commands, demo, and tools on disk in both kinds of workers."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_connector import __version__
from tests.support.documents import ROOT
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.slow_packaging, pytest.mark.timeout(700)]

LARGEST_MB = 230
LEFT_OUT = {"_tkinter", "ensurepip", "idlelib", "lib2to3", "nis", "tkinter", "turtle", "turtledemo"}
"""Modules with a window of their own, installers, and what needs libraries of a dead network service."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a fresh machine's login gives: no Python, no variables of this checkout."""
    runtime = home / "run"
    runtime.mkdir(exist_ok=True)
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), **more}


def run(
    frozen: Path, *words: str, home: Path, deadline_s: float = 60.0, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(frozen / "edge-connector"), *words], env=environment(home, **more), cwd=home, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=deadline_s,
    )  # fmt: skip


def test_version_and_help(frozen: Path, tmp_path: Path) -> None:
    assert run(frozen, "--version", home=tmp_path).stdout == f"edge-connector {__version__}\n"
    shown = run(frozen, "--help", home=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "demo" in shown.stdout


def test_a_symbolic_link_to_it_works(frozen: Path, tmp_path: Path) -> None:
    link = tmp_path / "ec"
    link.symlink_to(frozen / "edge-connector")
    ended = subprocess.run(
        [str(link), "--version"], env=environment(tmp_path), capture_output=True, text=True, timeout=30
    )
    assert ended.stdout == f"edge-connector {__version__}\n"


def test_the_demo_succeeds(frozen: Path, tmp_path: Path) -> None:
    ended = run(frozen, "demo", "--once", "--json", "--dir", str(tmp_path / "demo"), home=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    document = json.loads(ended.stdout)
    assert document["connected"] is True
    assert document["calls"]
    assert all(call["ok"] for call in document["calls"])


@pytest.fixture(scope="module")
def serving(frozen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a demo that runs on, with our tools beside the samples."""
    home = tmp_path_factory.mktemp("serving")
    tools = home / "demo" / "connector" / "custom-implementations"
    shutil.copytree(ROOT / "resources" / "samples", tools)
    shutil.copyfile(Path(__file__).with_name("frozen_tools.py"), tools / "tools" / "frozen_tools.py")
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(frozen / "edge-connector"), "demo", "--dir", str(home / "demo")],
            env=environment(home, LD_LIBRARY_PATH="/opt/of/the/person"),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        eventually_sync(
            lambda: "Serving until" in (home / "log").read_text() or process.poll() is not None,
            what=f"the demo serves, see {home / 'log'}", deadline_s=60,
        )  # fmt: skip
        assert process.poll() is None, (home / "log").read_text()
        yield home
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(30) == 0, (home / "log").read_text()
        finally:
            process.kill()
            process.wait(30)


def call(frozen: Path, home: Path, tool: str) -> Any:
    connector = str(home / "demo" / "connector")
    ended = run(frozen, "call", tool, "--local", "--json", "--dir", connector, home=home, deadline_s=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)["result"]


def test_a_tool_may_import_the_whole_standard_library(frozen: Path, serving: Path) -> None:
    failed: dict[str, str] = call(frozen, serving, "importEverything")
    # What this interpreter itself lacks is of other systems, or was not built into it.
    missing = {name for name in sys.stdlib_module_names if importlib.util.find_spec(name) is None} | {
        "msilib",
        "nturl2path",
    }
    assert {name: why for name, why in failed.items() if name not in missing | LEFT_OUT} == {}


def test_asynchronous_tools_work(frozen: Path, serving: Path) -> None:
    assert call(frozen, serving, "useAsyncio") == {"system": "Linux", "thread": "5", "addresses": "True"}


def test_tools_may_use_every_kind_of_process_pool(frozen: Path, serving: Path) -> None:
    roots = [1, 2, 3]
    assert call(frozen, serving, "useProcesses") == {"fork": roots, "spawn": roots, "forkserver": roots}


def test_programs_that_a_tool_starts_get_the_person_s_library_path(frozen: Path, serving: Path) -> None:
    path = "/opt/of/the/person"
    assert call(frozen, serving, "libraryPath") == {"here": path, "child": path}


def test_tools_trust_the_certificates_of_the_system(frozen: Path, serving: Path) -> None:
    assert call(frozen, serving, "trustedCertificates") > 50


def test_the_folder_holds_what_it_needs_and_no_more(frozen: Path) -> None:
    files = [path for path in frozen.rglob("*") if not path.is_dir()]
    assert [path for path in files if path.is_symlink() and not path.exists()] == []
    names = " ".join(path.name for path in files)
    for left_out in ("libstdc++", "libgcc_s", "Qml", "Quick", "VirtualKeyboard", "libgtk", "pytest", "tkinter"):
        assert left_out not in names
    for kept in ("libqxcb.so", "libqoffscreen.so", "libqwayland.so", "libqsvgicon.so", "qtbase_de.qm", "LICENSE"):
        assert kept in names
    assert (frozen / "_internal/resources/samples/tools/files.py").is_file()
    megabytes = sum(path.lstat().st_size for path in files) / 1e6
    assert megabytes < LARGEST_MB
    print(f"the frozen folder has {megabytes:.0f} MB in {len(files)} files")


def desktop(frozen: Path, *words: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(frozen / "edge-connector-desktop"), *words], env=environment(home, **more), cwd=home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_desktop_program_answers_without_a_display(frozen: Path, tmp_path: Path) -> None:
    assert desktop(frozen, "--version", home=tmp_path).stdout == f"edge-connector-desktop {__version__}\n"
    assert "--hidden" in desktop(frozen, "--help", home=tmp_path, QT_QPA_PLATFORM="offscreen").stdout
    refused = desktop(frozen, "--dir", str(tmp_path / "ec"), home=tmp_path)
    assert refused.returncode != 0
    assert "edge-connector run" in refused.stderr


def test_the_desktop_program_hosts_a_connector_whose_workers_know_no_qt(frozen: Path, tmp_path: Path) -> None:
    directory = tmp_path / "ec"
    given = environment(tmp_path, QT_QPA_PLATFORM="offscreen", HEALTH_PORT="0", TOOL_RPC_URL="ws://127.0.0.1:9")
    given["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]  # Qt's socket names are too long for a test's folder
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(frozen / "edge-connector-desktop"), "--hidden", "--auto-resume", "--dir", str(directory)],
            env=given, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        eventually_sync(
            lambda: "tools serve" in logged(directory) or process.poll() is not None, what="the connector starts"
        )
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert "QT_PLUGIN_PATH" not in psutil.Process(process.pid).environ()
        workers = [child for child in psutil.Process(process.pid).children() if "tool-worker" in child.cmdline()]
        assert len(workers) >= 2
        for worker in workers:
            assert Path(worker.exe()) == frozen / "edge-connector"
            assert not [loaded.path for loaded in worker.memory_maps() if "Qt6" in loaded.path]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait(30)
    assert "Traceback" not in (tmp_path / "log").read_text() + logged(directory)


def logged(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.glob("logs/*.log"))
