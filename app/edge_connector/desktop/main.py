"""`edge-connector-desktop`: reads its options, and starts the desktop or says why it cannot be shown."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_connector import __version__
from edge_connector.config.loading import LoadedConfig, OriginKind, load
from edge_connector.config.paths import choose_directory, prepare_directory
from edge_connector.config.settings import BY_NAME
from edge_connector.core import log as logs
from edge_connector.core.errors import EdgeError, LockHeld, NotConnected, UserError

if TYPE_CHECKING:
    from edge_connector.runtime.app import ConnectorRuntime

log = logging.getLogger(__name__)

SETTING_FLAGS = (
    "tool_rpc_url", "platform_api_url", "implementations_path", "tool_concurrency",
    "health_host", "health_port", "log_level",
)  # fmt: skip
LOOP_VARIABLE = "EC_RUNTIME_LOOP"
PORT_TRIES = 20


def _setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name in reversed(SETTING_FLAGS):
        setting = BY_NAME[name]
        function = click.option(
            setting.flag, name, metavar=setting.kind.value.upper(), help=f"{setting.help} [{setting.variables[0]}]"
        )(function)
    return function


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="Installation directory. Without it: EC_HOME, else the current one if it holds a config.json, "
    "else the user's data directory.",
)
@click.option("--hidden", is_flag=True, help="Show no window at the start; the tray icon opens it.")
@click.option("--auto-resume", is_flag=True, help="Go on in the last known state: running or paused.")
@_setting_options
def desktop(directory: str | None, hidden: bool, auto_resume: bool, **flags: Any) -> int:
    """Run the connector with its tray icon and status window.

    A second launch for the same directory shows the window of the first one. Where a connector runs without a window
    already, this one shows it. EC_RUNTIME_LOOP=thread gives the connector an event loop of its own.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    return launch(choose_directory(directory, os.environ), given, hidden=hidden, auto_resume=auto_resume)


def main() -> None:
    """Run the desktop of this process and exit."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        click.echo(f"edge-connector-desktop {__version__}")
        return
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed, never raised, unless they are bugs."""
    try:
        result = desktop.main(arguments, prog_name="edge-connector-desktop", standalone_mode=False)
    except click.ClickException as error:
        return _show_error(UserError("usage", error.format_message(), hint="See `edge-connector-desktop --help`."), 2)
    except EdgeError as error:
        return _show_error(error, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return 130
    return result if isinstance(result, int) else 0


def launch(directory: Path, flags: dict[str, Any], *, hidden: bool, auto_resume: bool) -> int:
    """Start the desktop of one installation directory.

    Raises:
        UserError: there is no display (R27), or the directory cannot be used.
        NotConnected: another desktop of this directory runs and does not answer.
    """
    from edge_connector.desktop.host import has_display

    if not has_display(os.environ):
        return _without_display(load(directory, os.environ, flags), auto_resume=auto_resume)
    prepare_directory(directory)
    # Until the window is painted: loading makes tens of thousands of objects, and none of them is garbage.
    gc.disable()
    from edge_connector.desktop.single import SingleDesktop, ask_to_show

    single = SingleDesktop(directory)
    if not single.acquire():
        if not hidden:  # a start at login must not raise a window
            ask_to_show(directory)
        return 0
    try:
        return _with_display(directory, flags, single, hidden=hidden, auto_resume=auto_resume)
    finally:
        single.release()
        gc.enable()


def _without_display(loaded: LoadedConfig, *, auto_resume: bool) -> int:
    if not loaded.settings.disable_tray:
        raise UserError(
            "no_display",
            "There is no display to show a window on.",
            hint="Run `edge-connector run` for a connector without a window, or set EC_DISABLE_TRAY=1.",
        )
    from edge_connector.runtime.main import run_headless

    return run_headless(loaded, auto_resume=auto_resume)


def _with_display(directory: Path, flags: dict[str, Any], single: Any, *, hidden: bool, auto_resume: bool) -> int:
    from edge_connector.desktop.app import DesktopApp, Launch
    from edge_connector.desktop.host import Closing, make_application, run_on_qt
    from edge_connector.desktop.source import ChosenSource, HostedSource, ThreadSource

    start = RuntimeStart(directory, flags, auto_resume=auto_resume, by_person=not hidden)
    environ = start.prepare()
    source: HostedSource | ThreadSource
    if _wants_thread(environ):
        from edge_connector.core.loops import fastest_loop

        source = ThreadSource(start, directory, loop_factory=fastest_loop())
    else:
        source = HostedSource(start, directory)
    application = make_application()

    async def host(closing: Closing) -> int:
        chosen = ChosenSource(source, directory, recover=start.recover)
        app = DesktopApp(Launch(directory, hidden, environ), chosen, application, single, closing)
        start.on_port_moved = lambda taken, port: app.notice("window.port_moved", taken=str(taken), port=str(port))
        return await app.run()

    return run_on_qt(application, host)


def _wants_thread(environ: dict[str, str]) -> bool:
    wanted = environ.get(LOOP_VARIABLE, "").strip().lower()
    if wanted not in ("", "qt", "thread"):
        raise UserError(
            "runtime_loop_unknown",
            f"{LOOP_VARIABLE} is {wanted!r}, which is no loop.",
            hint=f"Set {LOOP_VARIABLE} to qt (the default) or thread.",
        )
    return wanted == "thread"


class RuntimeStart:
    """Makes the runtime of each start from the configuration of that moment, and knows one cure: another health port.

    Attributes:
        on_port_moved: hears the port that is taken and the one that is used instead.
    """

    def __init__(self, directory: Path, flags: dict[str, Any], *, auto_resume: bool, by_person: bool) -> None:
        """`by_person`: somebody sits before it: it may open the sign-in page, once."""
        self._directory = directory
        self._flags = flags
        self._auto_resume = auto_resume
        self._may_open_page = by_person
        self._port: int | None = None
        self._loaded: LoadedConfig | None = None
        self.on_port_moved: Callable[[int, int], None] = lambda taken, port: None

    def prepare(self) -> dict[str, str]:
        """Begin to log, and return the environment in which the front end is chosen."""
        environ = dict(os.environ)
        try:
            settings = load(self._directory, os.environ, self._flags).settings
        except EdgeError as error:
            # The window will show it with its cure; a broken file must not keep it from coming.
            logs.configure("info", file=None)
            log.error("configuration cannot be used code=%s error=%s", error.code, error.message)
            return environ
        logs.configure(settings.log_level, file=None)
        if settings.disable_tray:
            environ["EC_DISABLE_TRAY"] = "1"
        # From config.json too, and said once: what follows looks at the environment alone.
        environ["EC_TRAY_BACKEND"] = settings.tray_backend
        environ[LOOP_VARIABLE] = settings.runtime_loop
        return environ

    def __call__(self) -> ConnectorRuntime:
        """A new runtime.

        Raises:
            UserError: the configuration cannot be used.
        """
        from edge_connector.runtime.app import ConnectorRuntime

        loaded = load(self._directory, os.environ, self._flags)
        if self._port is not None:
            loaded = replace(loaded, settings=replace(loaded.settings, health_port=self._port))
        self._loaded = loaded
        logs.configure(loaded.settings.log_level, file=loaded.paths.log_file)
        may_open_page, self._may_open_page = self._may_open_page, False
        return ConnectorRuntime(
            loaded,
            auto_resume=self._auto_resume,
            stay_without_credentials=True,
            is_desktop=True,
            sign_in_at_start=may_open_page,
        )

    def recover(self, error: EdgeError) -> bool:
        """Whether something was changed so that another start may succeed (R7: the default port, and only that)."""
        if isinstance(error, LockHeld | NotConnected):
            # The file belongs to the one who runs; two writers would rotate it under each other.
            logs.configure("info" if self._loaded is None else self._loaded.settings.log_level, file=None)
            return False
        if error.code != "health_port_taken" or self._loaded is None:
            return False
        if self._loaded.origins["health_port"].kind is not OriginKind.DEFAULT:
            return False
        default, taken = int(str(BY_NAME["health_port"].default)), self._loaded.settings.health_port
        if taken - default >= PORT_TRIES:
            return False
        self._port = taken + 1
        log.warning("health port taken, trying the next taken=%d next=%d", taken, self._port)
        self.on_port_moved(default, self._port)
        return True


def _show_error(error: EdgeError, code: int) -> int:
    click.echo(f"error: {error.message}", err=True)
    if error.hint:
        click.echo(f"fix: {error.hint}", err=True)
    return code


if __name__ == "__main__":
    main()
