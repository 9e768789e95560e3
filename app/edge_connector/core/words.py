"""The words of every surface, from one catalogue: tray, window, pages and command line say the same thing alike."""

from __future__ import annotations

from edge_connector.core.status import LinkPhase, State
from edge_connector.core.window_words import WINDOW_WORDS

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "state.working": "Working",
        "state.working_with_problems": "Working, with problems",
        "state.connecting": "Connecting",
        "state.needs_you": "Needs you",
        "state.asleep": "Asleep",
        "state.paused": "Paused",
        "state.stopped": "Stopped",
        "proven": "{state} · proven {age} ago",
        "next_attempt": "{state} · next attempt in {time}",
        "waiting_for_proof": "{state} · linked, waiting for proof",
        "dialling": "{state} · dialling",
        "state.paused_until": "Paused until {time}",
        "state.paused_until_resumed": "Paused until resumed",
        "menu.open": "Open",
        "menu.pause_1h": "Pause for 1 hour",
        "menu.pause": "Pause until resumed",
        "menu.resume": "Resume",
        "menu.sign_in": "Sign in…",
        "menu.sign_out": "Sign out",
        "sign_in.open_page": "Open {address} to sign in. It shows the code {code}.",
        "menu.recent": "Recent calls",
        "menu.recent_none": "No calls yet",
        "menu.recent_entry": "{tool} · {outcome} · {time}",
        "menu.logs": "Open logs folder",
        "menu.quit": "Quit and stop the connector",
        "menu.quit_running": "Quit, stop the connector and {count} running calls",
        "menu.quit_running_one": "Quit, stop the connector and 1 running call",
        "menu.quit_attached": "Quit this window, the connector keeps running",
        "menu.quit_stopped": "Quit",
        "outcome.succeeded": "finished",
        "outcome.refused": "refused",
        "outcome.failed": "failed",
        "outcome.timed_out": "timed out",
        "outcome.cancelled": "cancelled",
        "outcome.interrupted": "interrupted",
        "truth.process": "Process",
        "truth.link": "Link",
        "truth.authorised": "Authorised",
        "truth.proven": "Proven",
        "process.running": "running, pid {pid}",
        "process.stopping": "stopping",
        "process.stopped": "not running",
        "link.idle": "not connected",
        "link.dialling": "dialling",
        "link.handshake": "introducing itself",
        "link.open": "up",
        "link.waiting": "down, next attempt in {time}",
        "link.waiting_soon": "down, trying again",
        "link.refused": "refused",
        "authorised.deployment": "deployment {name}",
        "authorised.token": "token",
        "authorised.none": "no credentials",
        "authorised.not_yet": "not confirmed yet",
        "proven.none": "no proof yet",
        "proven.platform": "platform to tool and back",
        "proven.platform_ms": "platform to tool and back in {ms} ms",
        "proven.local": "this machine only",
        "age.for": "for {age}",
        "age.ago": "{age} ago",
        "identity.organization": "Organization",
        "identity.deployment": "Deployment",
        "identity.bundle": "Bundle",
        "identity.version": "Connector",
        "identity.uptime": "Running for",
        "identity.host": "Machine",
        "identity.directory": "Folder",
        "identity.platform": "Platform",
        "identity.health": "Health",
        "bundle.builtin": "built-in tools",
        "bundle.local": "local tools in {path}",
        "bundle.bundle": "{name}, version {version}",
        "activity.calls": "Calls per minute",
        "activity.latency_p50": "Latency p50",
        "activity.latency_p99": "Latency p99",
        "activity.none": "no calls in the last hour",
    },
    "de": {
        "state.working": "Arbeitet",
        "state.working_with_problems": "Arbeitet, mit Problemen",
        "state.connecting": "Verbindet",
        "state.needs_you": "Braucht Sie",
        "state.asleep": "Schläft",
        "state.paused": "Pausiert",
        "state.stopped": "Angehalten",
        "proven": "{state} · vor {age} bewiesen",
        "next_attempt": "{state} · nächster Versuch in {time}",
        "waiting_for_proof": "{state} · verbunden, wartet auf den Beweis",
        "dialling": "{state} · wählt",
        "state.paused_until": "Pausiert bis {time}",
        "state.paused_until_resumed": "Pausiert bis zum Fortsetzen",
        "menu.open": "Öffnen",
        "menu.pause_1h": "1 Stunde pausieren",
        "menu.pause": "Pausieren bis zum Fortsetzen",
        "menu.resume": "Fortsetzen",
        "menu.sign_in": "Anmelden …",
        "menu.sign_out": "Abmelden",
        "sign_in.open_page": "Öffnen Sie {address} zum Anmelden. Dort steht der Code {code}.",
        "menu.recent": "Letzte Aufrufe",
        "menu.recent_none": "Noch keine Aufrufe",
        "menu.recent_entry": "{tool} · {outcome} · {time}",
        "menu.logs": "Ordner der Protokolle öffnen",
        "menu.quit": "Beenden und den Connector anhalten",
        "menu.quit_running": "Beenden, den Connector und {count} laufende Aufrufe anhalten",
        "menu.quit_running_one": "Beenden, den Connector und 1 laufenden Aufruf anhalten",
        "menu.quit_attached": "Dieses Fenster beenden, der Connector läuft weiter",
        "menu.quit_stopped": "Beenden",
        "outcome.succeeded": "fertig",
        "outcome.refused": "abgelehnt",
        "outcome.failed": "fehlgeschlagen",
        "outcome.timed_out": "Zeit überschritten",
        "outcome.cancelled": "abgebrochen",
        "outcome.interrupted": "unterbrochen",
        "truth.process": "Prozess",
        "truth.link": "Verbindung",
        "truth.authorised": "Berechtigt",
        "truth.proven": "Bewiesen",
        "process.running": "läuft, PID {pid}",
        "process.stopping": "hält an",
        "process.stopped": "läuft nicht",
        "link.idle": "nicht verbunden",
        "link.dialling": "wählt",
        "link.handshake": "stellt sich vor",
        "link.open": "steht",
        "link.waiting": "unterbrochen, nächster Versuch in {time}",
        "link.waiting_soon": "unterbrochen, versucht es wieder",
        "link.refused": "abgelehnt",
        "authorised.deployment": "Deployment {name}",
        "authorised.token": "Token",
        "authorised.none": "keine Zugangsdaten",
        "authorised.not_yet": "noch nicht bestätigt",
        "proven.none": "noch kein Beweis",
        "proven.platform": "Plattform bis Werkzeug und zurück",
        "proven.platform_ms": "Plattform bis Werkzeug und zurück in {ms} ms",
        "proven.local": "nur auf diesem Rechner",
        "age.for": "seit {age}",
        "age.ago": "vor {age}",
        "identity.organization": "Organisation",
        "identity.deployment": "Deployment",
        "identity.bundle": "Bundle",
        "identity.version": "Connector",
        "identity.uptime": "Läuft seit",
        "identity.host": "Rechner",
        "identity.directory": "Ordner",
        "identity.platform": "Plattform",
        "identity.health": "Zustandsadresse",
        "bundle.builtin": "eingebaute Werkzeuge",
        "bundle.local": "lokale Werkzeuge in {path}",
        "bundle.bundle": "{name}, Version {version}",
        "activity.calls": "Aufrufe je Minute",
        "activity.latency_p50": "Antwortzeit p50",
        "activity.latency_p99": "Antwortzeit p99",
        "activity.none": "keine Aufrufe in der letzten Stunde",
    },
}

for _key, (_english, _german) in WINDOW_WORDS.items():
    WORDS["en"][_key], WORDS["de"][_key] = _english, _german


def word(key: str, language: str = "en", **values: str) -> str:
    """The catalogue's words for `key`, with `values` filled in; English where the language lacks them."""
    text = WORDS.get(language, WORDS["en"]).get(key) or WORDS["en"][key]
    return text.format(**values)


def sentence(
    state: State,
    *,
    proof_age_s: float | None,
    next_attempt_in_s: float | None,
    phase: LinkPhase,
    language: str = "en",
) -> str:
    """The state line: the state, and the age of its proof or what happens next."""
    name = word(f"state.{state}", language)
    if state in (State.WORKING, State.WORKING_WITH_PROBLEMS) and proof_age_s is not None:
        return word("proven", language, state=name, age=duration(proof_age_s))
    if state is State.CONNECTING:
        if phase is LinkPhase.OPEN:
            return word("waiting_for_proof", language, state=name)
        if next_attempt_in_s is not None:
            return word("next_attempt", language, state=name, time=duration(next_attempt_in_s))
        return word("dialling", language, state=name)
    return name


def duration(seconds: float) -> str:
    """Seconds as a person says them: `12 s`, `5 min`, `3 h`, `2 d`."""
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // 86400)} d"
