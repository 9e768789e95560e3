"""The Qt loop as an asyncio loop: order, timers, threads, sockets, processes, signals, and its life without Qt."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import sys
import threading
import time

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from edge_connector.desktop.loop import COMPACT_ABOVE, DesktopLoop
from tests.support.qt_loop import OnQt
from tests.support.waiting import eventually


def test_callbacks_run_in_order_and_cancelled_ones_do_not(on_qt: OnQt) -> None:
    async def story() -> None:
        loop, seen = asyncio.get_running_loop(), list[int]()
        handles = [loop.call_soon(seen.append, number) for number in range(5)]
        handles[2].cancel()
        later = [loop.call_later(delay, seen.append, int(delay * 1000)) for delay in (0.03, 0.01, 0.02)]
        later[2].cancel()
        await asyncio.sleep(0.06)
        assert seen == [0, 1, 3, 4, 10, 30]

    on_qt(story)


def test_a_timer_fires_neither_early_nor_a_frame_late(on_qt: OnQt) -> None:
    async def story() -> None:
        for wait_s in (0.001, 0.02, 0.11):
            began = time.monotonic()
            await asyncio.sleep(wait_s)
            took = time.monotonic() - began
            assert wait_s <= took < wait_s + 0.25, took

    on_qt(story)


def test_timers_of_calls_that_ended_leave_nothing_behind(on_qt: OnQt) -> None:
    """qasync keeps a Qt timer for each of them until its time has come: a minute here."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DesktopLoop)
        for _ in range(2000):
            async with asyncio.timeout(60):
                await asyncio.sleep(0)
        assert len(loop._waiting) <= 2 * COMPACT_ABOVE + 2

    on_qt(story)


def test_other_threads_wake_the_loop_and_bring_their_context(on_qt: OnQt) -> None:
    async def story() -> None:
        name = contextvars.ContextVar("name", default="none")
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[tuple[str, int]]()

        def work() -> None:
            name.set("worker")
            loop.call_soon_threadsafe(lambda: heard.put_nowait((name.get(), threading.get_ident())))

        thread = threading.Thread(target=work)
        thread.start()
        assert await asyncio.wait_for(heard.get(), 5) == ("worker", threading.get_ident())
        thread.join()
        assert await asyncio.to_thread(lambda: 42) == 42

    on_qt(story)


def test_streams_and_processes(on_qt: OnQt) -> None:
    async def story() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        payload = os.urandom(3_000_000)
        writer.write(payload)
        writer.write_eof()
        assert await reader.read(-1) == payload
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input()[::-1]); raise SystemExit(3)", stdin=-1, stdout=-1
        )
        out, _ = await process.communicate(b"desserts\n")
        assert (out.strip(), process.returncode) == (b"stressed", 3)

    on_qt(story)


def test_a_descriptor_that_was_closed_first_is_forgotten(on_qt: OnQt) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        loop.add_reader(left, lambda: pytest.fail("nobody listens any more"))
        left.close()
        assert loop.remove_reader(left)
        again, other = socket.socketpair()  # most likely with the same number
        heard = asyncio.Event()
        loop.add_reader(again, heard.set)
        other.send(b"x")
        await asyncio.wait_for(heard.wait(), 5)
        loop.remove_reader(again)
        for one in (right, again, other):
            one.close()

    on_qt(story)


def test_signals_arrive_on_the_loop(on_qt: OnQt) -> None:
    async def story() -> None:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(heard.wait(), 5)
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    on_qt(story)


def test_a_flood_of_callbacks_leaves_qt_its_turn(on_qt: OnQt) -> None:
    async def story() -> None:
        beats = 0

        def beat() -> None:
            nonlocal beats
            beats += 1

        timer = QTimer(interval=1)
        timer.timeout.connect(beat)
        timer.start()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            await asyncio.sleep(0)
        timer.stop()
        assert beats >= 20, beats

    on_qt(story)


def test_it_finishes_without_qt(qapp: QApplication) -> None:
    """What a lost display leaves: sockets, timers, threads and tasks go on in a Qt callback that never returns."""
    with asyncio.Runner(loop_factory=lambda: DesktopLoop(qapp)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, DesktopLoop)
        stopping, steps = asyncio.Event(), list[str]()

        async def life() -> None:
            try:
                await stopping.wait()
            finally:
                await asyncio.sleep(0.02)
                steps.append("timer")
                steps.append(await asyncio.to_thread(lambda: "thread"))
                left, right = socket.socketpair()
                left.setblocking(False)
                loop.call_later(0.01, right.send, b"socket")
                steps.append((await loop.sock_recv(left, 100)).decode())
                left.close()
                right.close()

        task = loop.create_task(life())
        ended: list[bool] = []

        def lose_display() -> None:
            stopping.set()
            ended.append(loop.finish_without_qt(task.done, deadline_s=10))
            qapp.exit()

        QTimer.singleShot(50, qapp, lose_display)
        with pytest.raises(RuntimeError, match="stopped before Future completed"):
            loop.run_until_complete(loop.create_future())
        assert ended == [True]
        assert steps == ["timer", "thread", "socket"]
        loop._qt_gone = False  # for the runner's own clean-up, which a process without display never reaches


def test_without_qt_it_gives_up_at_the_deadline(qapp: QApplication) -> None:
    with asyncio.Runner(loop_factory=lambda: DesktopLoop(qapp)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, DesktopLoop)
        assert not loop.finish_without_qt(lambda: False, deadline_s=0.05)
        loop._qt_gone = False


def test_nothing_runs_between_two_runs_and_nothing_is_lost(qapp: QApplication) -> None:
    with asyncio.Runner(loop_factory=lambda: DesktopLoop(qapp)) as runner:
        loop, seen = runner.get_loop(), list[str]()

        def note() -> None:
            seen.append("running" if asyncio._get_running_loop() is loop else "not running")

        async def leave_something() -> None:
            loop.call_soon(loop.call_soon, note)
            loop.call_later(0, note)

        runner.run(leave_something())
        for _ in range(5):
            qapp.processEvents()
        assert "not running" not in seen
        runner.run(asyncio.sleep(0.05))
        assert seen == ["running", "running"]


def test_a_qt_loop_inside_a_callback_makes_tasks_wait(on_qt: OnQt, qapp: QApplication) -> None:
    async def story() -> None:
        inside, seen = [False], list[bool]()

        async def other() -> None:
            for _ in range(3):
                seen.append(inside[0])
                await asyncio.sleep(0)

        task = asyncio.get_running_loop().create_task(other())
        inside[0] = True
        for _ in range(5):
            qapp.processEvents()
        inside[0] = False
        await task
        assert seen == [False, False, False]

    on_qt(story)


def test_a_closed_loop_takes_nothing(qapp: QApplication) -> None:
    loop = DesktopLoop(qapp)
    loop.close()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(print)


def test_eventually_works_here(on_qt: OnQt) -> None:
    async def story() -> None:
        end = time.monotonic() + 0.05
        await eventually(lambda: time.monotonic() > end, what="time to pass")

    on_qt(story)


def test_garbage_is_collected_on_the_thread_of_the_loop_alone(on_qt: OnQt) -> None:
    """A cycle of a widget that dies on another thread takes Qt down."""
    died_on: list[int] = []

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            died_on.append(threading.get_ident())

    async def story() -> None:
        for _ in range(20):
            Cycle()
            # More than enough for a collection, on a thread of its own.
            await asyncio.to_thread(lambda: [[number] for number in range(20_000)])
        await eventually(lambda: len(died_on) == 20, what="all of them dead")

    assert gc.isenabled()
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # a platform or connector of an earlier test may have raised it
    try:
        on_qt(story)
    finally:
        gc.set_threshold(*before)
    assert gc.isenabled()
    assert set(died_on) == {threading.get_ident()}
