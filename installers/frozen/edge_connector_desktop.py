"""Entry of the frozen `edge-connector-desktop`; nothing else imports it."""

import sys

from edge_connector.desktop.main import main

if __name__ == "__main__":
    sys.exit(main())
