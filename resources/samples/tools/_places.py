"""Where the sample tools may read: the folder `data` beside the folder of the tools, and nothing else.

A module whose name begins with `_` holds no tools; the others import it like any module beside them.
"""

from __future__ import annotations

from pathlib import Path

from edge_connector.tools import ToolError

DATA = (Path(__file__).resolve().parent.parent / "data").resolve()


def inside_data(path: str) -> Path:
    """The real path of `path`, which is relative to the data folder.

    Raises:
        ToolError: it leads out of the folder, also by `..` or a symbolic link, or does not exist.
    """
    try:
        target = (DATA / path).resolve()
    except (OSError, ValueError) as error:
        raise ToolError("path_invalid", f"{path!r} is no path: {error}.") from error
    if not target.is_relative_to(DATA):
        raise ToolError("path_outside", f"{path!r} leads out of the data folder.", hint="Use a path inside of it.")
    if not target.exists():
        raise ToolError("not_found", f"There is no {path!r} in the data folder.", hint="listFiles shows what is there.")
    return target
