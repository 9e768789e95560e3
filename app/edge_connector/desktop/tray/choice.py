"""Which tray is used: the decision, a function of the environment and of what works here. It loads nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge_connector.core.errors import UserError

BACKEND = "EC_TRAY_BACKEND"
DISABLE = "EC_DISABLE_TRAY"
OFF = ("", "0", "false", "no", "off")


class Backend(StrEnum):
    """The implementations."""

    QT = "qt"
    PYSTRAY = "pystray"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used and why, in words for the log."""

    backend: Backend
    why: str


def choose_tray(
    environ: Mapping[str, str], *, qt_has_host: Callable[[], bool], pystray_problem: Callable[[], str]
) -> Choice:
    """The tray to use.

    Args:
        qt_has_host: whether Qt finds a panel now.
        pystray_problem: why pystray has no usable backend here; empty when it has one. Asked only when it matters,
            because asking loads GTK.

    Raises:
        UserError: the backend asked for does not exist, or pystray was asked for by name and cannot work.
    """
    if environ.get(DISABLE, "").strip().lower() not in OFF:
        return Choice(Backend.NONE, f"{DISABLE} is set")
    wanted = environ.get(BACKEND, "").strip().lower() or "auto"
    match wanted:
        case "auto":
            return _best(qt_has_host, pystray_problem)
        case "qt" | "none":
            return Choice(Backend(wanted), f"{BACKEND}={wanted}")
        case "pystray":
            if problem := pystray_problem():
                raise UserError(
                    "tray_backend_unusable",
                    f"{BACKEND} is pystray, and pystray has no usable backend here: {problem}.",
                    hint=f"Set {BACKEND}=qt, or install the typelibs of AyatanaAppIndicator3 and PyGObject.",
                )
            return Choice(Backend.PYSTRAY, f"{BACKEND}={wanted}")
        case _:
            raise UserError(
                "tray_backend_unknown",
                f"{BACKEND} is {wanted!r}, which is no tray backend.",
                hint=f"Set {BACKEND} to auto, qt, pystray or none.",
            )


def _best(qt_has_host: Callable[[], bool], pystray_problem: Callable[[], str]) -> Choice:
    if qt_has_host():
        return Choice(Backend.QT, "a panel is there")
    problem = pystray_problem()
    if not problem:
        return Choice(Backend.PYSTRAY, "Qt finds no panel")
    # Qt's tray watches for a panel that comes later; until then the window is the handle.
    return Choice(Backend.QT, f"no panel yet; pystray: {problem}")
