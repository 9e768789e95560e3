"""A real gnome-keyring on a session bus of a test's own, unlocked with a password or locked.

    with session_keyring(tmp_path) as keyring:      # sets the environment of this process
        keyring.lock()

Interfaces: the Secret Service API of freedesktop.org. Needs the Debian packages dbus-daemon and gnome-keyring.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import secretstorage
from secretstorage.defines import SS_PATH
from secretstorage.util import DBusAddressWrapper, format_secret, open_session

from tests.support.displays import BUS_CONFIGURATION
from tests.support.waiting import eventually_sync

PASSWORD = b"the-login-password"
GNOME = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
LOGIN = "/org/freedesktop/secrets/collection/login"
DEFAULT = "/org/freedesktop/secrets/aliases/default"


class SessionKeyring:
    """The keyring of the private session."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        """What a program of this session has in its environment."""

    def lock(self) -> None:
        """Lock it, as a session does that was left alone."""
        with contextlib.closing(secretstorage.dbus_init()) as connection:
            secretstorage.Collection(connection, DEFAULT).lock()

    def unlock(self) -> None:
        """Unlock it by its password, without a prompt."""
        with contextlib.closing(secretstorage.dbus_init()) as connection:
            session = open_session(connection)
            service = DBusAddressWrapper(SS_PATH, GNOME, connection)
            secret = format_secret(session, PASSWORD, "text/plain")
            service.call("UnlockWithMasterPassword", "o(oayays)", LOGIN, secret)

    @property
    def is_locked(self) -> bool:
        with contextlib.closing(secretstorage.dbus_init()) as connection:
            return bool(secretstorage.Collection(connection, DEFAULT).is_locked())

    def entries(self) -> dict[str, str]:
        """Every secret of this program in it, by its name."""
        with contextlib.closing(secretstorage.dbus_init()) as connection:
            items = secretstorage.Collection(connection, DEFAULT).search_items({"service": "edge-connector"})
            return {item.get_attributes()["username"]: item.get_secret().decode() for item in items}


@contextmanager
def session_keyring(folder: Path) -> Iterator[SessionKeyring]:
    """A session bus with an unlocked keyring; processes that are started meanwhile belong to the session."""
    home, run = folder / "session", Path(os.environ["XDG_RUNTIME_DIR"])
    (home / "data").mkdir(parents=True)
    address = run / f"session-{os.getpid()}"
    configuration = home / "bus.conf"
    configuration.write_text(BUS_CONFIGURATION.format(socket=address))
    bus = subprocess.Popen(
        ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile"], stderr=subprocess.DEVNULL
    )
    daemon: subprocess.Popen[bytes] | None = None
    variables = {
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={address}",
        "XDG_DATA_HOME": str(home / "data"),
        "DISPLAY": ":no-such-display",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
        patch.setattr("keyring.core._keyring_backend", None)
        try:
            eventually_sync(lambda: _answers(address), what="the session bus")
            daemon = subprocess.Popen(
                ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            assert daemon.stdin is not None
            daemon.stdin.write(PASSWORD)
            daemon.stdin.close()
            keyring = SessionKeyring(dict(os.environ))
            eventually_sync(lambda: _is_ready(keyring), what="the keyring")
            yield keyring
        finally:
            for process in (daemon, bus):
                if process is not None:
                    process.terminate()
                    process.wait(10)
            address.unlink(missing_ok=True)


def _is_ready(keyring: SessionKeyring) -> bool:
    try:
        return not keyring.is_locked
    except Exception:
        return False


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return path.exists() and asking.connect_ex(str(path)) == 0
