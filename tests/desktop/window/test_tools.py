"""Tools: the list, the form made from a schema, calls and their results, the last calls."""

from __future__ import annotations

import json
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit, QPlainTextEdit

from edge_connector.desktop.window.tool_detail import SHOWN_CHARACTERS, SHOWN_LINE, shown_part
from tests.desktop.window.opened import Opened, opened
from tests.support.qt_loop import OnQt
from tests.support.waiting import eventually


async def run(it: Opened) -> str:
    """Press Run and wait for what it says."""
    detail = it.window.tools.detail
    detail.outcome.setText("")
    detail.run_button.click()
    await eventually(lambda: detail.run_button.isEnabled() and detail.outcome.text(), what="an outcome")
    return detail.outcome.text()


def test_the_list_filters_sorts_and_copies(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            it.window.show_page("tools")
            tools = it.window.tools
            names = [row[0] for row in tools.table.rows_model.rows]
            assert {"echo", "order", "refuses"} <= set(names)
            shown = [tools.table.proxy.index(row, 0).data() for row in range(tools.table.proxy.rowCount())]
            assert shown == sorted(names, key=str.casefold)
            QTest.keyClick(it.window, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
            assert QApplication.focusWidget() is tools.filter
            QTest.keyClicks(tools.filter, "ORDER")
            assert tools.table.proxy.rowCount() == 1
            tools.table.choose("order")
            QTest.keyClick(tools.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
            assert QApplication.clipboard().text() == "order\twrite\tlocal\tOrder"
            QTest.keyClicks(tools.filter, " nothing")
            assert tools.empty.isVisible() and "No tool fits" in tools.empty.text()
            tools.show_tool("echo")
            await eventually(lambda: it.shown_tool() == "echo", what="echo")

    on_qt(story)


def test_the_form_has_a_field_for_each_argument(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await it.open_tool("order")
            kinds = {
                "customer": QLineEdit, "count": QLineEdit, "unit": QComboBox, "express": QCheckBox,
                "weight": QLineEdit, "tags": QPlainTextEdit, "address": QPlainTextEdit,
            }  # fmt: skip
            for name, kind in kinds.items():
                assert isinstance(it.row(name).input, kind), name
            assert it.row("customer").label.text() == "customer · required"
            assert it.row("customer").message.text() == "Who orders."
            assert it.row("unit").input.currentText() == "piece"  # type: ignore[attr-defined]
            assert "may change something (write)" in it.window.tools.detail.warning.text()

    on_qt(story)


def test_what_is_wrong_is_said_at_its_field_and_nothing_is_called(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await it.open_tool("order")
            it.fill_in(count="many", tags="{}", address="{broken")
            it.window.tools.detail.run_button.click()
            assert it.row("customer").message.text() == "customer is required."
            assert it.row("count").message.text() == "count must be a whole number."
            assert it.row("tags").message.text() == "tags must be a JSON list, in [ and ]."
            assert "not valid JSON: line 1, column 2" in it.row("address").message.text()
            assert QApplication.focusWidget() is it.row("customer").input
            assert it.row("count").input.accessibleDescription() == "count must be a whole number."
            assert await it.source.request("calls.recent") == []

    on_qt(story)


def test_a_tool_is_tried_and_its_result_copied(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await it.open_tool("order")
            it.fill_in(
                customer="Ada",
                count="3",
                unit="box",
                express="yes",
                weight="2.5",
                tags='["a"]',
                address='{"city": "B"}',
            )
            it.row("customer").input.setFocus()
            QTest.keyClick(it.row("customer").input, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
            detail = it.window.tools.detail
            await eventually(lambda: detail.outcome.text().startswith("finished in "), what="the outcome")
            detail.copy_result.click()
            assert json.loads(QApplication.clipboard().text()) == {
                "customer": "Ada", "count": 3, "unit": "box", "express": True,
                "weight": 2.5, "tags": ["a"], "address": {"city": "B"},
            }  # fmt: skip
            assert detail.result.toPlainText().startswith('{\n  "customer": "Ada"')
            it.window.set_language("de")
            assert detail.outcome.text().startswith("fertig in ")

    on_qt(story)


def test_defaults_are_left_to_the_tool(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await it.open_tool("order")
            it.fill_in(customer="Ada", count="1")
            assert (await run(it)).startswith("finished")
            found = json.loads(it.window.tools.detail._result_text)
            assert (found["unit"], found["express"], found["weight"], found["tags"]) == ("piece", False, None, [])

    on_qt(story)


def test_a_refusal_is_shown_with_its_code(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await it.open_tool("refuses")
            assert not it.window.tools.detail.warning.isVisible()
            assert "This tool takes no arguments." in it.texts()
            assert (await run(it)).startswith("failed")
            assert json.loads(it.window.tools.detail._result_text)["code"] == "drawer_locked"

    on_qt(story)


def test_the_last_calls_of_a_tool_come_by_themselves(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home", with_platform=True) as it:
            assert it.platform is not None
            await it.open_tool("echo")
            detail = it.window.tools.detail
            detail.tabs.setCurrentIndex(2)
            assert detail.no_calls.isVisible()
            await it.platform.call("echo", {"message": "x"}, deployment=it.deployment)
            await eventually(lambda: len(detail.calls.rows_model.rows) == 1, what="the call")
            assert "finished" in detail.calls.rows_model.rows[0][1]
            await it.platform.call("refuses", {}, deployment=it.deployment)
            it.window.tools.show_tool("refuses")
            await eventually(
                lambda: detail.calls.rows_model.rows and "The drawer is locked." in detail.calls.rows_model.rows[0][1],
                what="the refusal",
            )

    on_qt(story)


def test_the_schema_can_be_read_and_copied(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            await it.open_tool("order")
            detail = it.window.tools.detail
            detail.tabs.setCurrentIndex(1)
            detail.copy_schema.click()
            assert "customer" in json.loads(QApplication.clipboard().text())["parameters"]["properties"]

    on_qt(story)


def test_without_a_connector_the_page_says_how_tools_come(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            it.window.show_page("tools")
            it.source.stop(hard=True)
            await it.until_ended()
            assert "implementationsPath" in it.window.tools.empty.text() and it.window.tools.empty.isVisible()
            assert not it.window.tools.detail.tabs.isVisible()

    on_qt(story)


def test_long_texts_are_cut_and_folded_for_the_eye() -> None:
    assert shown_part('{\n  "a": 1\n}') == '{\n  "a": 1\n}'
    shown = shown_part("x" * 1000)
    assert [len(line) for line in shown.split("\n")] == [SHOWN_LINE, SHOWN_LINE, 1000 - 2 * SHOWN_LINE]
    assert shown_part("x\n" * SHOWN_CHARACTERS).endswith("\n…")
