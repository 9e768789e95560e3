"""The table of commands. A command's module is imported when it runs, so that `--help` stays fast."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from edge_connector.core.errors import EdgeError, UsageError
from edge_connector.core.printable import json_text, lines

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("edge_connector.cli.demo", "Start a platform and a connector here and call real tools."),
    "auth": ("edge_connector.cli.auth", "Sign in, and see, end or renew the sign-in."),
    "run": ("edge_connector.cli.run", "Run the connector in the foreground."),
    "stop": ("edge_connector.cli.local", "Stop the connector of this installation directory."),
    "status": ("edge_connector.cli.local", "Show the state of the running connector."),
    "call": ("edge_connector.cli.calls", "Call a tool."),
    "tools": ("edge_connector.cli.calls", "List the tools that can be called."),
    "doctor": ("edge_connector.cli.doctor", "Look at this installation and say what is wrong and how to mend it."),
    "logs": ("edge_connector.cli.logs", "Show the log of this installation, and follow it."),
    "calls": ("edge_connector.cli.ledger", "See what was called here, and prove that the record is whole."),
    "config": ("edge_connector.cli.settings", "Show and change settings, and where each value comes from."),
    "deployment": ("edge_connector.cli.deployments", "Create deployments on the platform."),
    "autostart": ("edge_connector.cli.autostart", "Start the connector with your session."),
    "drill": ("edge_connector.cli.drill.command", "Let faults loose on a set-up of its own and check what came of it."),
    "platform": ("edge_connector.cli.platform", "Run or back up a platform of your own."),
}
"""Name, module and one line of help, in the order of the help page. Each module has a click command of that name."""

EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed; the message says why and what to do
  2    the words of the command are wrong
  3    sign-in or credentials needed
  4    platform or connector not reachable
  5    another runtime holds the installation directory
  6    refused for good by the platform
  130  interrupted"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            raise UsageError("unknown_command", f"There is no command `{args[0]}`.", hint=_nearest(args[0]))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    help="Runs the tools that an AI platform calls next to what only this machine can reach.",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=lambda c, p, v: _version(c, v))
def edge_connector(**_: Any) -> None:
    """The program."""


def _version(ctx: click.Context, wanted: bool) -> None:
    if wanted:
        from edge_connector import __version__

        click.echo(f"edge-connector {__version__}")
        ctx.exit()


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed, never raised, unless they are bugs."""
    as_json = "--json" in arguments
    try:
        result = edge_connector.main(arguments or ["--help"], prog_name="edge-connector", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        return show_error(_as_usage_error(error), as_json=as_json)
    except click.ClickException as error:
        return show_error(UsageError("usage", error.format_message()), as_json=as_json)
    except EdgeError as error:
        return show_error(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining at its end.
        sys.stdout = None
        return 1


def show_error(error: EdgeError, *, as_json: bool) -> int:
    """Print an error as a person or a program wants it; returns its exit code."""
    if as_json:
        import json

        print(json_text(json.dumps(error.to_document(), ensure_ascii=False)))
    else:
        print(f"error: {lines(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"fix: {lines(error.hint)}", file=sys.stderr)
    return error.exit_code


def _as_usage_error(error: click.UsageError) -> UsageError:
    path = error.ctx.command_path if error.ctx is not None else "edge-connector"
    return UsageError("usage", error.format_message(), hint=f"See `{path} --help`.")


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"Did you mean `edge-connector {near[0]}`?" if near else "See `edge-connector --help`."
