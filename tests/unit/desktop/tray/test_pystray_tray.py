"""What is refused of pystray. Its working backend is tested on a real panel in tests/desktop/tray/test_pystray.py."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest

from edge_connector.core.errors import UserError
from edge_connector.desktop.tray.pystray_tray import CHOOSER, load_pystray


def test_macos_backend_is_refused_without_importing_it() -> None:
    with pytest.raises(UserError) as refused:
        load_pystray("darwin")
    assert refused.value.code == "tray_backend_unusable"
    assert "darwin" in refused.value.message


def test_x11_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ModuleType("pystray")
    loaded.Icon = type("Icon", (), {"__module__": "pystray._xorg"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pystray", loaded)
    with pytest.raises(UserError, match="xorg"):
        load_pystray("linux")


def test_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ModuleType("pystray")
    loaded.Icon = type("Icon", (), {"__module__": "pystray._appindicator"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pystray", loaded)
    monkeypatch.delenv(CHOOSER, raising=False)
    assert load_pystray("linux") is loaded
    assert CHOOSER not in os.environ
    monkeypatch.setenv(CHOOSER, "xorg")
    assert load_pystray("linux") is loaded
    assert os.environ[CHOOSER] == "xorg"


def test_without_display_or_typelibs_the_reason_is_a_sentence() -> None:
    """In a process of its own: what a failed import leaves behind is not this one's business."""
    code = "from edge_connector.desktop.tray.pystray_tray import pystray_problem; print(pystray_problem())"
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pystray has no usable backend here: ")
    assert "Traceback" not in done.stderr
