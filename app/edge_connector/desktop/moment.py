"""Words, ages, clock times and numbers as they are said at one moment. Pure: the moment is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from edge_connector.core.clock import from_iso
from edge_connector.core.words import WORDS, duration, word

Document = Mapping[str, Any]


class Words:
    """The catalogue in one language at one moment."""

    def __init__(self, language: str, now: float, zone: tzinfo | None) -> None:
        self.language, self.now, self.zone = language, now, zone

    def __call__(self, key: str, **values: str) -> str:
        return word(key, self.language, **values)

    def known(self, key: str, otherwise: str) -> str:
        """The words for `key`; `otherwise` where a newer runtime says something this catalogue does not know."""
        return self(key) if key in WORDS["en"] else otherwise

    def clock_time(self, stamp: str) -> str:
        return clock_time(from_iso(stamp), self.now, self.zone) if stamp else ""

    def lasting(self, seconds: float | None) -> str:
        return "" if seconds is None else self("age.for", age=duration(seconds))

    def ago(self, seconds: float | None) -> str:
        return "" if seconds is None else self("age.ago", age=duration(seconds))


class Ages:
    """Every age and count-down of a document; none is negative, even when a clock was set back."""

    def __init__(self, status: Document, now: float, elapsed_s: float) -> None:
        link, proven, process = (status.get(key) or {} for key in ("link", "proven", "process"))
        self.process_s = age_of(process.get("startedAt"), now)
        self.link_s = age_of(link.get("since"), now)
        self.proof_s = age_of(proven.get("at"), now)
        remaining = link.get("nextAttemptInS")
        self.next_attempt_s = None if remaining is None else max(remaining - elapsed_s, 0.0)
        self.problems_s = tuple(age_of(item.get("since"), now) for item in status.get("problems", ()))

    def fresh_for_s(self) -> float:
        """Seconds until the words of one of these change; at least one second, at most a minute."""
        shown = [self.process_s, self.link_s, self.proof_s, *self.problems_s]
        soonest = min((_word_lasts_s(age) for age in shown if age is not None), default=60.0)
        if self.next_attempt_s:
            soonest = min(soonest, 1.0)
        return max(soonest, 1.0)


def age_of(stamp: str | None, now: float) -> float | None:
    return max(now - from_iso(stamp), 0.0) if stamp else None


def _word_lasts_s(age: float) -> float:
    unit = 1.0 if age < 60 else 60.0
    return unit - math.fmod(age, unit)


def clock_time(moment: float, now: float, zone: tzinfo | None) -> str:
    """`HH:MM`, with the day in front when it is not today's."""
    shown, today = datetime.fromtimestamp(moment, zone), datetime.fromtimestamp(now, zone)
    return shown.strftime("%H:%M" if shown.date() == today.date() else "%Y-%m-%d %H:%M")


def number(value: float, language: str = "en") -> str:
    """Three digits are enough: `0.84`, `12.3`, `1204`; in German `0,84`."""
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    text = f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return text.replace(".", ",") if language == "de" else text
