"""What a worker is started with: the command line, and an environment without the connector's secrets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from edge_connector.config.settings import SETTINGS

_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV",
    "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "SYSTEMROOT", "COMSPEC", "PATHEXT", "ODBCINI", "ODBCSYSINI", "TNS_ADMIN", "NO_PROXY", "no_proxy",
)  # fmt: skip
"""Names without which ordinary programs do not run or run in the wrong language; none carries a secret."""
_OWN_SECRETS = frozenset(name for setting in SETTINGS if setting.secret for name in setting.variables)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def scrubbed_environment(environment: Mapping[str, str], allow: Iterable[str] = ()) -> dict[str, str]:
    """The part of `environment` that tools may see.

    Args:
        environment: usually `os.environ`.
        allow: further names an operator passes to the tools; a trailing `*` matches any ending, but never one of the
            connector's own secrets: those pass by their full name alone.
    """
    patterns = (*_PASSED, *allow)
    passed = {
        name: value
        for name, value in environment.items()
        if name in patterns or (name not in _OWN_SECRETS and any(fnmatchcase(name, pattern) for pattern in patterns))
    }
    for name in _PROXIES:  # a proxy with a password in its address is a secret: it passes by its name alone
        if name in environment and "@" not in environment[name]:
            passed[name] = environment[name]
    return passed


def worker_command() -> list[str]:
    """How this program starts itself as a tool worker, without the two file descriptors that follow."""
    if getattr(sys, "frozen", False):
        # Also from the desktop program, whose own start would load Qt into each worker.
        program = Path(sys.executable)
        return [str(program.with_name(f"edge-connector{program.suffix}")), "tool-worker"]
    # -P keeps the working directory out of sys.path: a tool's folder must not shadow the standard library.
    return [sys.executable, "-P", "-m", "edge_connector.tools.worker"]
