"""The Debian package: valid parts, and installed, used, shown and removed on a minimal Debian that has no Python."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from edge_connector import __version__
from tests.packaging.debian import Root, copy_of
from tests.support.desktop_process import WINDOW
from tests.support.displays import PrivateDesktop, private_desktop
from tests.support.documents import ROOT
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.slow_packaging, pytest.mark.timeout(900)]

LARGEST_MB = 70
"""Packed in haste; the real package is a tenth smaller."""
WINDOW_HOME = "/home/worker/window"
START_S = 60.0
"""The first start of a frozen build reads 200 MB from the disk."""
EXIT_S = 30.0
FEWEST_COLOURS = 100
"""Text alone, smoothed, brings as many; an unpainted window has one."""


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


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[PrivateDesktop]:
    """A display outside the machine, seen through nothing but its socket."""
    with private_desktop(tmp_path / "desktop", bus=False) as opened:
        yield opened


@contextmanager
def socket_of_display(desktop: PrivateDesktop, machine: Root) -> Iterator[None]:
    """The display's socket, and no other, at the same place inside the machine."""
    name = f"tmp/.X11-unix/X{desktop.environment['DISPLAY'].removeprefix(':')}"
    inside = machine.folder / name
    inside.parent.mkdir(exist_ok=True)
    inside.touch()
    subprocess.run(["mount", "--bind", f"/{name}", str(inside)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", str(inside)], check=True, timeout=30)
        inside.unlink()


@pytest.fixture
def installed_for_windows(deb: Path, machine: Root) -> Iterator[Root]:
    """The machine with the package and exactly what it recommends."""
    names = [name.strip() for name in said("dpkg-deb", "-f", str(deb), "Recommends").split(",")]
    machine.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "/root/edge-connector.deb", *names)
    try:
        yield machine
    finally:
        machine.run("apt-get", "purge", "-y", "-qq", "edge-connector")
        machine.run("rm", "-rf", "/home/worker/demo", WINDOW_HOME)


def processes_inside(machine: Root) -> list[str]:
    """Whatever runs with the machine's root as its own."""
    root, found = machine.folder.resolve(), []
    for process in psutil.process_iter():
        try:
            if Path(os.readlink(f"/proc/{process.pid}/root")) == root:
                found.append(f"{process.pid}: {' '.join(process.cmdline())}")
        except (OSError, psutil.Error):
            continue  # it ended meanwhile
    return found


def state_of(machine: Root, settings: list[str]) -> str:
    """The connector's state by its own command, empty while it does not answer."""
    command = ("env", *settings, "edge-connector", "status", "--json", "--dir", WINDOW_HOME)
    document = machine.run(*as_worker(*command), check=False).stdout
    return str(json.loads(document).get("state", "")) if document else ""


def test_its_window_is_shown(installed_for_windows: Root, desktop: PrivateDesktop, tmp_path: Path) -> None:
    machine = installed_for_windows
    home = machine.folder / WINDOW_HOME.lstrip("/")
    user = machine.run("id", "-u", "worker").stdout.strip()
    session = {
        "HOME": "/home/worker", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "DISPLAY": desktop.environment["DISPLAY"],
        "XDG_RUNTIME_DIR": f"/run/user/{user}", "XDG_SESSION_TYPE": "x11", "HEALTH_PORT": "0",
    }  # fmt: skip
    machine.run("install", "-d", "-o", "worker", "-m", "700", session["XDG_RUNTIME_DIR"])
    settings = [f"{name}={value}" for name, value in session.items()]

    with socket_of_display(desktop, machine):
        demo = ("env", *settings, "edge-connector", "demo", "--once", "--json", "--dir", "/home/worker/demo")
        calls = json.loads(machine.run(*as_worker(*demo)).stdout)["calls"]
        assert calls and all(call["ok"] for call in calls)

        # No process in between: this one's id is the program's, and its end is the program's end.
        program = desktop.start(
            "chroot", "--userspec=worker", str(machine.folder), "env", "-i", *settings,
            "/usr/bin/edge-connector-desktop", "--dir", WINDOW_HOME,
        )  # fmt: skip

        def windows() -> list[str]:
            assert program.is_running, f"it ended:\n{program.log}"
            search = ("xdotool", "search", "--all", "--onlyvisible", "--pid", str(program.pid), "--name", WINDOW)
            return desktop.run(*search, check=False).split()

        window = eventually_sync(windows, what="its window", deadline_s=START_S)[0]
        picture = tmp_path / "window.png"

        def colours() -> int:
            desktop.run("import", "-window", window, str(picture))
            return int(desktop.run("identify", "-format", "%k", str(picture)))

        # The connector behind the window is there, and the window has been painted.
        eventually_sync(lambda: state_of(machine, settings) == "needs_you", what="the connector", interval_s=0.2)
        eventually_sync(lambda: colours() > FEWEST_COLOURS, what="a painted window", interval_s=0.2)
        assert (home / "edge-runtime.lock").exists()
        assert processes_inside(machine) != []

        os.kill(program.pid, signal.SIGTERM)
        assert program.wait(deadline_s=EXIT_S) == 0, program.log
        assert "Traceback" not in program.log, program.log
        eventually_sync(lambda: processes_inside(machine) == [], what="no process is left inside")
        assert not (home / "edge-runtime.lock").exists()
        assert [path.name for path in machine.folder.glob(f"run/user/{user}/**/*.sock")] == []
