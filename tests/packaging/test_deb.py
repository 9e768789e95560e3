"""The Debian package: valid parts, and installed, used and removed on a minimal Debian that has no Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_connector import __version__
from tests.packaging.debian import Root, copy_of
from tests.support.documents import ROOT
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.slow_packaging, pytest.mark.timeout(900)]

LARGEST_MB = 70
"""Packed in haste; the real package is a tenth smaller."""


def said(*command: str, environment: dict[str, str] | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def unpacked(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb") / "tree"
    said("dpkg-deb", "-x", str(deb), str(folder))
    return folder


def test_everything_belongs_to_root_and_nobody_else_may_write(deb: Path) -> None:
    lines = said("dpkg-deb", "-c", str(deb)).splitlines()
    assert len(lines) > 100
    for line in lines:
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        # Everybody reads, only root writes; links show all bits.
        assert mode[0] == "l" or mode in ("drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"), line


def test_control_names_what_the_programs_need(deb: Path) -> None:
    fields = dict(re.findall(r"^(\S+): (.*)$", said("dpkg-deb", "-f", str(deb)), re.MULTILINE))
    assert fields["Version"] == __version__
    assert re.search(r"libc6 \(>= 2\.\d+\)", fields["Depends"])
    for needed in ("ca-certificates", "libstdc++6", "libgcc-s1"):
        assert needed in fields["Depends"]
    for window in ("libgl1", "libegl1", "libxcb1"):
        assert window in fields["Recommends"]
        assert window not in fields["Depends"]
    assert deb.stat().st_size < LARGEST_MB * 1e6


def test_the_desktop_s_files_are_valid(unpacked: Path, tmp_path: Path) -> None:
    share = unpacked / "usr/share"
    assert said("desktop-file-validate", str(share / "applications/edge-connector.desktop")) == ""
    (metainfo,) = (share / "metainfo").iterdir()
    said("appstreamcli", "validate", "--no-net", str(metainfo))
    assert __version__ in metainfo.read_text()
    icons = {path.parent.parent.name for path in (share / "icons/hicolor").rglob("edge-connector.*")}
    assert {"scalable", "16x16", "48x48", "256x256"} <= icons
    # The unit is checked with a program in place of the one that is not installed here.
    unit = unpacked / "usr/lib/systemd/user/edge-connector.service"
    assert "/usr/bin/edge-connector run" in unit.read_text()
    copy = tmp_path / "edge-connector.service"
    copy.write_text(unit.read_text().replace("/usr/bin/edge-connector", "/bin/true"))
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ("systemd-analyze", "--user", "--recursive-errors=no", "verify", str(copy))
    assert said(*command, environment=environment) == ""


@pytest.mark.parametrize("script", ["prerm", "postinst"])
def test_scripts_are_plain_shell(script: str) -> None:
    said("sh", "-n", str(ROOT / "installers/linux/deb" / script))


@pytest.fixture(scope="module")
def machine(deb: Path, debian_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A minimal Debian with a user, and with what the package depends on."""
    with copy_of(debian_root, tmp_path_factory.mktemp("machine") / "root") as root:
        (root.folder / "root/edge-connector.deb").write_bytes(deb.read_bytes())
        root.run("useradd", "--create-home", "worker")
        root.run("apt-get", "update", "-qq")
        depends = said("dpkg-deb", "-f", str(deb), "Depends")
        names = [re.sub(r"\(.*?\)", "", name).strip() for name in depends.split(",")]
        root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *names)
        yield root


def as_worker(*command: str) -> tuple[str, ...]:
    """The command as an ordinary user with a login's environment."""
    return ("runuser", "-u", "worker", "--", "env", "HOME=/home/worker", *command)


def test_install_use_and_remove(machine: Root) -> None:
    assert machine.run("sh", "-c", "command -v python3 python", check=False).stdout == ""
    before = machine.files()
    machine.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/root/edge-connector.deb")
    assert machine.run(*as_worker("edge-connector", "--version")).stdout == f"edge-connector {__version__}\n"

    demo = machine.run(*as_worker("edge-connector", "demo", "--once", "--json", "--dir", "/home/worker/demo"))
    document = json.loads(demo.stdout)
    failed = {call["tool"]: call for call in document["calls"] if not call["ok"]}
    assert document["calls"]
    assert failed == {}

    # While it serves, removing the package ends it in order first.
    serving = subprocess.Popen(
        ["chroot", str(machine.folder), *as_worker("edge-connector", "demo", "--dir", "/home/worker/demo")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin"},
    )  # fmt: skip
    try:
        log = machine.folder / "home/worker/demo/demo.log"
        starts = log.read_text().count("connecting -> working")
        eventually_sync(lambda: log.read_text().count("connecting -> working") > starts, what="the demo works")
        removed = machine.run("apt-get", "purge", "-y", "-qq", "edge-connector")
        assert "ending the running connector" in removed.stdout
        out, _ = serving.communicate(timeout=10)
        assert (serving.returncode, "Stopping." in out) == (0, True), out
    finally:
        serving.kill()
        serving.wait(10)

    left = machine.files() - before
    assert {path for path in left if not path.startswith("/home/worker/demo")} == set()
    assert before - machine.files() <= {"/opt"}  # dpkg takes a folder away that is empty and belongs to no package
    machine.run("rm", "-r", "/home/worker/demo")
