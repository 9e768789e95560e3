"""Compiles the Windows installer of a frozen build: python build_installer.py dist/edge-connector dist

It writes the list of files that the uninstaller removes, and needs makensis (Debian package nsis).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NEEDED = ("edge-connector.exe", "edge-connector-desktop.exe", "_internal/LICENSE")


def main(payload: Path, target: Path) -> Path:
    """Compile the installer of `payload` into `target` and return its path."""
    missing = [name for name in NEEDED if not (payload / name).is_file()]
    if missing:
        raise SystemExit(f"error: {payload} is no frozen build for Windows: {', '.join(missing)} missing")
    version = program_version()
    target.mkdir(parents=True, exist_ok=True)
    installer = target.resolve() / f"edge-connector-{version}-setup.exe"
    with tempfile.TemporaryDirectory(prefix="edge-connector-nsis-") as folder:
        files = Path(folder) / "files.nsh"
        files.write_text(removal(payload), encoding="utf-8-sig")
        defines = {"VERSION": version, "PAYLOAD": payload.resolve(), "OUTPUT": installer, "FILES": files}
        command = ["makensis", "-V2", "-WX", *(f"-D{name}={value}" for name, value in defines.items())]
        subprocess.run([*command, str(HERE / "edge-connector.nsi")], check=True)
    return installer


def removal(payload: Path) -> str:
    """One instruction for each file of the payload, then for each folder that is empty by then."""
    lines = [f'Delete "$INSTDIR\\{spelled(path, payload)}"' for path in sorted(payload.rglob("*")) if path.is_file()]
    folders = sorted((path for path in payload.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    return "\n".join([*lines, *(f'RMDir "$INSTDIR\\{spelled(path, payload)}"' for path in folders), ""])


def spelled(path: Path, payload: Path) -> str:
    """A path as the script writes it: backslashes, and a dollar sign doubled."""
    return "\\".join(path.relative_to(payload).parts).replace("$", "$$")


def program_version() -> str:
    """The version in the sources."""
    found = re.search(r'__version__ = "([^"]+)"', (ROOT / "app" / "edge_connector" / "__init__.py").read_text())
    if found is None:
        raise SystemExit("error: app/edge_connector/__init__.py names no version")
    return found[1]


if __name__ == "__main__":
    sys.stdout.write(f"{main(Path(sys.argv[1]), Path(sys.argv[2]))}\n")
