"""The desktop, measured from outside: its start, what it costs while hidden, and what calls through it cost.

`python benchmarks/desktop.py` runs the real program under Xvfb and openbox beside a bare reference (a PySide6 window on
qasync) and a headless connector, and prints one JSON document. Ratios say something; single figures depend on the
machine and on what else it does. Linux only; needs what tests of the desktop need.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import select
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from Xlib import X, display  # type: ignore[import-untyped]
from Xlib.protocol import event as xevent  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.displays import PrivateDesktop, Started, private_desktop

from benchmarks.caller import CallerConnection
from benchmarks.edge import set_up
from benchmarks.harness import free_port, running, wait_for

RUNS = 7
START_WITHIN_S = 30.0
SETTLE_S = 15.0
"""After a start, before anything counts as idle."""
RATE = 1000
BATCH_S = 0.01
FRAME_MS = 16
SAMPLES = 20
"""Looks at the memory over an idle time."""
STRIP_PX = 80
"""So much of a window's top is looked at: both windows have words there."""

BARE = """
import asyncio, signal, sys
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow
from qasync import QEventLoop
application = QApplication(["bare"])
window = QMainWindow()
window.setWindowTitle("Bare")
window.resize(980, 680)
label = QLabel("A window")
label.setAlignment(Qt.AlignmentFlag.AlignTop)
window.setCentralWidget(label)
if "--hidden" not in sys.argv:
    window.show()
async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
with asyncio.Runner(loop_factory=lambda: QEventLoop(application)) as runner:
    runner.run(main())
"""

HEADLESS = """
import sys
sys.modules["uvloop"] = None  # asyncio's own loop, as if it were not installed
from edge_connector.cli.main import main
main()
"""

PROBED = """
import atexit, json, sys, time
from edge_connector.desktop import host, main
made, stamps = host.make_application, []
def make_application():
    from PySide6.QtCore import QTimer, Qt
    application = made()
    timer = QTimer(application, interval=%d, timerType=Qt.TimerType.PreciseTimer)
    def beat():
        stamps.append(time.monotonic())
        for widget in application.topLevelWidgets():
            if widget.isVisible():
                widget.update()
    timer.timeout.connect(beat)
    timer.start()
    return application
host.make_application = make_application
file = sys.argv.pop(1)
atexit.register(lambda: open(file, "w").write(json.dumps(stamps)))
main.main()
"""  # a whole repaint at each beat: more than the program ever asks for


class Screen:
    """What an X client can see of a display; it is the display's tray too, so that icons have a place."""

    def __init__(self, desktop: PrivateDesktop) -> None:
        self._display = display.Display(desktop.environment["DISPLAY"])
        screen = self._display.screen()
        self._root = screen.root
        self._root.change_attributes(event_mask=X.PropertyChangeMask)
        self._clients = self._display.intern_atom("_NET_CLIENT_LIST")
        self._opcode = self._display.intern_atom("_NET_SYSTEM_TRAY_OPCODE")
        self._tray = self._root.create_window(0, 700, 200, 24, 0, screen.root_depth, event_mask=X.NoEventMask)
        self._tray.set_selection_owner(self._display.intern_atom("_NET_SYSTEM_TRAY_S0"), X.CurrentTime)
        self._tray.map()
        self._display.sync()

    def close(self) -> None:
        """Let go of the display."""
        self._display.close()

    def until_shown(self, started: Started, began: float) -> tuple[float, float | None]:
        """Seconds from `began` until a window of the program is painted, and until an icon asked for its place."""
        end, icon_s, window = began + START_WITHIN_S, None, None
        while time.monotonic() < end and started.is_running:
            if window is not None and self._is_painted(window):
                return time.monotonic() - began, icon_s
            if not self._display.pending_events():
                select.select([self._display.fileno()], [], [], 0.002 if window is not None else 0.2)
                if not self._display.pending_events():
                    continue
            found = self._display.next_event()
            if found.type == X.ClientMessage and found.client_type == self._opcode:
                icon_s = icon_s or time.monotonic() - began
                self._embed(found.data[1][2])
            elif found.type == X.PropertyNotify and found.atom == self._clients:
                listed = self._root.get_full_property(self._clients, X.AnyPropertyType)
                if listed is not None and len(listed.value):
                    window = self._display.create_resource_object("window", listed.value[-1])
        raise SystemExit(f"no window:\n{started.log}")

    def serve(self, seconds: float) -> None:
        """Give icons their place for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            select.select([self._display.fileno()], [], [], left)
            while self._display.pending_events():
                found = self._display.next_event()
                if found.type == X.ClientMessage and found.client_type == self._opcode:
                    self._embed(found.data[1][2])

    def _embed(self, number: int) -> None:
        icon = self._display.create_resource_object("window", number)
        icon.reparent(self._tray, 0, 0)
        icon.map()
        xembed = self._display.intern_atom("_XEMBED")
        data = (32, [X.CurrentTime, 0, 0, self._tray.id, 0])
        icon.send_event(xevent.ClientMessage(window=icon, client_type=xembed, data=data))
        self._display.flush()

    def _is_painted(self, window: Any) -> bool:
        """Whether there is more than one colour in the upper part of it."""
        try:
            shape = window.get_geometry()
            if window.get_attributes().map_state != X.IsViewable:
                return False
            picture = window.get_image(0, 0, shape.width, min(STRIP_PX, shape.height), X.ZPixmap, 0xFFFFFFFF)
        except Exception:  # it went away, or is not mapped yet
            return False
        pixels = memoryview(picture.data).cast("I")
        return any(pixel != pixels[0] for pixel in pixels[:: max(len(pixels) // 20_000, 1)])


@contextmanager
def started_program(desktop: PrivateDesktop, words: list[str], **variables: str) -> Iterator[Started]:
    """A program until the block ends."""
    started = desktop.start(*words, variables=variables)
    try:
        yield started
    finally:
        started.stop()


# ---- start


def starts(desktop: PrivateDesktop, screen: Screen, homes: Path, program: list[str], runs: int) -> dict[str, Any]:
    """Warm starts of the desktop and of the bare reference, by turns; the first of each is not counted."""
    seconds: dict[str, list[float]] = {"desktop": [], "trayIcon": [], "bare": []}
    for number in range(runs + 1):
        for name in ("desktop", "bare"):
            words = [*program, "--dir", str(homes / "start")] if name == "desktop" else [sys.executable, "-c", BARE]
            began = time.monotonic()
            with started_program(desktop, words, HEALTH_PORT="0") as started:
                shown, icon = screen.until_shown(started, began)
            if number:
                seconds[name].append(shown)
                if name == "desktop" and icon is not None:
                    seconds["trayIcon"].append(icon)
    median = {name: round(statistics.median(all_) * 1000) if all_ else None for name, all_ in seconds.items()}
    return {
        "runs": runs,
        "shownMs": median["desktop"],
        "trayIconMs": median["trayIcon"],
        "trayIconFirst": sum(a < b for a, b in zip(seconds["trayIcon"], seconds["desktop"], strict=False)) == runs,
        "bareShownMs": median["bare"],
        "toBare": round(statistics.median(seconds["desktop"]) / statistics.median(seconds["bare"]), 2),
        "shownEachMs": [round(value * 1000) for value in seconds["desktop"]],
    }


# ---- idle


def counters(pid: int) -> tuple[dict[str, int], float]:
    """Voluntary context switches by thread, and processor seconds of the process."""
    switches: Counter[str] = Counter()
    run_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if ":" in line)
        switches[f"{lines['Name'].strip()}/{task.name}"] += int(lines["voluntary_ctxt_switches"])
        run_ns += int((task / "schedstat").read_text().split()[0])
    return dict(switches), run_ns / 1e9


def idle(pids: dict[str, int], seconds: float, serve: Callable[[float], None]) -> dict[str, Any]:
    """What each process holds at the beginning and at the end of `seconds`, and what it did meanwhile."""
    processes = {name: psutil.Process(pid) for name, pid in pids.items()}
    before = {name: (counters(pid), held(processes[name])) for name, pid in pids.items()}
    rss: dict[str, list[float]] = {name: [] for name in pids}
    for _ in range(SAMPLES):
        serve(seconds / SAMPLES)
        for name, process in processes.items():
            rss[name].append(round(process.memory_info().rss / 1e6, 1))
    found = {}
    for name, pid in pids.items():
        (switches, cpu_s), first = before[name]
        after, cpu_after = counters(pid)
        each = {thread: round((count - switches.get(thread, 0)) / seconds, 3) for thread, count in after.items()}
        found[name] = {
            "atFirst": first,
            "atLast": held(processes[name]),
            "rssMb": rss[name],
            "cpuPercent": round((cpu_after - cpu_s) / seconds * 100, 3),
            "wakeUpsPerSecond": round(sum(each.values()), 3),
            "wakeUpsByThread": {
                thread: rate for thread, rate in sorted(each.items(), key=lambda pair: -pair[1]) if rate
            },
        }
    return found


def held(process: psutil.Process) -> dict[str, Any]:
    """Memory in 10^6 bytes, open files, threads and children of a process."""
    memory = process.memory_full_info()
    return {
        "rssMb": round(memory.rss / 1e6, 1),
        "ussMb": round(memory.uss / 1e6, 1),
        "openFiles": process.num_fds(),
        "threads": process.num_threads(),
        "children": [round(child.memory_info().rss / 1e6, 1) for child in process.children(recursive=True)],
    }


async def another_deployment(api: str, token: str) -> dict[str, str]:
    """The variables of a deployment of its own: one connector each."""
    from edge_connector.platform_api.client import PlatformClient
    from edge_connector.platform_api.models import DeploymentRequest
    from edge_connector.platform_api.operations import CREATE_DEPLOYMENT

    async def provide() -> str:
        return token

    async with PlatformClient(api, provide) as client:
        made = await client.call(CREATE_DEPLOYMENT, DeploymentRequest(name="bench-headless"))
    return {"DEPLOYMENT_ID": made.id, "DEPLOYMENT_SECRET": made.secret}


# ---- calls


async def paced(url: str, token: str, seconds: float) -> tuple[int, list[float]]:
    """Make 1,000 calls a second over one session; returns how many succeeded, and their times."""
    caller = CallerConnection(url, token)
    # Ids that no run used before: the platform answers a call it knows from its memory.
    caller._number = time.time_ns()
    await caller.open()
    times: list[float] = []

    async def one() -> None:
        began = time.perf_counter()
        await caller.call()
        times.append(time.perf_counter() - began)

    try:
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for batch in range(round(seconds / BATCH_S)):
                await asyncio.sleep(max(begin + batch * BATCH_S - time.monotonic(), 0))
                for _ in range(round(RATE * BATCH_S)):
                    group.create_task(one())
        return len(times), sorted(times)
    finally:
        await caller.close()


def calls(pid: int, url: str, token: str, seconds: float) -> dict[str, Any]:
    """Processor time of `pid` for each call."""
    asyncio.run(paced(url, token, 1.0))
    process = psutil.Process(pid)
    _, cpu_before = counters(pid)
    children = sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True))
    began = time.monotonic()
    count, times = asyncio.run(paced(url, token, seconds))
    ended = time.monotonic()
    _, cpu_after = counters(pid)
    children = sum(sum(child.cpu_times()[:2]) for child in process.children(recursive=True)) - children
    return {
        "callsPerSecond": round(count / (ended - began)),
        "p50Ms": round(times[len(times) // 2] * 1000, 2),
        "p99Ms": round(times[int(len(times) * 0.99)] * 1000, 2),
        "cpuUsPerCall": round((cpu_after - cpu_before) / count * 1e6, 1),
        "workersCpuUsPerCall": round(children / count * 1e6, 1),
        "between": (began, ended),
    }


def frames(stamps: list[float], between: tuple[float, float]) -> dict[str, Any]:
    """How far apart the beats of a 16 ms timer were, with a repaint of the window at each."""
    inside = [stamp for stamp in stamps if between[0] <= stamp <= between[1]]
    apart = sorted(later - earlier for earlier, later in itertools.pairwise(inside))
    return {
        "frames": len(apart),
        "p50Ms": round(apart[len(apart) // 2] * 1000, 1),
        "p99Ms": round(apart[int(len(apart) * 0.99)] * 1000, 1),
        "longestMs": round(apart[-1] * 1000, 1),
    }


class Bench:
    """A platform with two deployments, one for the desktop and one for the headless connector."""

    def __init__(self, folder: Path, desktop: PrivateDesktop, screen: Screen, options: argparse.Namespace) -> None:
        self._folder, self._desktop, self._screen, self._options = folder, desktop, screen, options

    def run(self, program: list[str], parts: list[str]) -> dict[str, Any]:
        """Everything that was asked for."""
        result: dict[str, Any] = {"schemaVersion": 1, "processors": os.cpu_count()}
        if "start" in parts:
            result["start"] = starts(self._desktop, self._screen, self._folder, program, self._options.runs)
        if "idle" not in parts and "calls" not in parts:
            return result
        api_port, rpc_port = free_port(), free_port()
        api, self._rpc = f"http://127.0.0.1:{api_port}", f"ws://127.0.0.1:{rpc_port}"
        log, home = self._folder / "platform.log", str(self._folder / "platform")
        serve = [sys.executable, "-m", "edge_connector.cli.main", "platform", "serve", "--data", home]
        serve += ["--api-port", str(api_port), "--rpc-port", str(rpc_port)]
        with running(serve, log, PYTHONUNBUFFERED="1"):
            wait_for(lambda: "code=" in log.read_text(), "the platform")
            self._token, deployment, secret = asyncio.run(set_up(api, log))
            self._api, self._pair = api, {"DEPLOYMENT_ID": deployment, "DEPLOYMENT_SECRET": secret}
            self._pair |= {"TOOL_RPC_URL": self._rpc, "PLATFORM_API_URL": api, "EC_TOOL_CONCURRENCY": "128"}
            if "idle" in parts:
                result["idle"] = self._idle(program)
            if "calls" in parts:
                result["calls"] = self._calls(program)
        return result

    def _idle(self, program: list[str]) -> dict[str, Any]:
        """Side by side: the desktop while hidden, a headless connector, and the bare reference."""
        seconds = self._options.idle_seconds
        headless = [sys.executable, "-m", "edge_connector.cli.main", "run"]
        bare = [sys.executable, "-c", BARE, "--hidden"]
        second = asyncio.run(another_deployment(self._api, self._token))
        with (
            self._connected([*program, "--hidden"], "idle") as desktop,
            self._connected(headless, "idle-headless", **second) as other,
            started_program(self._desktop, bare) as reference,
        ):
            self._screen.serve(SETTLE_S)
            pids = {"desktop": desktop.pid, "headless": other.pid, "bare": reference.pid}
            return {"seconds": seconds, **idle(pids, seconds, self._screen.serve)}

    def _calls(self, program: list[str]) -> dict[str, Any]:
        result: dict[str, Any] = {"rate": RATE, "seconds": self._options.call_seconds}
        builds = {
            "desktopHidden": [*program, "--hidden"],
            "headlessAsyncio": [sys.executable, "-c", HEADLESS, "run"],
            "headless": [sys.executable, "-m", "edge_connector.cli.main", "run"],
            "desktop": program,
        }
        for name, words in builds.items():
            with self._connected(words, name) as started:
                result[name] = self._called(started)
        stamps = self._folder / "stamps.json"
        with self._connected([sys.executable, "-c", PROBED % FRAME_MS, str(stamps)], "probed") as started:
            probed = self._called(started)
            between = self._between
        del probed["between"]
        result["frames"] = frames(json.loads(stamps.read_text()), between)
        for name in ("desktopHidden", "desktop"):
            for other in ("headlessAsyncio", "headless"):
                ratio = result[name]["cpuUsPerCall"] / result[other]["cpuUsPerCall"]
                result[f"{name}To{other[0].upper()}{other[1:]}"] = round(ratio, 2)
        for name in builds:
            del result[name]["between"]
        return result

    def _called(self, started: Started) -> dict[str, Any]:
        found = calls(started.pid, self._rpc, self._token, self._options.call_seconds)
        self._between: tuple[float, float] = found["between"]
        return found

    @contextmanager
    def _connected(self, words: list[str], name: str, **variables: str) -> Iterator[Started]:
        """A connector, with or without a window, once it works; nobody asks its health port, which would cost it."""
        home = self._folder / f"home-{name}"
        home.mkdir()
        log = home / "logs" / "edge-connector.log"
        variables = {**self._pair, "HEALTH_PORT": "0", "EC_HOME": str(home), **variables}
        with started_program(self._desktop, words, **variables) as started:

            def probe() -> bool:
                self._screen.serve(0.1)
                return log.exists() and "-> working (" in log.read_text()

            wait_for(probe, f"{name}: {started.log_file}")
            yield started


def main() -> None:
    """Run what was asked for and print the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="starts of each program")
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--call-seconds", type=float, default=8.0, help="for each figure of calls")
    parser.add_argument("--parts", default="start,idle,calls", help="any of them, with commas between")
    parser.add_argument("--program", default=f"{sys.executable} -m edge_connector.desktop.main", help="the desktop")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        with private_desktop(folder / "desktop") as desktop:
            screen = Screen(desktop)
            try:
                bench = Bench(folder, desktop, screen, options)
                result = bench.run(options.program.split(), options.parts.split(","))
            finally:
                screen.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
