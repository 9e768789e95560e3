"""The end of a real X11 session as `startx` has it: xinit, a session manager that starts the program, and no mercy.

When the session manager ends, xinit hangs up on everything it started and takes the display away at the same time.
The Qt of the wheels knows no session management protocol (XSMP): what counts is the end itself, not an announcement.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edge_connector.control.address import control_address
from edge_connector.desktop.single import show_address
from tests.desktop import test_main
from tests.support.commands import TRACEBACK
from tests.support.desktop_process import COMMAND, WINDOW, running_desktop
from tests.support.displays import PrivateDesktop, Started, private_desktop
from tests.support.processes import processes_in
from tests.support.waiting import eventually

DISPLAYS_FROM = 1000
"""xinit wants a number that is known before: one of this process' own, out of reach of those that are counted up."""
EXIT_S = 30.0

place = test_main.place
Place = test_main.Place

START = """#!/bin/sh
# The shell outlives the hang-up to write the code down; the program gets it as xinit sends it.
trap : HUP
cd {home}
{command} >{log} 2>&1
echo $? >{code}.new && mv {code}.new {code}
"""


class Session:
    """An X11 session with a session manager, a window manager and the program."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.desktop = PrivateDesktop(folder)
        self.log_file, self._code_file = folder / "program.log", folder / "code"
        self._home = place.home
        place.home.mkdir()
        start = folder / "start"
        command = shlex.join([*COMMAND, "--dir", str(place.home)])
        start.write_text(START.format(home=place.home, command=command, log=self.log_file, code=self._code_file))
        start.chmod(0o755)
        environment = self.desktop.environment
        (Path(environment["HOME"]) / ".xsmstartup").write_text(f"openbox --sm-disable\n{start}\n")
        environment["DISPLAY"] = f":{DISPLAYS_FROM + os.getpid() % 50_000}"
        self._variables = {**place.variables, "HEALTH_PORT": "0", "SM_SAVE_DIR": environment["HOME"]}
        self._xinit: Started | None = None

    def start(self, **variables: str) -> Started:
        """Log in; `variables` are added to what the session is started with."""
        self.desktop.start_bus()
        self._xinit = self.desktop.start(
            "xinit", "/usr/bin/xsm", "-session", "test", "--",
            "/usr/bin/Xvfb", self.desktop.environment["DISPLAY"], "-screen", "0", "1280x800x24", "-nolisten", "tcp",
            variables={**self._variables, **variables},
        )  # fmt: skip
        return self._xinit

    def shut_down(self) -> None:
        """Log out, as xsm(1) has it for those who have no mouse."""
        assert self._xinit is not None
        (manager,) = [child for child in psutil.Process(self._xinit.pid).children() if child.name() == "xsm"]
        manager.send_signal(signal.SIGTERM)

    @property
    def log(self) -> str:
        """All that the program wrote."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def code(self) -> str:
        """The program's exit code, empty while it runs."""
        return self._code_file.read_text().strip() if self._code_file.exists() else ""

    def windows(self) -> list[str]:
        """Ids of the program's visible windows."""
        return self.desktop.run("xdotool", "search", "--onlyvisible", "--name", WINDOW, check=False).split()

    def close(self) -> None:
        """End everything, also what a broken test has left."""
        family: list[psutil.Process] = []
        if self._xinit is not None and self._xinit.is_running:
            family = psutil.Process(self._xinit.pid).children(recursive=True)
        self.desktop.close()
        for process in family:
            if process.is_running():
                process.kill()
        for line in processes_in(self._home):
            os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        for address in (control_address(self._home), show_address(self._home)):
            address.unlink(missing_ok=True)


@pytest.fixture
def session(tmp_path: Path, place: Place) -> Iterator[Session]:
    opened = Session(tmp_path / "session", place)
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("loop", ["qt", "thread"])
async def test_the_end_of_an_x11_session_drains(session: Session, place: Place, loop: str) -> None:
    xinit = session.start(EC_RUNTIME_LOOP=loop)
    lock = place.home / "edge-runtime.lock"
    await eventually(session.windows, what="its window", interval_s=0.05)
    await eventually(lambda: "connecting -> working" in session.log, what=f"work:\n{session.log}")
    assert lock.exists()
    gate = place.home.parent / "gate"
    call = await place.begin_hold(gate)

    session.shut_down()
    await eventually(lambda: not xinit.is_running, what="the end of the session")
    await eventually(lambda: "waiting for running calls" in session.log, what=f"the drain:\n{session.log}")
    gate.touch()
    assert (await call).outcome == "succeeded"
    await eventually(lambda: session.code, what=f"its end:\n{session.log}", deadline_s=EXIT_S)
    assert session.code == "0", session.log
    assert TRACEBACK not in session.log
    await eventually(lambda: not processes_in(place.home), what=f"nothing is left: {processes_in(place.home)}")
    assert not lock.exists()
    assert not control_address(place.home).exists() and not show_address(place.home).exists()


async def test_a_stop_with_a_hang_up_behind_it_is_no_second_stop(tmp_path: Path, place: Place) -> None:
    """systemd ends the scope of a login session with SIGTERM and SIGHUP at once (SendSIGHUP in systemd.kill(5))."""
    with private_desktop(tmp_path / "desktop", window_manager=False, bus=False) as desktop:
        async with running_desktop(desktop, place.home, place.variables) as program:
            await program.until_state(*test_main.WORKING)
            gate = tmp_path / "gate"
            call = await place.begin_hold(gate)
            os.kill(program.process.pid, signal.SIGTERM)
            os.kill(program.process.pid, signal.SIGHUP)
            await eventually(lambda: "waiting for running calls" in program.log, what=f"the drain:\n{program.log}")
            os.kill(program.process.pid, signal.SIGHUP)
            gate.touch()
            assert (await call).outcome == "succeeded"
            assert await program.wait() == 0
        assert not (place.home / "edge-runtime.lock").exists()
