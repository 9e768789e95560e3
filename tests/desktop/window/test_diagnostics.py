"""Diagnostics: the log as it grows, is filtered and rotated, and a report without secrets."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from PySide6.QtWidgets import QApplication

from edge_connector.core import log as logs
from tests.desktop.window.opened import opened
from tests.support.qt_loop import OnQt
from tests.support.waiting import eventually


def write_log(home: Path, text: str, mode: str = "a") -> None:
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "edge-connector.log").open(mode) as file:
        file.write(text)


def test_the_log_is_followed_through_growth_and_rotation(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        home = tmp_path / "home"
        async with opened(home) as it:
            page = it.window.diagnostics
            write_log(home, "one\ntwo\n")
            it.window.show_page("diagnostics")
            await eventually(lambda: page.log.toPlainText() == "one\ntwo", what="the lines that were there")
            write_log(home, "thr")
            write_log(home, "ee\n")
            await eventually(lambda: page.log.toPlainText().endswith("\nthree"), what="a line in two pieces")
            (home / "logs" / "edge-connector.log").rename(home / "logs" / "edge-connector.log.1")
            write_log(home, "four\n")
            await eventually(lambda: page.log.toPlainText().endswith("\nfour"), what="the line after the rotation")
            page.filter.setText("T")
            assert page.log.toPlainText() == "two\nthree"
            write_log(home, "not\nwanted\nseen two\n")
            await eventually(lambda: page.log.toPlainText().endswith("seen two"), what="a filtered line")
            it.window.show_page("overview")
            write_log(home, "unseen t\n")
            it.window.show_page("diagnostics")
            await eventually(lambda: page.log.toPlainText().endswith("unseen t"), what="what came meanwhile")

    on_qt(story)


def test_without_a_log_it_says_where_it_will_be(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        home = tmp_path / "home"
        async with opened(home) as it:
            it.window.show_page("diagnostics")
            page = it.window.diagnostics
            assert page.empty.isVisible() and "edge-connector.log" in page.empty.text()
            (home / "logs").mkdir()
            it.window.show_page("overview")
            it.window.show_page("diagnostics")
            write_log(home, "first\n")
            await eventually(lambda: page.log.toPlainText() == "first", what="the first line")
            assert not page.empty.isVisible()

    on_qt(story)


def test_the_report_holds_status_and_versions_and_no_secret(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            logs.hide("very-secret-host-name")
            it.window.show_page("diagnostics")
            it.window._document["process"]["host"] = "very-secret-host-name"
            it.window.diagnostics.copy_report.click()
            text = QApplication.clipboard().text()
            report = json.loads(text)
            assert report["status"]["state"] == "connecting" and report["versions"]["pyside"]
            assert "very-secret" not in text and "a-secret-of-nobody" not in text
            assert "The report is copied" in " ".join(it.texts())

    on_qt(story)


def test_much_text_at_once_is_taken_in_parts(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        home = tmp_path / "home"
        logging.getLogger(__name__).debug("the file is written at once")
        write_log(home, "".join(f"line {number}\n" for number in range(60_000)))
        async with opened(home) as it:
            it.window.show_page("diagnostics")
            page = it.window.diagnostics
            await eventually(lambda: page.log.toPlainText().endswith("line 59999"), what="the end of the file")
            assert page.log.blockCount() <= 2000

    on_qt(story)
