"""Entry point of `edge-connector`: answers `--version` before anything is imported, leaves the rest to `cli.table`."""

import sys


def main() -> None:
    """Run the command line of this process and exit."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from edge_connector import __version__

        print(f"edge-connector {__version__}")
        return
    if arguments[:1] == ["tool-worker"]:
        # A frozen build has no interpreter to start workers with: it starts itself.
        from edge_connector.tools.worker import main as worker_main

        worker_main()
        return
    if arguments[:1] == ["drill-program"]:
        # The drill starts the program once more, with a thread that tells how many tasks it has.
        from edge_connector.cli.drill.telling import main as telling_main

        sys.exit(telling_main(arguments[1:]))
    from edge_connector.cli.table import run

    sys.exit(run(arguments))


if __name__ == "__main__":
    main()
