"""Files that are whole or not there: write beside, sync, rename."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edge_connector.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` with `data` so that a reader or a crash sees the old bytes or the new ones, never a mix.

    Raises:
        UserError: the directory cannot be written or the disk is full; the old file is untouched.
    """
    with explain_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                _write_synced(file, data)
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _write_synced(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def explain_os_error(path: Path) -> Iterator[None]:
    """Turn what the operating system says about `path` into one sentence with a next step.

    Raises:
        UserError: with code `disk_full`, `not_writable`, `not_a_directory` or `file_error`.
    """
    try:
        yield
    except OSError as error:
        raise os_error_as_user_error(error, path) from error


def os_error_as_user_error(error: OSError, path: Path) -> UserError:
    """The sentence and the cure for an `OSError` met on `path`."""
    import errno

    named = error.filename if isinstance(error.filename, str) and str(path) not in str(error.filename) else path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            "disk_full", f"No space left on the disk that holds {named}.", hint="Free some space and try again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = (
            "is on a read-only file system" if error.errno == errno.EROFS else "may not be read or written by this user"
        )
        return UserError(
            "not_writable",
            f"{named} {reason}.",
            hint="Give this user the rights, or choose another directory with --dir or EC_HOME.",
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(
            "not_a_directory", f"{named} is a file where a directory is needed.", hint="Choose another path."
        )
    return UserError("file_error", f"{named}: {error.strerror or error}.", hint="Check the path and its file system.")
