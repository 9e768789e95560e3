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
    path = _address_in(_socket_folders()[0], directory)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise UserError(
            "socket_path_too_long",
            f"The path {path} is longer than the {MAX_SOCKET_PATH_BYTES} bytes a socket may have.",
            hint="Set XDG_RUNTIME_DIR to a shorter folder.",
        )
    return path


def possible_addresses(directory: Path) -> list[Path]:
    """Where a running connector of `directory` may listen, likeliest first.

    A connector that was started as a service or by cron may have had another `XDG_RUNTIME_DIR` than whoever looks.
    """
    return [_address_in(folder, directory) for folder in _socket_folders()]


def is_trusted_owner(uid: int, directory: Path) -> bool:
    """Whether a process of user `uid` may speak for `directory`: our own user, or whoever owns the directory.

    Temporary folders are open to all users: without this check another user could answer in the connector's place.
    """
    try:
        return uid in (os.getuid(), directory.stat().st_uid)
    except OSError:
        return uid == os.getuid()


def _address_in(folder: Path, directory: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:20]
    return folder / f"{digest}.sock"


def _socket_folders() -> list[Path]:
    """The folder that a connector of this user and environment binds in, then those of other environments."""
    folders = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and os.access(runtime, os.W_OK):
        folders.append(Path(runtime) / "edge-connector")
    folders.append(Path(tempfile.gettempdir()) / f"edge-connector-{os.getuid()}")
    folders.append(Path(f"/run/user/{os.getuid()}/edge-connector"))
    return list(dict.fromkeys(folders))


def prepare_folder(folder: Path) -> None:
    """Make the folder of the sockets, for this user only.

    Raises:
        UserError: it exists and somebody else may write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:  # a file or a link that leads nowhere; what is found there decides
        pass
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(
            "socket_folder_unsafe",
            f"{folder} belongs to another user or is no folder.",
            hint="Set XDG_RUNTIME_DIR to a folder of your own.",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
