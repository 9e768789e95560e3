"""The words of every surface, from one catalogue: tray, window, pages and command line say the same thing alike."""

from __future__ import annotations

from edge_connector.core.status import LinkPhase, State

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
    },
}


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
