"""The keyring of the person's session: one secret an installation directory and kind.

The `keyring` library is imported on first use, and every call runs in a thread of its own for at most five seconds: a
prompt keeps a call for as long as it is open. A locked keyring is not an empty one: `KeyringLocked` is raised for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from edge_connector.core.errors import EdgeError, NotConnected, RetryLater

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

T = TypeVar("T")

SERVICE = "edge-connector"
CALL_S = 5.0
LOCKED_AGAIN_S = 5.0
_NO_KEYRINGS = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")
"""Modules that keep nothing, or keep it less safely than a private file."""

_one_at_a_time = threading.Lock()
"""A call that hangs on a prompt keeps it; the next ones say locked instead of piling up."""


class KeyringLocked(RetryLater):
    """It is there, and locked: what it holds is not known now. That is not the same as signed out."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "keyring_locked",
            f"The keyring is locked: waiting ({detail}).",
            after_s=LOCKED_AGAIN_S,
            hint="Unlock the keyring of this session; the connector goes on by itself.",
        )


class KeyringUnavailable(NotConnected):
    """There is no keyring to be used here now; that of a session may come later."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "keyring_unavailable",
            f"There is no keyring to be used: {detail}.",
            hint="Start the keyring of this session, or set AUTH_TOKEN_PATH to keep the token in a file.",
        )


def has_session_keyring(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether this process belongs to a session that may have a keyring: one with a screen and, on Linux, a D-Bus."""
    if platform in ("win32", "darwin"):
        return True
    has_display = bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    return has_display and bool(environ.get("DBUS_SESSION_BUS_ADDRESS"))


class Keyring:
    """The secrets of one installation directory."""

    def __init__(self, directory: Path, *, may_ask: bool = False, timeout_s: float = CALL_S) -> None:
        """Nothing is touched yet.

        Args:
            may_ask: whether a prompt for the keyring's password may appear: only when a person acts.
        """
        self._directory = os.path.realpath(directory)
        self._may_ask = may_ask
        self._timeout_s = timeout_s

    def read(self, kind: str) -> str | None:
        """The secret; None when there is none.

        Raises:
            KeyringLocked, KeyringUnavailable: see there.
        """
        found: str | None = self._run(lambda backend: backend.get_password(SERVICE, self._name(kind)))
        return found

    def write(self, kind: str, secret: str) -> None:
        """Keep the secret instead of an older one.

        Raises:
            KeyringLocked, KeyringUnavailable: see there.
        """
        self._run(lambda backend: backend.set_password(SERVICE, self._name(kind), secret))

    def delete(self, kind: str) -> None:
        """Forget the secret; nothing happens when there is none.

        Raises:
            KeyringLocked, KeyringUnavailable: see there.
        """

        def forget(backend: Any) -> None:
            if backend.get_password(SERVICE, self._name(kind)) is not None:
                backend.delete_password(SERVICE, self._name(kind))

        self._run(forget)

    def _name(self, kind: str) -> str:
        return f"{kind} of {self._directory}"

    def _run(self, call: Callable[[Any], T]) -> T:
        if not _one_at_a_time.acquire(timeout=self._timeout_s):
            raise KeyringLocked("it still waits for its password")
        ended: Future[T] = Future()
        thread = threading.Thread(target=self._work, args=(call, ended), name="keyring", daemon=True)
        thread.start()
        try:
            return ended.result(self._timeout_s)
        except TimeoutError as error:
            raise KeyringLocked(f"no answer within {self._timeout_s:g} s") from error

    def _work(self, call: Callable[[Any], T], ended: Future[T]) -> None:
        try:
            result = _translated(lambda: call(_backend(may_ask=self._may_ask)))
        except BaseException as error:
            _one_at_a_time.release()
            ended.set_exception(error)
        else:
            _one_at_a_time.release()
            ended.set_result(result)


def _backend(*, may_ask: bool) -> Any:
    """The keyring of this session, unlocked unless a prompt may appear.

    Raises:
        KeyringLocked, KeyringUnavailable: see there.
    """
    import keyring

    backend = keyring.get_keyring()
    backend = next(iter(getattr(backend, "backends", ())), backend)  # of a chain only the first: one place, not several
    module = type(backend).__module__
    if module.startswith(_NO_KEYRINGS):
        raise KeyringUnavailable("this session has none")
    if module == "keyring.backends.SecretService" and not may_ask:
        _refuse_locked_collection()
    return backend


def _refuse_locked_collection() -> None:
    """Look at the Secret Service's default collection without a prompt, which reading a locked one would cause."""
    import contextlib

    import secretstorage
    from secretstorage.exceptions import ItemNotFoundException

    with contextlib.closing(secretstorage.dbus_init()) as connection:
        try:
            collection = secretstorage.Collection(connection, "/org/freedesktop/secrets/aliases/default")
            is_locked = collection.is_locked()
        except ItemNotFoundException as error:
            raise KeyringUnavailable("this session's keyring was never set up") from error
        if is_locked:
            raise KeyringLocked("it was not unlocked in this session")


def _translated(call: Callable[[], T]) -> T:
    try:
        return call()
    except EdgeError:
        raise
    except Exception as error:
        # Each backend has errors of its own, and only these two mean something else than "not to be used".
        from keyring.errors import KeyringLocked as Locked

        if isinstance(error, Locked):
            raise KeyringLocked("its password was not given") from error
        log.debug("keyring failed error=%r", error)
        raise KeyringUnavailable(f"{type(error).__name__}: {error}"[:200]) from error
