"""The command socket's path, derived from the installation directory so that it can be found without any file in it."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from edge_connector.core.errors import UserError

MAX_SOCKET_PATH_BYTES = 107
"""`sun_path` holds 108 bytes with its terminator on Linux (unix(7)), 104 on macOS."""


def control_address(directory: Path) -> Path:
    """The socket path for the connector of `directory`; nothing is created.

    Raises:
        UserError: the folder for sockets belongs to somebody else or its path is too long.
    """
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:20]
    path = _socket_folder() / f"{digest}.sock"
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise UserError(
            "socket_path_too_long",
            f"The path {path} is longer than the {MAX_SOCKET_PATH_BYTES} bytes a socket may have.",
            hint="Set XDG_RUNTIME_DIR to a shorter folder.",
        )
    return path


def _socket_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        return Path(runtime) / "edge-connector"
    return Path(tempfile.gettempdir()) / f"edge-connector-{os.getuid()}"


def prepare_folder(folder: Path) -> None:
    """Make the folder of the sockets, for this user only.

    Raises:
        UserError: it exists and somebody else may write to it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(
            "socket_folder_unsafe",
            f"{folder} belongs to another user.",
            hint="Set XDG_RUNTIME_DIR to a folder of your own.",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
