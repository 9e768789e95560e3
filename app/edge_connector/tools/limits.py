"""What a worker does to itself before it runs foreign code: memory limit, adoption of orphans, a line to its parent.

Worker side only. Where the operating system lacks a call (macOS, Windows) that protection is left out.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def limit_memory(limit_bytes: int) -> None:
    """Let allocations beyond `limit_bytes` fail with `MemoryError` in this process and each of its children."""
    if sys.platform == "win32" or limit_bytes <= 0:
        return
    import resource

    # RLIMIT_DATA counts private writable memory; RLIMIT_AS would also count mapped libraries and files.
    what = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    _, hard = resource.getrlimit(what)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    try:
        resource.setrlimit(what, (limit, limit))
    except (ValueError, OSError):  # macOS refuses values below what is mapped already
        pass


def adopt_orphans() -> None:
    """Become the parent of descendants that detach themselves (double fork, setsid), so that they can be found."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """End this process soon after its parent died, even when foreign code holds the interpreter lock for ever.

    The watcher thread (`worker`) is the first line: it sees the end of the control line, kills the descendants and
    exits. This is the second: the kernel sends SIGQUIT (3) at the parent's death, whose handler is the C function
    `alarm` itself, so 3 seconds later SIGALRM ends the process without any Python code.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(signal.SIGQUIT, ctypes.cast(libc.alarm, ctypes.c_void_p))
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGQUIT), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # the parent died before the line was tied
