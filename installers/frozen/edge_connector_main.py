"""Entry of the frozen `edge-connector`, and of the tool workers it starts from itself; nothing else imports it."""

import sys


def _help_multiprocessing() -> None:
    """A tool may use multiprocessing, whose helper processes are this program again: become the one that is wanted."""
    from multiprocessing import spawn

    spawn.freeze_support()
    if "-c" in sys.argv and (code := sys.argv[sys.argv.index("-c") + 1]).startswith("from multiprocessing."):
        exec(code)  # as the interpreter would; multiprocessing wrote this line itself
        sys.exit()


if sys.argv[1:2] == ["--multiprocessing-fork"] or "-c" in sys.argv[1:-1]:
    _help_multiprocessing()

from edge_connector.cli.main import main  # noqa: E402  (a helper process needs none of it)

if __name__ == "__main__":
    sys.exit(main())
