"""Pausing by a person: no new work until a moment or until resumed, remembered across restarts for `--auto-resume`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

from edge_connector.core.clock import Clock, from_iso, to_iso
from edge_connector.core.files import write_atomically
from edge_connector.core.status import Paused
from edge_connector.core.tasks import TaskOwner

log = logging.getLogger(__name__)

CHECK_S = 15.0
"""How often the end of a pause is looked at: a sleeping machine does not run timers."""


class Pause:
    """The pause of one runtime. `file` remembers it."""

    def __init__(
        self, file: Path, clock: Clock, *, on_pause: Callable[[], None], on_resume: Callable[[], None]
    ) -> None:
        self._file = file
        self._clock = clock
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._tasks = TaskOwner("pause")
        self._until: float | None = None
        self._since: float | None = None

    @property
    def is_paused(self) -> bool:
        """Whether a pause is on."""
        return self._since is not None

    @property
    def view(self) -> Paused | None:
        """The pause as the status shows it."""
        if self._since is None:
            return None
        return Paused(since=to_iso(self._since), until="" if self._until is None else to_iso(self._until))

    def start(self, for_s: float | None) -> None:
        """Pause for `for_s` seconds, or until resumed; a pause that is on gets the new end."""
        now = self._clock.wall()
        was_paused = self.is_paused
        self._until = None if for_s is None else now + for_s
        self._since = self._since or now
        self._remember()
        if not was_paused:
            log.info("paused until=%s", "resumed" if self._until is None else to_iso(self._until))
            self._on_pause()
            self._tasks.spawn(self._watch(), name="watch")

    def end(self, why: str) -> None:
        """Resume. Nothing happens when no pause is on."""
        if self._since is None:
            return
        self._since = self._until = None
        self._remember()
        log.info("resumed why=%s", why)
        self._on_resume()

    def restore(self) -> None:
        """Go on with the pause of the last run, if one was on and is not over."""
        try:
            saved = json.loads(self._file.read_bytes())
            until = from_iso(saved["until"]) if saved["until"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return
        if until is None:
            self.start(None)
        elif until > self._clock.wall():
            self.start(until - self._clock.wall())

    def forget(self) -> None:
        """Start without the pause of the last run."""
        self._file.unlink(missing_ok=True)

    async def stop(self) -> None:
        """Watch no more; what is remembered stays."""
        await self._tasks.close()

    async def _watch(self) -> None:
        while self._since is not None:
            left_s = CHECK_S if self._until is None else self._until - self._clock.wall()
            if left_s <= 0:
                self.end("the time is over")
                return
            await asyncio.sleep(min(left_s, CHECK_S))

    def _remember(self) -> None:
        view = self.view
        if view is None:
            self._file.unlink(missing_ok=True)
        else:
            write_atomically(self._file, json.dumps({"since": view.since, "until": view.until}).encode() + b"\n")
