"""Builds the Debian package of a frozen build, without root: python build_deb.py dist/edge-connector dist [LEVEL]

LEVEL is that of xz, 6 unless given: 52 MB in about 100 s on two cores; 1 takes a fifth of the time and makes 60 MB.
It needs dpkg-deb, and readelf of binutils to find what the programs need of the system.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGE = "edge-connector"
OPT = Path("opt") / PACKAGE

DEPENDS = ["ca-certificates"]
"""Files that the program reads and no linker knows."""
RECOMMENDS = ["fontconfig-config", "fonts-dejavu-core", "libgl1", "libegl1", "xkb-data"]
"""The same for the window; libgl1 and libegl1 are loaded when a window is drawn."""

CONTROL = """\
Package: {package}
Version: {version}
Architecture: {architecture}
Maintainer: The Edge Connector authors <edge-connector@localhost>
Installed-Size: {size}
Depends: {depends}
Recommends: {recommends}
Section: net
Priority: optional
Description: runs the tools an AI platform calls on this machine
 The Edge Connector dials out to a platform over one WebSocket, runs the tools
 that are called there in processes of their own next to files, databases and
 devices that only this machine can reach, and sends the results back.
 .
 The package holds the command edge-connector, which needs no display, and the
 tray application edge-connector-desktop, for which the recommended packages
 are needed. It brings its own Python and Qt.
"""
COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Edge Connector

Files: *
Copyright: The Edge Connector authors
License: Apache-2.0
 On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.
Comment: The folder /opt/edge-connector/_internal also holds Python, Qt (LGPL-3) and libraries of other authors; the
 licenses of the Python packages lie there in their *.dist-info folders.
"""


WINDOW_ONLY = {"PIL", "PySide6", "edge-connector-desktop", "pillow.libs", "shiboken6"}
"""Folders and files of the window: what only they need is recommended, so that a server can do without."""


@dataclass(frozen=True)
class Needs:
    """What a program or library needs.

    Attributes:
        sonames: libraries by name.
        glibc: the newest symbol version of the C library, as numbers; empty for none.
    """

    sonames: set[str]
    glibc: tuple[int, ...]


def main(frozen: Path, target: Path, level: str = "6") -> Path:
    """Build the package of `frozen` in `target`, packed by xz at `level`, and return its path."""
    version = program_version()
    architecture = output("dpkg", "--print-architecture")
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    with tempfile.TemporaryDirectory(prefix="edge-connector-deb-") as folder:
        tree = Path(folder) / "tree"
        lay_out(frozen, tree, version, epoch)
        depends, recommends = packages_needed(tree / OPT)
        size = sum(path.lstat().st_size for path in tree.rglob("*") if not path.is_dir()) // 1024
        control = tree / "DEBIAN"
        control.mkdir()
        (control / "control").write_text(
            CONTROL.format(
                package=PACKAGE, version=version, architecture=architecture, size=size,
                depends=", ".join(depends), recommends=", ".join(recommends),
            )
        )  # fmt: skip
        for script in ("prerm", "postinst"):
            install(HERE / "deb" / script, control / script, mode=0o755)
        for path in sorted(tree.rglob("*"), reverse=True):
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        target.mkdir(parents=True, exist_ok=True)
        package = target / f"{PACKAGE}_{version}_{architecture}.deb"
        command = ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", f"-z{level}", str(tree), str(package)]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        )
    return package


def lay_out(frozen: Path, tree: Path, version: str, epoch: int) -> None:
    """Put every file of the package where it is installed."""
    shutil.copytree(frozen, tree / OPT, symlinks=True)
    for path in (tree / OPT).rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    share = tree / "usr" / "share"
    programs = tree / "usr" / "bin"
    programs.mkdir(parents=True)
    for name in ("edge-connector", "edge-connector-desktop"):
        (programs / name).symlink_to(f"/{OPT}/{name}")
    install(HERE / "edge-connector.desktop", share / "applications" / "edge-connector.desktop")
    install(HERE / "edge-connector.service", tree / "usr" / "lib" / "systemd" / "user" / "edge-connector.service")
    day = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    metainfo = (HERE / "edge-connector.metainfo.xml").read_text().replace("@VERSION@", version).replace("@DATE@", day)
    write(share / "metainfo" / "org.edge_connector.edge_connector.metainfo.xml", metainfo.encode())
    icons = ROOT / "resources" / "icons"
    for icon in icons.glob("edge-connector-*.png"):
        pixels = icon.stem.rpartition("-")[2]
        install(icon, share / "icons" / "hicolor" / f"{pixels}x{pixels}" / "apps" / "edge-connector.png")
    install(icons / "edge-connector.svg", share / "icons" / "hicolor" / "scalable" / "apps" / "edge-connector.svg")
    documents = share / "doc" / PACKAGE
    write(documents / "copyright", COPYRIGHT.encode())
    write(documents / "changelog.gz", gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=epoch))
    install(ROOT / "docs" / "installation.md", documents / "installation.md")


def packages_needed(folder: Path) -> tuple[list[str], list[str]]:
    """The packages that the command needs, and those that only the window needs on top."""
    files = {path.name: path for path in folder.rglob("*") if not path.is_symlink() and path.is_file() and is_elf(path)}
    needs = {name: needs_of(path) for name, path in files.items()}
    programs = {name for name, path in files.items() if not is_library(path)}
    window = {name for name in programs if WINDOW_ONLY & set(files[name].parts)}
    of_command = reached(programs - window, needs)
    of_window = reached(programs, needs) - of_command
    glibc = ".".join(map(str, max(need.glibc for need in needs.values())))
    depends = {
        f"libc6 (>= {glibc})" if name == "libc6" else name for name in map(package_of, of_command - files.keys())
    }
    recommends = {package_of(name) for name in of_window - files.keys()} - {"libc6"} | set(RECOMMENDS)
    depends |= set(DEPENDS)
    return sorted(depends), sorted(recommends - depends)


def reached(names: set[str], needs: dict[str, Needs]) -> set[str]:
    """The files and libraries that are loaded with some files, themselves included."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        if name in needs:
            waiting |= needs[name].sonames - found
    return found


def needs_of(path: Path) -> Needs:
    """What one ELF file asks of others."""
    said = output("readelf", "--wide", "--dynamic", "--version-info", str(path))
    versions = [tuple(map(int, found.split("."))) for found in re.findall(r"Name: GLIBC_([\d.]+)", said)]
    return Needs(set(re.findall(r"\(NEEDED\).*\[(.+?)\]", said)), max(versions, default=()))


def is_library(path: Path) -> bool:
    """Whether a file is there only because others load it."""
    return re.fullmatch(r"lib.+\.so(\.\d+)*", path.name) is not None and "plugins" not in path.parts


def package_of(soname: str) -> str:
    """The installed package that brings a library."""
    for line in output("/sbin/ldconfig", "-p").splitlines():
        if line.split()[:1] == [soname]:
            file = Path(line.rpartition("=> ")[2])
            # dpkg knows a file by the path in its package, which may be the one before /lib became a link.
            names = {
                str(file),
                str(file.resolve()),
                *(str(path).removeprefix("/usr") for path in (file, file.resolve())),
            }
            for name in sorted(names | {f"/usr{other}" for other in names}):
                found = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True, check=False)
                if found.returncode == 0:
                    return found.stdout.partition(":")[0]
    raise SystemExit(f"error: no installed package brings {soname}")


def is_elf(path: Path) -> bool:
    """Whether a file is a program or library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def program_version() -> str:
    """The version in the sources."""
    text = (ROOT / "app" / "edge_connector" / "__init__.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        raise SystemExit("error: app/edge_connector/__init__.py names no version")
    return found[1]


def install(source: Path, target: Path, *, mode: int = 0o644) -> None:
    """Copy one file."""
    write(target, source.read_bytes(), mode=mode)


def write(target: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write one file, its folders open to everybody."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    target.chmod(mode)


def output(*command: str) -> str:
    """What a command prints."""
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    return ended.stdout.strip()


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])}\n")
