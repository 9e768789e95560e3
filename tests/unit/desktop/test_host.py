"""The host: every way to end runs to the end of `main`, and a display that cannot be used is known before Qt aborts."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from PySide6.QtCore import QtMsgType, qInstallMessageHandler, qWarning
from PySide6.QtWidgets import QApplication

from edge_connector.desktop.host import Closing, has_display, run_on_qt


async def until_closing(closing: Closing, steps: list[str]) -> int:
    """A main that needs a moment to end."""
    try:
        async with asyncio.timeout(20):
            await closing.wait()
    finally:
        await asyncio.sleep(0.05)
        steps.append(closing.reason)
    return 130 if closing.is_hard else 7


def test_its_code_is_what_main_returns(qapp: QApplication) -> None:
    async def main(closing: Closing) -> int:
        assert not closing.requested
        return 5

    assert run_on_qt(qapp, main) == 5


def test_a_failure_of_main_is_raised(qapp: QApplication) -> None:
    for error in (ValueError("a bug"), RuntimeError("another")):

        async def main(closing: Closing, error: Exception = error) -> int:
            raise error

        with pytest.raises(type(error), match=str(error)):
            run_on_qt(qapp, main)


def test_quitting_qt_from_outside_skips_nothing(qapp: QApplication) -> None:
    steps: list[str] = []

    async def main(closing: Closing) -> int:
        asyncio.get_running_loop().call_later(0.02, qapp.exit, 0)
        return await until_closing(closing, steps)

    assert run_on_qt(qapp, main) == 7
    assert steps == ["Qt was asked to quit"]


@pytest.mark.parametrize(("signals", "code"), [((signal.SIGTERM,), 7), ((signal.SIGINT, signal.SIGTERM), 130)])
def test_signals_ask_for_the_end_and_twice_means_at_once(
    qapp: QApplication, signals: tuple[signal.Signals, ...], code: int
) -> None:
    steps: list[str] = []
    hard: list[bool] = []

    async def main(closing: Closing) -> int:
        closing.on_hard = lambda: hard.append(True)
        for number in signals:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.02)
        return await until_closing(closing, steps)

    assert run_on_qt(qapp, main) == code
    assert steps == [signals[0].name] and bool(hard) == (code == 130)


def test_what_qt_says_goes_to_the_log_and_the_handler_is_given_back(
    qapp: QApplication, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    def mine(kind: QtMsgType, context: object, message: str) -> None:
        said.append(message)

    before = qInstallMessageHandler(mine)
    try:

        async def main(closing: Closing) -> int:
            qWarning("something about a screen")
            return 0

        assert run_on_qt(qapp, main) == 0
        assert "something about a screen" in caplog.text and said == []
        qWarning("afterwards")
        assert said == ["afterwards"]
    finally:
        qInstallMessageHandler(before)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"DISPLAY": ""}, False),
        ({"DISPLAY": ":4711"}, False),
        ({"DISPLAY": "nonsense"}, False),
        ({"WAYLAND_DISPLAY": "wayland-9", "XDG_RUNTIME_DIR": "/nonexistent"}, False),
        ({"QT_QPA_PLATFORM": "offscreen"}, True),
        ({"QT_QPA_PLATFORM": "xcb", "DISPLAY": ":4711"}, False),
        ({"QT_QPA_PLATFORM": "wayland"}, False),
    ],
)
def test_a_display_counts_only_when_it_answers(environ: dict[str, str], expected: bool) -> None:
    assert has_display(environ) is expected
