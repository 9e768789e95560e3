"""The view model: the words, rows and levels that a status document means, in both languages."""

from __future__ import annotations

import ast
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_connector.core.clock import to_iso
from edge_connector.core.status import State
from edge_connector.desktop import model, moment
from edge_connector.desktop.model import MenuEntry, ViewModel, view_of
from tests.unit.desktop.samples import NOW, call, status

PAUSED_BY_HAND = {"until": "", "since": to_iso(NOW)}


def view(document: dict[str, Any], language: str = "en", **facts: Any) -> ViewModel:
    return view_of(document, language, NOW, zone=UTC, **facts)


def entry(shown: ViewModel, action: str) -> MenuEntry:
    return next(row for row in shown.tray.menu if row.action == action)


# ---- the state line


@pytest.mark.parametrize(
    ("state", "changes", "english", "german"),
    [
        (State.WORKING, {}, "Working · proven 12 s ago", "Arbeitet · vor 12 s bewiesen"),
        (
            State.WORKING_WITH_PROBLEMS,
            {"proof_age_s": 75.0},
            "Working, with problems · proven 1 min ago",
            "Arbeitet, mit Problemen · vor 1 min bewiesen",
        ),
        (State.CONNECTING, {}, "Connecting · next attempt in 4 s", "Verbindet · nächster Versuch in 4 s"),
        (
            State.CONNECTING,
            {"link": {"phase": "dialling", "nextAttemptInS": None}},
            "Connecting · dialling",
            "Verbindet · wählt",
        ),
        (
            State.CONNECTING,
            {"link": {"phase": "open", "nextAttemptInS": None}, "proof_age_s": None},
            "Connecting · linked, waiting for proof",
            "Verbindet · verbunden, wartet auf den Beweis",
        ),
        (State.NEEDS_YOU, {}, "Needs you", "Braucht Sie"),
        (State.ASLEEP, {}, "Asleep", "Schläft"),
        (
            State.PAUSED,
            {"paused": {"until": to_iso(NOW + 3600), "since": to_iso(NOW)}},
            "Paused until 09:00",
            "Pausiert bis 09:00",
        ),
        (State.PAUSED, {"paused": PAUSED_BY_HAND}, "Paused until resumed", "Pausiert bis zum Fortsetzen"),
        (State.STOPPED, {}, "Stopped", "Angehalten"),
    ],
)
def test_state_line(state: State, changes: dict[str, Any], english: str, german: str) -> None:
    document = status(state, **changes)
    for language, line in (("en", english), ("de", german)):
        shown = view(document, language)
        assert shown.line == line
        assert shown.tray.tooltip.splitlines()[:2] == ["Edge Connector", line]
        assert shown.tray.menu[0] == MenuEntry("state", line, enabled=False)
        assert (shown.state, shown.icon, shown.tray.state) == (state, str(state), state)


def test_end_of_a_pause_is_a_local_time_and_names_another_day() -> None:
    until = {"until": to_iso(NOW + 20 * 3600), "since": to_iso(NOW)}
    east = timezone(timedelta(hours=5, minutes=30))
    assert view(status(State.PAUSED, paused=until)).line == "Paused until 2027-01-16 04:00"
    until = {"until": to_iso(NOW + 3600), "since": to_iso(NOW)}
    assert view_of(status(State.PAUSED, paused=until), "en", NOW, zone=east).line == "Paused until 14:30"


def test_next_attempt_counts_down_from_when_the_document_was_taken() -> None:
    document = status(State.CONNECTING)
    assert view(document, taken_at=NOW - 3).line == "Connecting · next attempt in 1 s"
    assert view(document, taken_at=NOW - 30).line == "Connecting · next attempt in 0 s"
    assert view(document, taken_at=NOW + 30).line == "Connecting · next attempt in 4 s"


def test_age_grows_with_the_moment_of_looking() -> None:
    document = status(State.WORKING)
    lines = [view_of(document, "en", NOW + later).line for later in (0, 30, 60, 7200)]
    assert [line.partition(" · ")[2] for line in lines] == [
        "proven 12 s ago",
        "proven 42 s ago",
        "proven 1 min ago",
        "proven 2 h ago",
    ]
    assert view_of(document, "en", NOW - 3600).line == "Working · proven 0 s ago"


@pytest.mark.parametrize(
    ("state", "proof_age_s", "fresh_for_s"),
    [
        (State.WORKING, 12.0, 1.0),
        (State.WORKING, 75.0, 20.0),  # the uptime of 7300 s turns first
        (State.WORKING, 110.0, 10.0),
        (State.CONNECTING, 75.0, 1.0),
        (State.STOPPED, None, 20.0),
    ],
)
def test_how_long_the_words_stay_right(state: State, proof_age_s: float | None, fresh_for_s: float) -> None:
    assert view(status(state, proof_age_s=proof_age_s)).fresh_for_s == pytest.approx(fresh_for_s, abs=0.01)


# ---- menu


@pytest.mark.parametrize(
    ("state", "enabled"),
    [
        (State.WORKING, {"open", "pause_1h", "pause", "sign_in", "recent", "logs", "quit"}),
        (State.WORKING_WITH_PROBLEMS, {"open", "pause_1h", "pause", "sign_in", "recent", "logs", "quit"}),
        (State.CONNECTING, {"open", "pause_1h", "pause", "sign_in", "recent", "logs", "quit"}),
        (State.NEEDS_YOU, {"open", "pause_1h", "pause", "sign_in", "recent", "logs", "quit"}),
        (State.ASLEEP, {"open", "pause_1h", "pause", "sign_in", "recent", "logs", "quit"}),
        (State.PAUSED, {"open", "resume", "sign_in", "recent", "logs", "quit"}),
        (State.STOPPED, {"open", "recent", "logs", "quit"}),
    ],
)
def test_menu_has_the_same_rows_in_every_state_and_enables_what_makes_sense(state: State, enabled: set[str]) -> None:
    menu = view(status(state, paused=PAUSED_BY_HAND if state is State.PAUSED else None)).tray.menu
    assert [row.action for row in menu] == [
        "state", "", "open", "pause_1h", "pause", "resume", "", "sign_in", "sign_out", "", "recent", "logs", "", "quit",
    ]  # fmt: skip
    assert {row.action for row in menu if row.enabled and not row.is_separator} == enabled
    assert [row.action for row in menu if row.default] == ["open"]


@pytest.mark.parametrize(("phase", "action"), [("none", "sign_in"), ("waiting", "sign_in"), ("signed_in", "sign_out")])
def test_menu_offers_the_sign_in_or_its_end(phase: str, action: str) -> None:
    menu = view(status(State.WORKING, signIn={"phase": phase})).tray.menu
    assert [row.action for row in menu if row.enabled and row.action.startswith("sign_")] == [action]


@pytest.mark.parametrize(
    ("facts", "english", "german"),
    [
        ({}, "Quit and stop the connector", "Beenden und den Connector anhalten"),
        (
            {"calls": {"running": 1}},
            "Quit, stop the connector and 1 running call",
            "Beenden, den Connector und 1 laufenden Aufruf anhalten",
        ),
        (
            {"calls": {"running": 2, "queued": 3}},
            "Quit, stop the connector and 5 running calls",
            "Beenden, den Connector und 5 laufende Aufrufe anhalten",
        ),
    ],
)
def test_quit_says_what_stops(facts: dict[str, Any], english: str, german: str) -> None:
    document = status(State.WORKING, **facts)
    assert entry(view(document), "quit").label == english
    assert entry(view(document, "de"), "quit").label == german
    attached = entry(view(document, hosted=False), "quit").label
    assert attached == "Quit this window, the connector keeps running"


def test_recent_calls_are_a_submenu() -> None:
    outcomes = ("succeeded", "timed_out", "brand_new")
    calls = [call(n, outcome=word, started_at=NOW - 60 * n) for n, word in enumerate(outcomes)]
    rows = entry(view(status(), recent=calls), "recent").children
    assert [(row.action, row.label) for row in rows] == [
        ("recent:call-0", "echo · finished · 08:00"),
        ("recent:call-1", "echo · timed out · 07:59"),
        ("recent:call-2", "echo · brand_new · 07:58"),
    ]
    german = entry(view(status(), "de", recent=calls), "recent").children
    assert german[1].label == "echo · Zeit überschritten · 07:59"


def test_recent_calls_are_few_and_short_and_none_is_a_row_that_says_so() -> None:
    many = entry(view(status(), recent=[call(n, tool="t" * 200) for n in range(40)]), "recent").children
    assert len(many) == model.RECENT_SHOWN
    assert all(len(row.label) <= model.LABEL_CHARACTERS and row.label.endswith("…") for row in many)
    (none,) = entry(view(status()), "recent").children
    assert (none.label, none.enabled) == ("No calls yet", False)


# ---- truths


def truths(shown: ViewModel) -> list[tuple[str, str, str]]:
    return [(truth.value, truth.age, truth.level) for truth in shown.truths]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            status(State.WORKING),
            [
                ("running, pid 4711", "for 2 h", "good"),
                ("up", "for 10 min", "good"),
                ("deployment Hall 3", "", "good"),
                ("platform to tool and back in 7.42 ms", "12 s ago", "good"),
            ],
        ),
        (
            status(State.CONNECTING, authorised={"accepted": False}, proof_age_s=None),
            [
                ("running, pid 4711", "for 2 h", "good"),
                ("down, next attempt in 4 s", "for 10 min", "waiting"),
                ("not confirmed yet", "", "waiting"),
                ("no proof yet", "", "none"),
            ],
        ),
        (
            status(State.CONNECTING, link={"phase": "handshake", "nextAttemptInS": None}, proof_age_s=700.0),
            [
                ("running, pid 4711", "for 2 h", "good"),
                ("introducing itself", "for 10 min", "waiting"),
                ("deployment Hall 3", "", "good"),
                ("platform to tool and back in 7.42 ms", "11 min ago", "waiting"),
            ],
        ),
        (
            status(State.NEEDS_YOU, authorised={"method": "", "accepted": False}, proof_age_s=None, draining=True),
            [
                ("stopping", "for 2 h", "waiting"),
                ("refused", "for 10 min", "bad"),
                ("no credentials", "", "bad"),
                ("no proof yet", "", "none"),
            ],
        ),
        (
            status(State.ASLEEP, authorised={"method": "token"}, proven={"kind": "local", "roundTripMs": 1.0}),
            [
                ("running, pid 4711", "for 2 h", "good"),
                ("down, trying again", "for 10 min", "none"),
                ("token", "", "good"),
                ("this machine only", "12 s ago", "waiting"),
            ],
        ),
        (
            {},
            [
                ("not running", "", "bad"),
                ("not connected", "", "none"),
                ("no credentials", "", "bad"),
                ("no proof yet", "", "none"),
            ],
        ),
    ],
)
def test_four_truths(document: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert truths(view(document)) == expected


def test_truths_in_german() -> None:
    shown = view(status(State.CONNECTING, proof_age_s=None), "de").truths
    assert [truth.name for truth in shown] == ["Prozess", "Verbindung", "Berechtigt", "Bewiesen"]
    assert [truth.key for truth in shown] == ["process", "link", "authorised", "proven"]
    assert shown[1].value == "unterbrochen, nächster Versuch in 4 s"
    assert shown[3].value == "noch kein Beweis"


@pytest.mark.parametrize("state", [state for state in State if not state.startswith("working")])
def test_proof_is_never_good_unless_working(state: State) -> None:
    assert view(status(state)).truths[3].level != "good"


# ---- problems, identity, series


def problem(sentence: str = "The platform refused the bundle.", *, age_s: float = 330.0) -> dict[str, str]:
    return {
        "code": "bundle_refused",
        "severity": "warning",
        "sentence": sentence,
        "fix": "Upload it again.",
        "since": to_iso(NOW - age_s),
    }


def test_problems_have_sentence_cure_and_age_and_the_first_is_in_the_tooltip() -> None:
    shown = view(status(State.WORKING_WITH_PROBLEMS, problems=[problem(), problem("Another.", age_s=5)]))
    assert [(item.sentence, item.fix, item.since) for item in shown.problems] == [
        ("The platform refused the bundle.", "Upload it again.", "5 min ago"),
        ("Another.", "Upload it again.", "5 s ago"),
    ]
    assert shown.tray.tooltip.splitlines()[2:] == ["The platform refused the bundle."]


def test_problems_in_german_keep_what_was_filled_in() -> None:
    english = problem() | {
        "code": "tools_rejected",
        "sentence": "The platform did not take some tools: echo 2.",
        "fix": "Rename or mend them; the other tools keep serving.",
    }
    (shown,) = view(status(State.WORKING_WITH_PROBLEMS, problems=[english]), "de").problems
    assert shown.sentence == "Die Plattform hat einige Werkzeuge nicht angenommen: echo 2."
    assert shown.fix == "Benennen Sie sie um oder bringen Sie sie in Ordnung; die anderen arbeiten weiter."
    assert shown.since == "vor 5 min"


def test_tooltip_is_never_longer_than_a_panel_shows() -> None:
    shown = view(status(State.WORKING_WITH_PROBLEMS, problems=[problem("long " * 200)]))
    assert len(shown.tray.tooltip) <= model.TOOLTIP_CHARACTERS
    assert shown.tray.tooltip.endswith("…")


def test_identity_rows() -> None:
    rows = view(status(bundle={"source": "bundle", "bundleId": "pumps", "version": 3})).identity
    assert [(row.label, row.value) for row in rows] == [
        ("Organization", "Example Works"),
        ("Deployment", "Hall 3"),
        ("Bundle", "pumps, version 3"),
        ("Connector", "0.1.0"),
        ("Running for", "2 h"),
        ("Platform", "wss://platform.example:3001"),
        ("Machine", "workshop"),
        ("Folder", "/home/me/connector"),
        ("Health", "http://127.0.0.1:8099"),
    ]


def test_identity_leaves_out_what_is_not_known() -> None:
    document = status(
        authorised={"organization": "", "deployment": "", "deploymentId": ""},
        health={"port": 0},
        bundle={"source": "builtin"},
    )
    labels = {row.key: row.value for row in view(document, "de").identity}
    assert labels.keys().isdisjoint({"organization", "deployment", "health"})
    assert labels["bundle"] == "eingebaute Werkzeuge"
    assert view({}).identity == ()


def test_sparklines() -> None:
    activity = {
        "perMinute": [0] * 58 + [3, 12],
        "latencyP50Ms": [None] * 58 + [0.84, 12.34],
        "latencyP99Ms": [120.6, None],
    }
    calls, p50, p99 = view(status(activity=activity)).series
    assert (calls.label, len(calls.values), calls.latest) == ("Calls per minute", 60, "12")
    assert (p50.values[-1], p50.latest) == (12.34, "12.3 ms")
    assert p99.latest == "121 ms"


def test_sparklines_without_calls_say_so() -> None:
    for series in view(status(), "de").series:
        assert series.latest == "keine Aufrufe in der letzten Stunde"
    assert [series.values for series in view({}).series] == [(), (), ()]


# ---- purity


def test_equal_facts_give_equal_views() -> None:
    assert view(status(), recent=[call()]) == view(status(), recent=[call()])
    assert view(status(), recent=[call()]).tray != view(status()).tray


def test_no_runtime_at_all_is_stopped() -> None:
    shown = view({})
    assert (shown.state, shown.line) == (State.STOPPED, "Stopped")
    assert entry(shown, "quit").label == "Quit"


def test_module_imports_nothing_that_acts() -> None:
    for module in (model, moment):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        assert imported <= {
            "__future__", "math", "collections.abc", "dataclasses", "datetime", "enum", "typing",
            "edge_connector.core.clock", "edge_connector.core.problem_words", "edge_connector.core.status",
            "edge_connector.core.words", "edge_connector.desktop.moment",
        }  # fmt: skip
