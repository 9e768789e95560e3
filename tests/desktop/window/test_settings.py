"""Settings: values with their origins, changes through the connector, opening it to others, autostart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from edge_connector.autostart import facade
from edge_connector.desktop.window.settings import is_loopback
from tests.desktop.window.opened import Opened, opened
from tests.support.qt_loop import OnQt
from tests.support.waiting import eventually


async def open_settings(it: Opened) -> None:
    it.window.show_page("settings")
    await eventually(lambda: it.window.settings.rows["healthHost"].edit.text(), what="the values")


def test_every_value_shows_where_it_comes_from(on_qt: OnQt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setenv("EC_TOOL_CONCURRENCY", "3")
        home = tmp_path / "home"
        home.mkdir()
        (home / "config.json").write_text('{"toolQueue": 7}')
        async with opened(home) as it:
            await open_settings(it)
            rows = {row[0]: row for row in it.window.settings.table.rows_model.rows}
            assert rows["toolConcurrency"][1:3] == ("3 calls", "environment EC_TOOL_CONCURRENCY")
            assert rows["toolQueue"][1:3] == ("7 calls", "config.json")
            assert rows["healthHost"][1:3] == ("127.0.0.1", "default")
            assert it.window.settings.rows["toolConcurrency"].origin.text() == "from environment EC_TOOL_CONCURRENCY"
            # What wins over the file is said when the file is changed.
            row = it.window.settings.rows["toolConcurrency"]
            row.edit.setText("5")
            row.apply.click()
            await eventually(lambda: "wins over" in row.note.text(), what="the warning")

    on_qt(story)


def test_a_change_is_written_by_the_connector(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await open_settings(it)
            row = it.window.settings.rows["toolConcurrency"]
            assert not row.apply.isVisible()
            row.edit.setText("12")
            assert row.apply.isVisible() and row.undo.isVisible()
            row.undo.click()
            assert row.edit.text() == "8" and not row.apply.isVisible()
            row.edit.setText("12")
            QTest.keyClick(row.edit, Qt.Key.Key_Return)
            await eventually(lambda: "next start" in row.note.text(), what="the answer")
            assert json.loads((it.home / "config.json").read_text()) == {"toolConcurrency": 12}
            assert row.origin.text() == "from config.json" and not row.apply.isVisible()

    on_qt(story)


def test_a_wrong_value_is_refused_with_what_it_must_be_and_stays_to_be_mended(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await open_settings(it)
            row = it.window.settings.rows["healthPort"]
            row.edit.setText("99999")
            row.apply.click()
            await eventually(lambda: "65535" in row.note.text(), what="the refusal")
            assert row.edit.text() == "99999" and row.note.isVisible()
            assert not (it.home / "config.json").exists()

    on_qt(story)


def test_opening_the_health_address_spells_out_who_can_read_what_before_it_applies(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await open_settings(it)
            row = it.window.settings.rows["healthHost"]
            assert row.note.text() == "Only programs on this machine can read it."
            row.edit.setText("0.0.0.0")
            assert "Every device that can reach all addresses of this machine (" in row.note.text()
            assert "needs no password" in row.note.text() and row.note.isVisible()
            assert row.apply.text() == "Open it to the network"
            row.edit.setText("192.0.2.7")
            assert "Every device that can reach 192.0.2.7" in row.note.text()
            row.edit.setText("::1")
            assert row.note.text() == "Only programs on this machine can read it." and row.apply.text() == "Apply"

    on_qt(story)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("printer.local", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_autostart_is_switched_with_proof(on_qt: OnQt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        async with opened(tmp_path / "home") as it:
            await open_settings(it)
            page = it.window.settings
            await eventually(page.autostart.isEnabled, what="the state of autostart")
            assert not page.autostart.isChecked()
            page.autostart.click()
            await eventually(lambda: page.autostart.isEnabled() and page.autostart.isChecked(), what="it to be on")
            status = facade.status(it.home)
            assert status.enabled and status.entry in page.autostart_note.text() + status.problem
            page.autostart.click()
            await eventually(lambda: page.autostart.isEnabled() and not page.autostart.isChecked(), what="it to be off")
            assert not facade.status(it.home).enabled

    on_qt(story)


def test_autostart_that_is_forbidden_says_so_and_stays_off(
    on_qt: OnQt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("EC_DISABLE_AUTOSTART", "1")
        async with opened(tmp_path / "home") as it:
            await open_settings(it)
            page = it.window.settings
            await eventually(page.autostart.isEnabled, what="the state of autostart")
            page.autostart.click()
            await eventually(lambda: "EC_DISABLE_AUTOSTART" in page.autostart_note.text(), what="the refusal")
            assert not page.autostart.isChecked()
            assert not (tmp_path / "config").exists()

    on_qt(story)


def test_without_a_connector_nothing_can_be_changed(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await open_settings(it)
            it.source.stop(hard=True)
            await it.until_ended()
            await eventually(lambda: not it.window.settings.rows["healthPort"].edit.isEnabled(), what="the end")
            assert "Settings can be changed while the connector runs." in it.texts()

    on_qt(story)
