"""`edge-connector run`: the headless connector in the foreground."""

from __future__ import annotations

from typing import Any

import click

from edge_connector.cli.options import directory_option, json_option, load_config, print_json, setting_options


@click.command()
@directory_option
@click.option("--take-over", is_flag=True, help="Close the other connector of this deployment and take its place.")
@click.option("--auto-resume", is_flag=True, help="Go on with a pause that was on when the last run ended.")
@setting_options()
@json_option
def run(directory: str | None, take_over: bool, auto_resume: bool, as_json: bool, **flags: Any) -> int:
    """Run the connector in the foreground.

    The first SIGTERM or Ctrl+C, or a closed terminal, lets running calls finish within the grace period; a second
    signal stops at once. The log goes to standard error; with --json the one document on standard output says how the
    run ended.
    """
    from edge_connector.runtime.main import run_headless

    code = run_headless(load_config(directory, flags), take_over=take_over, auto_resume=auto_resume)
    if as_json:
        print_json({"schemaVersion": 1, "exitCode": code})
    return code
