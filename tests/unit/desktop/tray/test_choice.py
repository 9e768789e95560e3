"""Which tray is chosen, as a table; and what is asked only when it matters."""

from __future__ import annotations

import pytest

from edge_connector.core.errors import UserError
from edge_connector.desktop.tray.choice import Backend, Choice, choose_tray


def choose(environ: dict[str, str], *, qt: bool, pystray: str) -> Choice:
    return choose_tray(environ, qt_has_host=lambda: qt, pystray_problem=lambda: pystray)


@pytest.mark.parametrize(
    ("environ", "qt", "pystray", "backend"),
    [
        ({}, True, "", Backend.QT),
        ({}, True, "no typelib", Backend.QT),
        ({}, False, "", Backend.PYSTRAY),
        ({}, False, "no typelib", Backend.QT),
        ({"EC_TRAY_BACKEND": ""}, True, "", Backend.QT),
        ({"EC_TRAY_BACKEND": "auto"}, False, "", Backend.PYSTRAY),
        ({"EC_TRAY_BACKEND": "qt"}, False, "", Backend.QT),
        ({"EC_TRAY_BACKEND": " PyStray "}, True, "", Backend.PYSTRAY),
        ({"EC_TRAY_BACKEND": "none"}, True, "", Backend.NONE),
        ({"EC_DISABLE_TRAY": "1"}, True, "", Backend.NONE),
        ({"EC_DISABLE_TRAY": "1", "EC_TRAY_BACKEND": "qt"}, True, "", Backend.NONE),
        ({"EC_DISABLE_TRAY": "0"}, True, "", Backend.QT),
        ({"EC_DISABLE_TRAY": "false"}, True, "", Backend.QT),
    ],
)
def test_table(environ: dict[str, str], qt: bool, pystray: str, backend: Backend) -> None:
    choice = choose(environ, qt=qt, pystray=pystray)
    assert choice.backend is backend
    assert choice.why


@pytest.mark.parametrize(
    ("environ", "code"),
    [({"EC_TRAY_BACKEND": "gtk"}, "tray_backend_unknown"), ({"EC_TRAY_BACKEND": "pystray"}, "tray_backend_unusable")],
)
def test_refusals_name_the_variable_and_the_next_step(environ: dict[str, str], code: str) -> None:
    with pytest.raises(UserError) as refused:
        choose(environ, qt=True, pystray="no typelib")
    assert refused.value.code == code
    assert "EC_TRAY_BACKEND" in refused.value.message
    assert "EC_TRAY_BACKEND=qt" in refused.value.hint or "auto, qt, pystray or none" in refused.value.hint


@pytest.mark.parametrize("environ", [{}, {"EC_TRAY_BACKEND": "qt"}, {"EC_DISABLE_TRAY": "1"}])
def test_gtk_is_not_loaded_to_find_out_what_does_not_matter(environ: dict[str, str]) -> None:
    def asked() -> str:
        raise AssertionError("pystray was asked")

    choose_tray(environ, qt_has_host=lambda: True, pystray_problem=asked)
