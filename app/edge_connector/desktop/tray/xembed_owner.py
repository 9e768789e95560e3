"""Tells when an XEmbed panel comes or goes, by the owner of its X11 selection; nothing wakes up while nothing happens.

Qt knows who the owner is when it is asked, but has no signal for a change. It decides nothing: who hears it, asks Qt.
"""

from __future__ import annotations

import ctypes
import logging
from typing import Any

from PySide6.QtCore import QObject, QSocketNotifier, Signal

log = logging.getLogger(__name__)

SELECTION = b"_NET_SYSTEM_TRAY_S%d"
"""The selection of a screen's panel (freedesktop.org, System Tray Protocol)."""
MASK = 0b111
"""XFixesSetSelectionOwnerNotify, ...SelectionWindowDestroyNotify and ...SelectionClientCloseNotify."""
XFIXES = 1, 0
"""Selections are watched since this version."""


class _Cookie(ctypes.Structure):
    """`xcb_void_cookie_t` and its like: what a request returns, by value."""

    _fields_ = (("sequence", ctypes.c_uint),)


class _Atom(ctypes.Structure):
    """The head of `xcb_intern_atom_reply_t`."""

    _fields_ = (
        ("response_type", ctypes.c_uint8),
        ("pad0", ctypes.c_uint8),
        ("sequence", ctypes.c_uint16),
        ("length", ctypes.c_uint32),
        ("atom", ctypes.c_uint32),
    )


class _Screens(ctypes.Structure):
    """`xcb_screen_iterator_t`; the first member of a screen is its root window."""

    _fields_ = (
        ("data", ctypes.POINTER(ctypes.c_uint32)),
        ("rem", ctypes.c_int),
        ("index", ctypes.c_int),
    )


class XEmbedOwner(QObject):
    """Follows the owner over a connection of its own to the X server that DISPLAY names; `changed()` at each change.

    owner = XEmbedOwner(); if not owner.start(): ...look now and then instead
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._xcb: Any = None
        self._connection: ctypes.c_void_p | None = None
        self._notifier: QSocketNotifier | None = None

    def start(self) -> bool:
        """Follow from now on; False when this X server or this system cannot. Idempotent."""
        if self._notifier is not None:
            return True
        try:
            self._xcb, fixes = ctypes.CDLL("libxcb.so.1"), ctypes.CDLL("libxcb-xfixes.so.0")
        except OSError as error:
            log.debug("no XFixes: %s", error)
            return False
        self._declare(fixes)
        number = ctypes.c_int()
        self._connection = ctypes.c_void_p(self._xcb.xcb_connect(None, ctypes.byref(number)))
        if not self._follow(fixes, number.value):
            self.stop()
            return False
        self._notifier = QSocketNotifier(self._xcb.xcb_get_file_descriptor(self._connection), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._read)
        return True

    def stop(self) -> None:
        """Follow no more; idempotent."""
        if self._notifier is not None:
            self._notifier.setEnabled(False)
            self._notifier.deleteLater()
            self._notifier = None
        if self._connection is not None:
            self._xcb.xcb_disconnect(self._connection)
            self._connection = None

    def _declare(self, fixes: Any) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.free.argtypes = [ctypes.c_void_p]
        xcb = self._xcb
        xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_int)]
        for name in ("xcb_connect", "xcb_get_setup", "xcb_poll_for_event"):
            getattr(xcb, name).restype = ctypes.c_void_p
        for name in ("xcb_get_setup", "xcb_poll_for_event", "xcb_connection_has_error", "xcb_flush", "xcb_disconnect"):
            getattr(xcb, name).argtypes = [ctypes.c_void_p]
        xcb.xcb_get_file_descriptor.argtypes = [ctypes.c_void_p]
        xcb.xcb_setup_roots_iterator.argtypes = [ctypes.c_void_p]
        xcb.xcb_setup_roots_iterator.restype = _Screens
        xcb.xcb_screen_next.argtypes = [ctypes.POINTER(_Screens)]
        xcb.xcb_intern_atom.argtypes = [ctypes.c_void_p, ctypes.c_uint8, ctypes.c_uint16, ctypes.c_char_p]
        xcb.xcb_intern_atom.restype = _Cookie
        xcb.xcb_intern_atom_reply.argtypes = [ctypes.c_void_p, _Cookie, ctypes.c_void_p]
        xcb.xcb_intern_atom_reply.restype = ctypes.POINTER(_Atom)
        fixes.xcb_xfixes_query_version.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
        fixes.xcb_xfixes_query_version.restype = _Cookie
        fixes.xcb_xfixes_query_version_reply.argtypes = [ctypes.c_void_p, _Cookie, ctypes.c_void_p]
        fixes.xcb_xfixes_query_version_reply.restype = ctypes.c_void_p
        fixes.xcb_xfixes_select_selection_input.argtypes = [ctypes.c_void_p] + 3 * [ctypes.c_uint32]
        fixes.xcb_xfixes_select_selection_input.restype = _Cookie

    def _follow(self, fixes: Any, number: int) -> bool:
        xcb, connection = self._xcb, self._connection
        if xcb.xcb_connection_has_error(connection):
            return False
        # The client must ask for the version first; without the extension, the answer is an error.
        version = fixes.xcb_xfixes_query_version_reply(
            connection, fixes.xcb_xfixes_query_version(connection, *XFIXES), None
        )
        if not version:
            return False
        self._libc.free(version)
        screens = xcb.xcb_setup_roots_iterator(xcb.xcb_get_setup(connection))
        for _ in range(number):
            xcb.xcb_screen_next(ctypes.byref(screens))
        name = SELECTION % number
        atom = xcb.xcb_intern_atom_reply(connection, xcb.xcb_intern_atom(connection, 0, len(name), name), None)
        if not atom:
            return False
        fixes.xcb_xfixes_select_selection_input(connection, screens.data[0], atom[0].atom, MASK)
        self._libc.free(ctypes.cast(atom, ctypes.c_void_p))
        xcb.xcb_flush(connection)
        return not xcb.xcb_connection_has_error(connection)

    def _read(self) -> None:
        """The socket can be read: events of the one kind that was asked for, or its end."""
        if self._connection is None:
            return
        happened = False
        while event := self._xcb.xcb_poll_for_event(self._connection):
            self._libc.free(event)
            happened = True
        if self._xcb.xcb_connection_has_error(self._connection):
            self.stop()
        elif happened:
            self.changed.emit()
