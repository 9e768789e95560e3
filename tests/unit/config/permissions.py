"""Acting as a user whom permission bits bind: they mean nothing to root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def as_ordinary_user() -> Iterator[Path]:
    """A new directory of a user who is not root, while the process acts as that user."""
    directory = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.chown(directory, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        yield directory
    finally:
        if is_root:
            os.seteuid(0)
        for folder in [directory, *(path for path in directory.rglob("*") if path.is_dir())]:
            folder.chmod(0o700)
        shutil.rmtree(directory)
