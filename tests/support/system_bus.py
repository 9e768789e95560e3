"""A system bus of a test's own, and a logind on it that is played: what a connector sees when a laptop's lid closes.

    with private_system_bus(tmp_path) as bus:               # sets DBUS_SYSTEM_BUS_ADDRESS
        async with played_logind(bus) as logind:
            await logind.prepare_for_sleep(True)
            await logind.until_released()                   # the machine would sleep now

Interfaces: org.freedesktop.login1(5). Needs the Debian package dbus-daemon.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from dbus_fast import BusType, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

from tests.support.displays import BUS_CONFIGURATION
from tests.support.waiting import eventually, eventually_sync

LOGIND = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
MANAGER = "org.freedesktop.login1.Manager"
VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"


class SystemBus:
    """A bus daemon on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        # Not in `folder`: a socket path holds 108 bytes.
        self._socket = Path(os.environ["XDG_RUNTIME_DIR"]) / f"system-{os.getpid()}-{id(self):x}"
        self.address = f"unix:path={self._socket}"
        self._configuration = folder / "system-bus.conf"
        self._configuration.write_text(BUS_CONFIGURATION.format(socket=self._socket))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon and wait for its socket."""
        self._process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={self._configuration}", "--nofork", "--nopidfile"],
            stderr=subprocess.DEVNULL,
        )
        eventually_sync(self._answers, what="the system bus")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            return self._socket.exists() and asking.connect_ex(str(self._socket)) == 0

    def stop(self) -> None:
        """End the daemon; whoever is connected is cut off."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
        self._socket.unlink(missing_ok=True)


@contextmanager
def private_system_bus(folder: Path) -> Iterator[SystemBus]:
    """A system bus for this process and those it starts."""
    before = os.environ.get(VARIABLE)
    bus = SystemBus(folder)
    bus.start()
    os.environ[VARIABLE] = bus.address
    try:
        yield bus
    finally:
        bus.stop()
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


class PlayedLogind:
    """The one part of logind that counts here: delay inhibitors, and the announcement they delay."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._held: list[int] = []
        self.inhibitors: list[list[str]] = []
        """What, who, why and mode of each inhibitor that was asked for."""

    def answer(self, message: Message) -> bool | None:
        """Answer a call of `Inhibit` with one end of a pipe, as logind does with its fifos."""
        if message.message_type is not MessageType.METHOD_CALL or message.member != "Inhibit":
            return None
        assert message.interface == MANAGER and message.path == PATH and message.signature == "ssss"
        ours, theirs = os.pipe()
        self._held.append(ours)
        self.inhibitors.append(list(message.body))
        sent = self._bus.send(Message.new_method_return(message, "h", [0], unix_fds=[theirs]))
        sent.add_done_callback(lambda _: os.close(theirs))
        return True

    async def prepare_for_sleep(self, going: bool) -> None:
        """Tell everybody that the machine is about to sleep, or that it resumed."""
        signal = Message(
            path=PATH,
            interface=MANAGER,
            member="PrepareForSleep",
            message_type=MessageType.SIGNAL,
            flags=MessageFlag.NO_REPLY_EXPECTED,
            signature="b",
            body=[going],
        )
        await self._bus.send(signal)

    @property
    def held(self) -> int:
        """How many inhibitors are open now: the suspend waits for them."""
        return sum(1 for end in self._held if not _is_closed(end))

    async def until_held(self) -> None:
        """Wait until a suspend would be held up."""
        await eventually(lambda: self.held == 1, what="an inhibitor")

    async def until_released(self) -> None:
        """Wait until the suspend is not held up any more."""
        await eventually(lambda: self.held == 0, what="the inhibitor is closed")

    def close(self) -> None:
        for end in self._held:
            os.close(end)


def _is_closed(end: int) -> bool:
    """Whether nobody has the other end of a pipe any more."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


@asynccontextmanager
async def played_logind(bus: SystemBus) -> AsyncIterator[PlayedLogind]:
    """A logind on `bus`."""
    connection = await MessageBus(bus_address=bus.address, bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    logind = PlayedLogind(connection)
    connection.add_message_handler(logind.answer)
    await connection.request_name(LOGIND)
    try:
        yield logind
    finally:
        connection.disconnect()
        try:
            await connection.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (OSError, EOFError):  # the daemon was stopped before
            pass
        logind.close()
