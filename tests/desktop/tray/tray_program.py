"""A program with nothing but a tray, for tests: a view comes in as JSON lines, what the tray says goes out as such.

    python -m tests.desktop.tray.tray_program

In: `{"status": ..., "recent": [...], "language": "en"}`, `{"notify": [title, text]}`, `{"scheme": "dark"}`,
`{"stop": true}`, `{"quit": true}`. Out: `{"backend": ...}`, `{"available": ...}`, `{"viewed": true}`,
`{"action": ..., "thread": ...}`, `{"stopped": seconds, "threads": [...]}`, `{"ended": code}`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import Any

from PySide6.QtCore import QSocketNotifier
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from edge_connector.desktop.model import view_of
from edge_connector.desktop.tray.factory import make_tray


def say(**fact: Any) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def main() -> int:
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
    sys.path.extend(filter(None, [os.environ.get("GI_FOLDER")]))
    application = QApplication(["tray-program"])
    application.setQuitOnLastWindowClosed(False)
    tray = make_tray()
    say(backend=type(tray).__name__)
    tray.on_available = lambda available: say(available=available)
    tray.on_action = lambda action: say(action=action, thread=threading.current_thread().name)

    def command(line: str) -> None:
        wanted = json.loads(line)
        match wanted:
            case {"status": status}:
                recent = wanted.get("recent", ())
                tray.set_view(view_of(status, wanted.get("language", "en"), time.time(), recent=recent).tray)
                say(viewed=True)
            case {"notify": [title, text]}:
                tray.notify(title, text)
            case {"scheme": scheme}:
                palette = QPalette(QColor("#202326" if scheme == "dark" else "#eff0f1"))
                application.setPalette(palette)
            case {"show": True}:
                tray.show()
            case {"stop": True}:
                began = time.monotonic()
                tray.stop()
                say(stopped=time.monotonic() - began, threads=[thread.name for thread in threading.enumerate()])
            case {"quit": True}:
                application.quit()

    buffer = bytearray()

    def read() -> None:
        data = os.read(0, 65536)
        if not data:
            application.quit()
        buffer.extend(data)
        while b"\n" in buffer:
            line, _, rest = bytes(buffer).partition(b"\n")
            buffer[:] = rest
            command(line.decode())

    notifier = QSocketNotifier(0, QSocketNotifier.Type.Read)
    notifier.activated.connect(read)
    tray.show()
    code = application.exec()
    say(ended=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
