"""A minimal Debian in a folder, for installing packages and running build steps as a fresh machine would.

It needs root, as debootstrap and chroot do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
BOOTSTRAP_TIMEOUT_S = 900.0
NO_STARTS = "#!/bin/sh\nexit 101\n"
"""policy-rc.d(5) of a root in which no service shall start."""


def mirror() -> str:
    """The Debian mirror that apt of this machine uses."""
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if file.is_file():
            for address in re.findall(r"https?://[^\s\]]+/debian/?(?=\s)", file.read_text() + "\n"):
                return str(address)
    raise AssertionError("apt of this machine names no Debian mirror that debootstrap could use")


def bootstrap(folder: Path) -> None:
    """Fill `folder` with the smallest Debian that has apt: about 65 s."""
    command = ["debootstrap", "--variant=minbase", SUITE, str(folder), mirror()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=BOOTSTRAP_TIMEOUT_S)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    (folder / "usr/sbin/policy-rc.d").write_text(NO_STARTS)
    (folder / "usr/sbin/policy-rc.d").chmod(0o755)


@dataclass(frozen=True)
class Root:
    """A Debian that a test may change."""

    folder: Path

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, deadline_s: float = 300.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root."""
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive", **(environment or {}),
        }  # fmt: skip
        ended = subprocess.run(
            ["chroot", str(self.folder), *command],
            env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline_s,
        )  # fmt: skip
        if check:
            assert ended.returncode == 0, f"{' '.join(command)}:\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}"
        return ended

    def files(self) -> set[str]:
        """Every path inside but those of the kernel's file systems and of apt's and dpkg's own books."""
        found: set[str] = set()
        for base, folders, names in os.walk(self.folder):
            relative = base[len(str(self.folder)) :]
            if relative in ("/proc", "/dev", "/sys", "/var/lib/apt", "/var/lib/dpkg", "/var/cache", "/var/log", "/tmp"):
                folders.clear()
                continue
            found.update(f"{relative}/{name}" for name in (*folders, *names))
        return found


@contextmanager
def copy_of(original: Path, folder: Path) -> Iterator[Root]:
    """A copy of a Debian with what programs expect mounted; it is unmounted and removed at the end."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(original), str(folder)], check=True, timeout=300)
    shutil.copyfile("/etc/resolv.conf", folder / "etc/resolv.conf", follow_symlinks=True)
    mounts = [("proc", folder / "proc"), ("tmpfs", folder / "dev/shm")]
    mounted: list[Path] = []
    try:
        for kind, target in mounts:
            target.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", kind, kind, str(target)], check=True, timeout=30)
            mounted.append(target)
        yield Root(folder)
    finally:
        for target in reversed(mounted):
            subprocess.run(["umount", str(target)], check=True, timeout=30)
        shutil.rmtree(folder)
