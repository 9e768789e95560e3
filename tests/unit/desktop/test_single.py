"""One desktop a directory: the right, the request to show the window, and what lies around after a crash."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from edge_connector.core.errors import NotConnected
from edge_connector.desktop import single
from edge_connector.desktop.single import SingleDesktop, ask_to_show, show_address
from tests.support.qt_loop import OnQt


def test_one_has_the_right_until_it_lets_go(tmp_path: Path) -> None:
    first, second, elsewhere = SingleDesktop(tmp_path), SingleDesktop(tmp_path), SingleDesktop(tmp_path / "other")
    assert first.acquire()
    assert not second.acquire()
    assert elsewhere.acquire()
    first.release()
    first.release()
    assert second.acquire()
    second.release()
    elsewhere.release()


def test_a_second_launch_is_answered(qapp: QApplication, on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        shown: list[bool] = []
        desktop = SingleDesktop(tmp_path)
        assert desktop.acquire()
        try:
            desktop.serve(qapp, lambda: shown.append(True))
            for times in (1, 2):
                await asyncio.to_thread(ask_to_show, tmp_path)
                assert len(shown) == times
        finally:
            desktop.release()
        assert not show_address(tmp_path).exists()

    on_qt(story)


def test_the_socket_is_this_users_alone_and_one_left_by_a_crash_is_replaced(
    qapp: QApplication, on_qt: OnQt, tmp_path: Path
) -> None:
    async def story() -> None:
        address = show_address(tmp_path)
        address.parent.mkdir(mode=0o700, exist_ok=True)
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(address))
        left.close()
        desktop = SingleDesktop(tmp_path)
        assert desktop.acquire()
        try:
            desktop.serve(qapp, lambda: None)
            assert address.parent.stat().st_mode & 0o777 == 0o700
            assert address.stat().st_mode & 0o077 == 0
            await asyncio.to_thread(ask_to_show, tmp_path)
        finally:
            desktop.release()

    on_qt(story)


def test_who_asks_for_something_else_is_hung_up_on(qapp: QApplication, on_qt: OnQt, tmp_path: Path) -> None:
    async def story() -> None:
        desktop = SingleDesktop(tmp_path)
        assert desktop.acquire()
        try:
            desktop.serve(qapp, lambda: pytest.fail("nobody asked to show anything"))
            for said in (b"hello\n", b"x" * 5000):
                reader, writer = await asyncio.open_unix_connection(show_address(tmp_path))
                writer.write(said)
                assert await asyncio.wait_for(reader.read(-1), 5) == b""
                writer.close()
        finally:
            desktop.release()

    on_qt(story)


def test_a_first_one_that_never_answers_is_named(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "ANSWER_WITHIN_S", 0.3)
    with pytest.raises(NotConnected, match="does not answer") as caught:
        ask_to_show(tmp_path)
    assert (caught.value.code, bool(caught.value.hint)) == ("desktop_silent", True)
