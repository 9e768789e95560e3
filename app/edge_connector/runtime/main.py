"""Hosts the runtime in a process of its own: loop, signals, logging, exit code. The desktop has its own host."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable, Iterator

from edge_connector.config.loading import LoadedConfig
from edge_connector.config.paths import prepare_directory
from edge_connector.control.lock import answering_pid
from edge_connector.core import log as logs
from edge_connector.core.loops import fastest_loop
from edge_connector.runtime.app import ConnectorRuntime

log = logging.getLogger(__name__)

GC_THRESHOLD = 20_000


def run_headless(loaded: LoadedConfig, *, take_over: bool = False, auto_resume: bool = False) -> int:
    """Run a connector until a signal or a command stops it; returns the exit code 0, or 130 after a second signal.

    Raises:
        EdgeError: it could not start, or was refused for good.
    """
    prepare_directory(loaded.directory)
    # The file belongs to the one who runs; two writers would rotate it under each other.
    is_mine = answering_pid(loaded.directory) is None
    logs.configure(loaded.settings.log_level, file=loaded.paths.log_file if is_mine else None)
    with asyncio.Runner(loop_factory=fastest_loop()) as runner:
        return runner.run(_host(loaded, take_over=take_over, auto_resume=auto_resume))


async def _host(loaded: LoadedConfig, *, take_over: bool, auto_resume: bool) -> int:
    runtime = ConnectorRuntime(loaded, take_over=take_over, auto_resume=auto_resume, exit_when_refused=True)
    signals = 0

    def on_signal(name: str) -> None:
        nonlocal signals
        # A closed terminal often follows another signal: it is no second request of a person.
        signals += name != "SIGHUP"
        log.info("signal received name=%s count=%d", name, signals)
        runtime.stop(hard=signals > 1)

    with stop_signals(on_signal):
        # What was imported stays for good; the collector need not look at it again (212 ms with many objects).
        gc.collect()
        gc.freeze()
        # The default of 700 looks at young objects at every other call under load.
        gc.set_threshold(max(gc.get_threshold()[0], GC_THRESHOLD), *gc.get_threshold()[1:])
        await runtime.run()
    return 130 if signals > 1 else 0


@contextlib.contextmanager
def stop_signals(handler: Callable[[str], None]) -> Iterator[None]:
    """Call `handler` with the name of each SIGTERM, SIGINT or SIGHUP; an ignored SIGHUP (nohup) stays ignored."""
    loop = asyncio.get_running_loop()
    handled = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handled.append(signal.SIGHUP)
    for number in handled:
        loop.add_signal_handler(number, handler, number.name)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
