"""The program as a person starts it: real processes, a real display, a real platform, seen only from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edge_connector.platform_api import models as api
from tests.e2e.tool_folder import write_tools
from tests.support.commands import run_command
from tests.support.desktop_process import COMMAND, DesktopProcess, running_desktop
from tests.support.displays import PrivateDesktop, private_desktop
from tests.support.real_platform import RunningPlatform, running_platform
from tests.support.waiting import eventually

WORKING = ("working", "working_with_problems")


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory, _runtime_folder: Path) -> Iterator[PrivateDesktop]:
    """One display for the tests that leave it in peace. It has no panel."""
    with private_desktop(tmp_path_factory.mktemp("desktop")) as opened:
        yield opened


@dataclass
class Place:
    """An installation directory and a platform that knows it."""

    home: Path
    platform: RunningPlatform
    deployment: api.NewDeployment
    variables: dict[str, str]

    async def begin_hold(self, gate: Path) -> asyncio.Task[api.Call]:
        """A call that runs until `gate` exists."""
        call = asyncio.create_task(self.platform.call("hold", {"path": str(gate)}, deployment=self.deployment.id))
        await eventually(lambda: gate.with_suffix(".started").exists(), what="the call to run")
        return call


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A platform of this test's own with one deployment, and a folder of tools."""
    async with running_platform(tmp_path) as platform:
        deployment = await platform.deploy("desk")
        variables = {
            "TOOL_RPC_URL": platform.rpc_url,
            "PLATFORM_API_URL": platform.api_url,
            "DEPLOYMENT_ID": deployment.id,
            "DEPLOYMENT_SECRET": deployment.secret,
            "CUSTOM_IMPLEMENTATIONS_PATH": str(write_tools(tmp_path / "tools")),
        }
        yield Place(tmp_path / "home", platform, deployment, variables)


@pytest.mark.parametrize("loop", ["qt", "thread"])
async def test_it_shows_its_window_works_and_drains(desktop: PrivateDesktop, place: Place, loop: str) -> None:
    variables = {**place.variables, "EC_RUNTIME_LOOP": loop}
    gate = place.home.parent / "gate"
    async with running_desktop(desktop, place.home, variables) as program:
        await program.until_window()
        status = await program.until_state(*WORKING)
        assert (status["process"]["loop"] == "edge_connector") == (loop == "qt")
        assert status["process"]["pid"] == program.process.pid
        call = await place.begin_hold(gate)
        program.process._process.send_signal(signal.SIGTERM)
        await eventually(lambda: "waiting for running calls" in program.log, what="the drain")
        assert program.process.is_running
        gate.touch()
        assert (await call).outcome == "succeeded"
        assert await program.wait() == 0
    assert not (place.home / "edge-runtime.lock").exists()


async def test_a_second_signal_ends_it_at_once(desktop: PrivateDesktop, place: Place) -> None:
    async with running_desktop(desktop, place.home, place.variables) as program:
        await program.until_state(*WORKING)
        call = await place.begin_hold(place.home.parent / "never")
        program.process._process.send_signal(signal.SIGINT)
        await eventually(lambda: "waiting for running calls" in program.log, what="the drain")
        program.process._process.send_signal(signal.SIGTERM)
        assert await program.wait() == 130
        assert (await call).outcome == "interrupted"


async def test_a_second_launch_shows_the_first_ones_window(desktop: PrivateDesktop, place: Place) -> None:
    async with running_desktop(desktop, place.home, place.variables, "--hidden") as program:
        await program.until_state(*WORKING)
        assert program.windows() == []
        quiet = DesktopProcess(desktop, place.home, place.variables, "--hidden")
        assert await quiet.wait() == 0
        assert program.windows() == []
        second = DesktopProcess(desktop, place.home, place.variables)
        assert await second.wait() == 0
        await program.until_window()
        assert (await program.request("status"))["process"]["pid"] == program.process.pid


async def test_hidden_without_a_panel_it_does_not_stay_invisible(desktop: PrivateDesktop, place: Place) -> None:
    async with running_desktop(desktop, place.home, place.variables, "--hidden") as program:
        await eventually(lambda: "the window is the handle" in program.log, what="the window as the handle")
        await eventually(
            lambda: desktop.run("xdotool", "search", "--name", "^Edge Connector$", check=False),
            what="a minimized window in the task bar",
        )


async def test_closing_the_window_without_a_panel_quits(desktop: PrivateDesktop, place: Place) -> None:
    async with running_desktop(desktop, place.home, place.variables) as program:
        window = await program.until_window()
        await program.until_state(*WORKING)
        desktop.run("xdotool", "windowactivate", "--sync", window, "key", "ctrl+w")
        assert await program.wait() == 0
        assert "there is no tray" in program.log


@pytest.mark.parametrize("loop", ["qt", "thread"])
async def test_a_lost_display_drains(tmp_path: Path, place: Place, loop: str) -> None:
    desktop = PrivateDesktop(tmp_path / "desktop")
    try:
        display = start_display(desktop)
        variables = {**place.variables, "EC_RUNTIME_LOOP": loop}
        async with running_desktop(desktop, place.home, variables) as program:
            await program.until_window()
            await program.until_state(*WORKING)
            gate = tmp_path / "gate"
            call = await place.begin_hold(gate)
            display.kill()
            await eventually(lambda: "waiting for running calls" in program.log, what=f"the drain:\n{program.log}")
            gate.touch()
            assert (await call).outcome == "succeeded"
            assert await program.wait() == 0
            assert "ended after the display had gone code=0" in program.log
        assert not (place.home / "edge-runtime.lock").exists()
    finally:
        desktop.close()


async def test_it_attaches_to_a_connector_that_runs_already(desktop: PrivateDesktop, place: Place) -> None:
    headless = desktop.start(
        sys.executable, "-m", "edge_connector.cli.main", "run", "--dir", str(place.home),
        variables={**place.variables, "HEALTH_PORT": "0"},
    )  # fmt: skip
    async with running_desktop(desktop, place.home, place.variables) as program:
        try:
            await program.until_window()
            await eventually(lambda: f"attached pid={headless.pid}" in program.log, what=f"attached:\n{program.log}")
            assert await program.stop() == 0
            assert headless.is_running
            assert (await program.request("status"))["process"]["pid"] == headless.pid
        finally:
            await asyncio.to_thread(headless.stop)


async def test_without_credentials_it_stays_and_needs_a_person(desktop: PrivateDesktop, tmp_path: Path) -> None:
    async with running_desktop(desktop, tmp_path / "home", {}) as program:
        await program.until_window()
        status = await program.until_state("needs_you")
        assert "needs_login" in [problem["code"] for problem in status["problems"]]


async def test_a_broken_configuration_is_shown_not_hidden(desktop: PrivateDesktop, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.json").write_text("{ this is not JSON")
    async with running_desktop(desktop, home, {}) as program:
        await program.until_window()
        await eventually(lambda: "cannot run code=config_not_json" in program.log, what="the reason in the log")
        assert await program.stop() == 0


async def test_the_default_health_port_gives_way_and_a_chosen_one_does_not(
    desktop: PrivateDesktop, place: Place
) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        except OSError:
            pass  # somebody else took it, which serves as well
        async with running_desktop(desktop, place.home, {**place.variables, "HEALTH_PORT": ""}) as program:
            status = await program.until_state(*WORKING)
            assert 8080 < status["health"]["port"] <= 8100
            assert "health port taken" in program.log
        async with running_desktop(desktop, place.home, {**place.variables, "HEALTH_PORT": "8080"}) as program:
            await eventually(lambda: "cannot run code=health_port_taken" in program.log, what="the refusal")


async def test_auto_resume_goes_on_with_the_pause(desktop: PrivateDesktop, place: Place) -> None:
    for options, expected in ((("--auto-resume",), "paused"), ((), "working")):
        async with running_desktop(desktop, place.home, place.variables) as program:
            await program.until_state(*WORKING)
            await program.request("pause")
            await program.until_state("paused")
        async with running_desktop(desktop, place.home, place.variables, *options) as program:
            await program.until_state(expected, "working_with_problems" if expected == "working" else expected)


@pytest.mark.parametrize("display", ["", ":4711"])
async def test_without_a_display_it_says_what_to_run(tmp_path: Path, display: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run, [*COMMAND, "--dir", str(tmp_path)],
        env=bare_environment(tmp_path, DISPLAY=display), capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no display" in done.stderr and "`edge-connector run`" in done.stderr


async def test_without_display_and_tray_it_runs_headless(tmp_path: Path, place: Place) -> None:
    desktop = PrivateDesktop(tmp_path / "nothing")
    variables = {**place.variables, "EC_DISABLE_TRAY": "1"}
    try:
        async with running_desktop(desktop, place.home, variables) as program:
            status = await program.until_state(*WORKING)
            assert status["process"]["loop"] in ("uvloop", "asyncio")
            assert await program.stop() == 0
    finally:
        desktop.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--version",), 0, "edge-connector-desktop "),
        (("--help",), 0, "--auto-resume"),
        (("--nonsense",), 2, "No such option"),
        (("--dir", ""), 1, "--dir is not a usable path"),
    ],
)
def test_its_command_line(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = subprocess.run(
        [*COMMAND, *words], env=bare_environment(tmp_path), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode in (code, 2 if code == 1 else code), done.stderr
    assert said in done.stdout + done.stderr


async def test_an_unknown_loop_is_refused(desktop: PrivateDesktop, tmp_path: Path) -> None:
    program = DesktopProcess(desktop, tmp_path / "home", {"EC_RUNTIME_LOOP": "trio"})
    assert await program.wait() != 0
    assert "EC_RUNTIME_LOOP is 'trio'" in program.log


def test_void_qt_calls_do_not_use_up_none() -> None:
    """PySide6 6.12.0 drops a reference to None with each and aborts Python 3.10 and 3.11 after about 5,000."""
    script = "from PySide6.QtCore import QObject\no = QObject()\nfor _ in range(20_000): o.setObjectName('x')\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


async def test_stop_on_the_command_line_ends_it(desktop: PrivateDesktop, place: Place) -> None:
    async with running_desktop(desktop, place.home, place.variables) as program:
        await program.until_state(*WORKING)
        done = await run_command("stop", directory=place.home)
        assert done.code == 0, done.err
        assert await program.wait() == 0


def start_display(desktop: PrivateDesktop) -> psutil.Process:
    """The X server of a display that a test may kill."""
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    desktop.start_display()
    (server,) = [child for child in me.children() if child.pid not in before]
    return server


def bare_environment(home: Path, **variables: str) -> dict[str, str]:
    """Nothing but paths."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
        "LANG": "C.UTF-8",
        **variables,
    }
