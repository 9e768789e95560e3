"""Where the files that ship with the program are: in a checkout, an editable install, a wheel or a frozen build."""

from __future__ import annotations

import sys
from pathlib import Path

from edge_connector.core.errors import Fatal

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_path(name: str) -> Path:
    """The path of the shipped file or folder `name`, e.g. `samples/tools`.

    A wheel carries the resources inside the package, a frozen build beside its code, a checkout at the top level.

    Raises:
        Fatal: the installation is incomplete.
    """
    for root in _roots():
        candidate = root / name
        if candidate.exists():
            return candidate
    raise Fatal(
        "resource_missing",
        f"The shipped file {name} is missing from this installation.",
        hint="Install the program again.",
    )


def _roots() -> list[Path]:
    roots = [_PACKAGE / "_resources", _PACKAGE.parent.parent / "resources"]
    frozen = getattr(sys, "_MEIPASS", None)
    if frozen:
        roots.insert(0, Path(frozen) / "resources")
    return roots
