"""Overview: the truths, the problems with their cures, the last hour, pausing and resuming."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QApplication, QPushButton

from tests.desktop.window.opened import opened
from tests.support.qt_loop import OnQt
from tests.support.waiting import eventually


def test_it_shows_working_only_with_its_proof(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home", with_platform=True) as it:
            overview = it.window.overview
            await eventually(lambda: it.window._line.text().startswith("Working · proven "), what="the state line")
            assert [card.name.text().split("  ")[1] for card in overview.truths] == [
                "Process", "Link", "Authorised", "Proven",
            ]  # fmt: skip
            assert all(card.name.text().startswith("●") for card in overview.truths)
            assert "ago" in overview.truths[3].age.text()
            assert "window" in it.texts(overview.identity)
            assert not overview.problems.isVisible()

    on_qt(story)


def test_calls_draw_the_last_hour(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home", with_platform=True) as it:
            assert it.platform is not None
            for _ in range(5):
                await it.platform.call("echo", {"message": "x"}, deployment=it.deployment)
            await eventually(lambda: it.window.overview.calls_label.text() == "Calls per minute: 5", what="five calls")
            (calls,) = it.window.overview.calls_line.series
            assert (len(calls), calls[-1]) == (60, 5.0)
            p50, p99 = it.window.overview.latency_line.series
            assert p50[-1] and p99[-1] and p50[0] is None
            assert "ms" in it.window.overview.latency_line.accessibleName()
            it.window.grab()  # paints gaps and single minutes

    on_qt(story)


def test_pausing_and_resuming(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home", with_platform=True) as it:
            overview = it.window.overview
            assert not overview.resume.isVisible()
            overview.pause_hour.click()
            await it.until_state("paused")
            assert it.window._line.text().startswith("Paused until ") and ":" in it.window._line.text()
            assert overview.resume.isVisible() and not overview.pause.isVisible()
            overview.resume.click()
            await it.until_state("working", "working_with_problems")
            overview.pause.click()
            await it.until_state("paused")
            assert it.window._line.text() == "Paused until resumed"

    on_qt(story)


def test_a_problem_has_its_sentence_its_age_and_its_cure_to_copy(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            problems = it.window.overview.problems
            await eventually(problems.isVisible, what="the problem")
            texts = it.texts(problems)
            assert any("cannot be reached" in text and "ago" in text for text in texts)
            assert any("check TOOL_RPC_URL" in text for text in texts)
            (copy,) = problems.findChildren(QPushButton)
            assert "cannot be reached" in copy.accessibleName()
            copy.click()
            assert "TOOL_RPC_URL" in QApplication.clipboard().text()
            assert "Copied." in it.texts()

    on_qt(story)


def test_what_nobody_answers_is_said(on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path / "home") as it:
            it.source.stop(hard=True)
            await it.until_ended()
            assert not it.window.overview.pause.isEnabled()
            it.window.overview._ask("pause")
            await eventually(lambda: any("No connector runs" in text for text in it.texts()), what="the refusal")

    on_qt(story)
