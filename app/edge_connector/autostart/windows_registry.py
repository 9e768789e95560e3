"""HKEY_CURRENT_USER through winreg, for `windows`; it decides nothing. It works on Windows only."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from edge_connector.autostart.windows import Registry
from edge_connector.core.errors import UserError

if sys.platform == "win32":
    import winreg

    class CurrentUser:
        """The registry of the person who runs this process; see `windows.Registry`."""

        def read(self, key: str) -> Mapping[str, str | bytes]:
            """Text and binary values of `key`."""
            values: dict[str, str | bytes] = {}
            with _explained(key):
                try:
                    opened = winreg.OpenKey(winreg.HKEY_CURRENT_USER, key)
                except FileNotFoundError:
                    return values
                with opened:
                    for index in range(winreg.QueryInfoKey(opened)[1]):
                        name, value, _ = winreg.EnumValue(opened, index)
                        if isinstance(value, str | bytes):
                            values[name] = value
            return values

        def write(self, key: str, name: str, value: str) -> None:
            """Set a value of type REG_SZ."""
            with _explained(key), winreg.CreateKey(winreg.HKEY_CURRENT_USER, key) as opened:
                winreg.SetValueEx(opened, name, 0, winreg.REG_SZ, value)

        def delete(self, key: str, name: str) -> None:
            """Remove a value."""
            with _explained(key):
                try:
                    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, key, 0, winreg.KEY_SET_VALUE) as opened:
                        winreg.DeleteValue(opened, name)
                except FileNotFoundError:
                    return

    @contextmanager
    def _explained(key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                "registry_error",
                f"The registry key HKEY_CURRENT_USER\\{key} cannot be used: {error.strerror or error}.",
                hint="Look at the key's permissions.",
            ) from error

    def user_registry() -> Registry:
        """The registry of the person who runs this process."""
        return CurrentUser()

else:

    def user_registry() -> Registry:
        """There is none.

        Raises:
            UserError: always.
        """
        raise UserError(
            "autostart_unsupported", "Only Windows has a registry.", hint="Use this system's own autostart."
        )
