"""What holds for every test: nothing is left behind, and nothing outside is touched."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.support.secrets import WATCH, ProcessStarts, observe
from tests.support.waiting import eventually_sync

GONE_WITHIN_S = 5.0

# Nothing is written beside the sources, and a busy machine is no failure; CI runs the same examples each time.
settings.register_profile("suite", database=None, deadline=None, derandomize="CI" in os.environ)
settings.load_profile("suite")

for _name in list(os.environ):
    if _name.startswith(("EC_", "NARA_", "NEXT_PUBLIC_", "DEPLOYMENT_", "HEALTH_")) or _name in (
        "TOOL_RPC_URL",
        "PLATFORM_API_URL",
        "AUTH_TOKEN_PATH",
        "CUSTOM_IMPLEMENTATIONS_PATH",
    ):
        del os.environ[_name]

# No test may reach the keyring of whoever runs the suite; those about keyrings bring their own.
os.environ["BROWSER"] = "true"  # the program that does nothing: no page opens in the browser of whoever runs the suite
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

# Under nohup an ignored SIGHUP would be inherited by every program that the suite starts; a handler is not.
signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _runtime_folder() -> Iterator[Path]:
    """A short folder of the suite's own for command sockets (a socket path holds 108 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="ec-"))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def _secrets_are_watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Learns every secret of the run; at its end looks for all of them in the logs of processes that tests shared."""
    starts = ProcessStarts(WATCH)
    with pytest.MonkeyPatch.context() as patch:
        observe(WATCH, patch)
        yield
    starts.is_on = False
    for path in {path.resolve() for path in tmp_path_factory.getbasetemp().glob("*/*.log")}:  # some are links
        WATCH.search_file(path, ever=True)
    if found := WATCH.take_found():
        pytest.fail("\n".join(found))


@pytest.fixture(autouse=True)
def _no_secret_told(request: pytest.FixtureRequest, _secrets_are_watched: None) -> Iterator[None]:
    """Looks into every file of the test's own folder when all else has ended."""
    yield
    if (folder := request.node.funcargs.get("tmp_path")) is not None:
        WATCH.learn_folder(folder)
        WATCH.search_folder(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails a test whose output, or anything else it left, holds a secret. It names the place, not the secret."""
    report = yield
    if report.when == "teardown":
        for name, text in report.sections:
            WATCH.search(text, name)
        found = WATCH.take_found()
        WATCH.forget()
        if found and report.passed:
            report.outcome = "failed"
            report.longrepr = "\n".join(found)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the search covered and took."""
    if WATCH.made:
        size = WATCH.bytes_searched / 1e6
        terminalreporter.write_line(
            f"secrets: {WATCH.made} made, {size:.0f} MB of output searched in {WATCH.seconds:.1f} s"
        )


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest, _runtime_folder: Path) -> Iterator[None]:
    """Fails a test that leaves a process, a task, a listening port or a command socket."""
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    ports_before = _listening(me)
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left")
    yield
    _expect_none("processes", lambda: {c.pid for c in me.children(recursive=True) if _lives(c)} - before)
    _expect_none("listening ports", lambda: _listening(me) - ports_before)
    _expect_none("command sockets", lambda: {str(path) for path in _runtime_folder.rglob("*.sock")})


def _expect_none(what: str, probe: object) -> None:
    assert callable(probe)
    try:
        eventually_sync(lambda: not probe(), what=f"no {what} left", deadline_s=GONE_WITHIN_S)
    except AssertionError:
        left = probe()
        details = [_describe(pid) for pid in left] if what == "processes" else sorted(map(str, left))
        pytest.fail(f"the test left {what} behind: {details}")


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    deadline = asyncio.get_running_loop().time() + GONE_WITHIN_S
    while left := {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}:
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"the test left tasks behind: {sorted(task.get_name() for task in left)}")
        await asyncio.sleep(0.01)


def _lives(process: psutil.Process) -> bool:
    try:
        # A zombie counts: somebody forgot to reap it.
        return process.is_running()
    except psutil.Error:
        return False


def _describe(pid: int) -> str:
    try:
        return f"{pid}: {' '.join(psutil.Process(pid).cmdline())[:200]}"
    except psutil.Error:
        return str(pid)


def _listening(process: psutil.Process) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }
