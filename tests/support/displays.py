"""A private desktop for tests: X server, window manager and session bus of their own, always reaped.

    with private_desktop(tmp_path) as desktop:
        subprocess.run(["xdotool", "search", ...], env=desktop.environment)
        host = desktop.start("trayer", "--edge", "bottom")

Nothing of the machine's own desktop is used or disturbed; several may run side by side. Needs the Debian packages xvfb,
openbox, dbus-daemon, x11-utils, xdotool and imagemagick.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.waiting import eventually_sync

EXIT_S = 5.0
START_S = 20.0

BUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
"""No service folders: nothing that is installed on the machine can be activated behind the test's back."""


class Started:
    """One process of the desktop. Its output is in `log_file`."""

    def __init__(
        self,
        words: list[str],
        environment: dict[str, str],
        log_file: Path,
        *,
        pass_fds: tuple[int, ...] = (),
        listens: bool = False,
    ) -> None:
        self.words = words
        self.log_file = log_file
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def log(self) -> str:
        """All it wrote so far."""
        return self.log_file.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """False after its end."""
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to its standard input; it was started with `listens`."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def wait(self, *, deadline_s: float = EXIT_S) -> int:
        """Wait for its own end; returns the exit code."""
        return self._process.wait(deadline_s)

    def kill(self) -> None:
        """End it without a chance to say goodbye; idempotent."""
        if self.is_running:
            self._process.kill()
        self._reap()

    def stop(self) -> None:
        """End it in order, by force when it does not listen; idempotent."""
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait(EXIT_S)
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass


class PrivateDesktop:
    """An X display and a session bus with the environment that leads to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local" / "share"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"],
            "XDG_SESSION_TYPE": "x11",
            "NO_AT_BRIDGE": "1",
        }
        """What a program on this desktop is started with."""
        self._stack = ExitStack()
        self._started = 0

    def start(
        self,
        *words: str,
        pass_fds: tuple[int, ...] = (),
        listens: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> Started:
        """Start a program on this desktop; it is ended with the desktop at the latest.

        Args:
            listens: whether it is given a standard input, see `Started.tell`.
            variables: added to its environment.
        """
        self._started += 1
        log_file = self.folder / f"{self._started:02d}-{Path(words[0]).name}.log"
        started = Started(
            [*words], {**self.environment, **(variables or {})}, log_file, pass_fds=pass_fds, listens=listens
        )
        self._stack.callback(started.stop)
        return started

    def run(self, *words: str, deadline_s: float = 10.0, check: bool = True) -> str:
        """Run a program to its end; its standard output, stripped.

        Raises:
            AssertionError: it failed and `check` is set.
        """
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=deadline_s)
        assert not check or done.returncode == 0, f"{words} ended with {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    def screenshot(self, path: Path) -> Path:
        """Write what the whole screen shows as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run("import", "-window", "root", str(path))
        return path

    # ---- parts

    def start_display(self, *, size: str = "1280x800") -> None:
        """Start an X server on a free display number, which it chooses itself."""
        reading, writing = os.pipe()
        try:
            server = self.start(
                "Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size}x24", "-nolisten", "tcp", "-noreset",
                pass_fds=(writing,),
            )  # fmt: skip
            os.close(writing)
            writing = -1
            os.set_blocking(reading, False)
            number = eventually_sync(lambda: _line(reading, server), what="a display number", deadline_s=START_S)
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        self.environment["DISPLAY"] = f":{number}"

    def start_window_manager(self) -> Started:
        """Start openbox and wait until it manages the display."""
        manager = self.start("openbox", "--sm-disable")
        eventually_sync(
            lambda: "window id" in self.run("xprop", "-root", "_NET_SUPPORTING_WM_CHECK"),
            what="a window manager",
            deadline_s=START_S,
        )
        return manager

    def start_bus(self) -> Started:
        """Start a session bus without any activatable service; it replaces the one before."""
        self._started += 1
        # Not in `folder`: a socket path holds 108 bytes.
        address = Path(os.environ["XDG_RUNTIME_DIR"]) / f"bus-{os.getpid()}-{id(self):x}-{self._started}"
        self._stack.callback(lambda: address.unlink(missing_ok=True))
        configuration = self.folder / f"bus-{self._started}.conf"
        configuration.write_text(BUS_CONFIGURATION.format(socket=address))
        bus = self.start("dbus-daemon", f"--config-file={configuration}", "--nofork", "--nopidfile")
        eventually_sync(address.exists, what=f"the session bus: {bus.log}", deadline_s=START_S)
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={address}"
        return bus

    def close(self) -> None:
        """End everything that was started, the last first."""
        self._stack.close()


def _line(descriptor: int, server: Started) -> str:
    assert server.is_running, f"the X server ended: {server.log}"
    try:
        return os.read(descriptor, 64).decode().strip()
    except BlockingIOError:
        return ""


@contextmanager
def private_desktop(
    folder: Path, *, size: str = "1280x800", window_manager: bool = True, bus: bool = True
) -> Iterator[PrivateDesktop]:
    """A desktop with all its parts, logs under `folder`; everything is ended on leaving."""
    desktop = PrivateDesktop(folder)
    try:
        desktop.start_display(size=size)
        if bus:
            desktop.start_bus()
        if window_manager:
            desktop.start_window_manager()
        yield desktop
    finally:
        desktop.close()
