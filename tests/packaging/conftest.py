"""Real builds for the tests of packages, made once for each state of the sources and kept in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from tests.packaging import debian
from tests.support.documents import ROOT

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-connector-tests"
KEPT = 2
"""Builds of the same kind that stay in the cache."""
BUILD_TIMEOUT_S = 600.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow_packaging: builds and installs packages; the first run takes minutes")


@pytest.fixture(scope="session")
def frozen() -> Path:
    """The folder of the frozen build of these sources: about 60 s when it is made, at once when it is in the cache."""
    sources = [ROOT / "pyinstaller.spec", ROOT / "constraints.txt", ROOT / "LICENSE"]
    sources += [ROOT / name for name in ("app", "resources", "installers/frozen")]

    def build(folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        run_build(
            [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", "--distpath", str(folder),
             "--workpath", str(folder / "work"), str(ROOT / "pyinstaller.spec")],
            environment,
        )  # fmt: skip
        shutil.rmtree(folder / "work")

    return cached("frozen", sources, build) / "edge-connector"


@pytest.fixture(scope="session")
def deb(frozen: Path) -> Path:
    """The Debian package of the frozen build."""
    sources = [frozen, *(ROOT / name for name in ("installers/linux", "resources/icons", "docs/installation.md"))]

    def build(folder: Path) -> None:
        run_build(
            [sys.executable, str(ROOT / "installers/linux/build_deb.py"), str(frozen), str(folder), "1"], os.environ
        )

    (package,) = cached("deb", sources, build).glob("*.deb")
    return package


@pytest.fixture(scope="session")
def debian_root() -> Path:
    """A minimal Debian 12 that nobody changes; tests work on copies (`debian.copy_of`)."""
    return cached("debian", [], debian.bootstrap)


def cached(kind: str, sources: Iterable[Path], build: Callable[[Path], None]) -> Path:
    """The folder that `build` filled for exactly these sources; two runs at the same time build it once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"{kind}-{digest(sources)}"
    with (CACHE / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            unfinished = CACHE / f"{kind}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            build(unfinished)
            unfinished.rename(folder)
        os.utime(folder)
        builds = sorted(CACHE.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in builds[KEPT:]:
            shutil.rmtree(old)
    return folder


def digest(sources: Iterable[Path]) -> str:
    """A checksum over names and bytes of files and folders, and the interpreter."""
    found = hashlib.sha256(sys.version.encode())
    for source in sources:
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(f"\0{file.relative_to(source.parent)}\0{file.stat().st_mode:o}\0".encode())
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


def run_build(command: list[str], environment: Mapping[str, str]) -> None:
    """Run a build command; what it said is in the failure."""
    ended = subprocess.run(
        command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S
    )
    assert ended.returncode == 0, f"{' '.join(command)}:\n{ended.stdout[-2000:]}{ended.stderr[-4000:]}"
