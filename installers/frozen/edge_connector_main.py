"""Entry of the frozen `edge-connector`, and of the tool workers it starts from itself; nothing else imports it."""

import sys

if "--multiprocessing-fork" in sys.argv or "-c" in sys.argv[1:]:
    # A tool may use multiprocessing, whose helpers are this program again; the call ends this process when it is one.
    import multiprocessing

    multiprocessing.freeze_support()

from edge_connector.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
