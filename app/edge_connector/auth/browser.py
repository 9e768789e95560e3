"""Opens the sign-in page in the person's browser, once and without waiting for it."""

from __future__ import annotations

import threading


def open_page(address: str) -> bool:
    """Open `address` in the default browser, or the one of the variable BROWSER; False when there is none here."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # A browser named by BROWSER may stay in the foreground until it is closed; nobody waits for that.
    threading.Thread(target=browser.open, args=(address,), name="browser", daemon=True).start()
    return True
