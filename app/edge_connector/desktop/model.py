"""What tray and window show, computed from a status document: words, icon, menu, ages, rows, series.

Pure: it knows no Qt, no loop, no files and no clock; the moment is an argument, and equal facts give an equal view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum

from edge_connector.core.clock import from_iso
from edge_connector.core.problem_words import problem_words
from edge_connector.core.status import LinkPhase, State
from edge_connector.core.words import duration, sentence, word
from edge_connector.desktop.moment import Ages, Document, Words, age_of, clock_time, number

PRODUCT = "Edge Connector"
RECENT_SHOWN = 10
RECENT_PREFIX = "recent:"
"""What a click on a recent call sends, followed by the call's id."""
LABEL_CHARACTERS = 60
TOOLTIP_CHARACTERS = 240
"""Windows cuts a tray's tooltip; nothing worth reading stands behind that."""


class Level(StrEnum):
    """How good a truth is: `GOOD` is never said without proof of it."""

    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    NONE = "none"
    """Neither good nor bad, e.g. a link that was put to rest on purpose."""


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """One row of the tray's menu. A separator has no label; one with `children` is a submenu."""

    action: str
    label: str = ""
    enabled: bool = True
    children: tuple[MenuEntry, ...] = ()
    default: bool = False
    """What a double click on the icon does."""

    @property
    def is_separator(self) -> bool:
        """A line between rows."""
        return not self.label


SEPARATOR = MenuEntry(action="")


@dataclass(frozen=True, slots=True)
class TrayView:
    """All that a tray shows."""

    state: State
    tooltip: str
    menu: tuple[MenuEntry, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """One of the four truths: `process`, `link`, `authorised`, `proven`."""

    key: str
    name: str
    value: str
    age: str
    """Empty when there is nothing to date."""
    level: Level


@dataclass(frozen=True, slots=True)
class ProblemView:
    """Something wrong, since when, and the one next step."""

    code: str
    severity: str
    sentence: str
    fix: str
    since: str
    """In words: `5 min ago`."""


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """A fact about who this connector is."""

    key: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Series:
    """A sparkline: one value a minute, oldest first; None where nothing happened."""

    key: str
    label: str
    unit: str
    values: tuple[float | None, ...]
    latest: str
    """The newest value in words."""


@dataclass(frozen=True, slots=True)
class ViewModel:
    """Everything that the front ends show of a status."""

    state: State
    icon: str
    """The name of the icon, see `desktop.icons`."""
    line: str
    tray: TrayView
    truths: tuple[Truth, ...]
    problems: tuple[ProblemView, ...]
    identity: tuple[IdentityRow, ...]
    series: tuple[Series, ...]
    fresh_for_s: float
    """The words are right for this long: ages and count-downs move on."""


def view_of(
    status: Document,
    language: str,
    now: float,
    *,
    taken_at: float | None = None,
    recent: Sequence[Document] = (),
    hosted: bool = True,
    zone: tzinfo | None = None,
) -> ViewModel:
    """The view of a status document.

    Args:
        status: the JSON shape of `core.status.RuntimeStatus`; empty when no runtime answers.
        now: seconds since 1970-01-01 UTC.
        taken_at: when the document was received, in the same seconds; counts the next attempt down.
        recent: the newest calls first, as the command `calls.recent` gives them.
        hosted: whether quitting this program stops the runtime.
        zone: of the clock times shown; the machine's own when None.
    """
    state = State(status.get("state", State.STOPPED))
    elapsed_s = max(now - taken_at, 0.0) if taken_at is not None else 0.0
    words = Words(language, now, zone)
    ages = Ages(status, now, elapsed_s)
    problems = tuple(_problem(item, words) for item in status.get("problems", ()))
    line = state_line(status, language, now, elapsed_s=elapsed_s, zone=zone)
    return ViewModel(
        state=state,
        icon=str(state),
        line=line,
        tray=TrayView(
            state=state,
            tooltip=_tooltip(line, problems),
            menu=_menu(state, status, line, recent, words, hosted=hosted),
        ),
        truths=_truths(state, status, ages, words),
        problems=problems,
        identity=_identity(status, ages, words),
        series=_series(status.get("activity") or {}, words),
        fresh_for_s=ages.fresh_for_s(),
    )


def state_line(
    status: Document, language: str, now: float, *, elapsed_s: float = 0.0, zone: tzinfo | None = None
) -> str:
    """The state in words with the age of its proof, the next attempt or the end of the pause."""
    state = State(status.get("state", State.STOPPED))
    if state is State.PAUSED:
        until = (status.get("paused") or {}).get("until", "")
        if until:
            return word("state.paused_until", language, time=clock_time(from_iso(until), now, zone))
        return word("state.paused_until_resumed", language)
    ages = Ages(status, now, elapsed_s)
    return sentence(
        state,
        proof_age_s=ages.proof_s,
        next_attempt_in_s=ages.next_attempt_s,
        phase=LinkPhase((status.get("link") or {}).get("phase", LinkPhase.IDLE)),
        language=language,
    )


def _problem(item: Document, words: Words) -> ProblemView:
    said, fix = problem_words(item["code"], item["sentence"], item["fix"], words.language)
    return ProblemView(
        code=item["code"],
        severity=item["severity"],
        sentence=said,
        fix=fix,
        since=words.ago(age_of(item.get("since"), words.now)),
    )


def _tooltip(line: str, problems: Sequence[ProblemView]) -> str:
    """The product, the state line and the worst problem."""
    text = "\n".join([PRODUCT, line, *(problem.sentence for problem in problems[:1])])
    return _shortened(text, TOOLTIP_CHARACTERS)


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


# ---- menu


def _menu(
    state: State, status: Document, line: str, recent: Sequence[Document], words: Words, *, hosted: bool
) -> tuple[MenuEntry, ...]:
    """Always the same rows in the same order, so that none jumps under the pointer; what makes no sense is disabled."""
    stopped = state is State.STOPPED
    paused = state is State.PAUSED
    signed_in = (status.get("signIn") or {}).get("phase") == "signed_in"
    calls = tuple(_recent_entry(call, words) for call in recent[:RECENT_SHOWN])
    none = (MenuEntry("recent_none", words("menu.recent_none"), enabled=False),)
    return (
        MenuEntry("state", _shortened(line, LABEL_CHARACTERS), enabled=False),
        SEPARATOR,
        MenuEntry("open", words("menu.open"), default=True),
        MenuEntry("pause_1h", words("menu.pause_1h"), enabled=not stopped and not paused),
        MenuEntry("pause", words("menu.pause"), enabled=not stopped and not paused),
        MenuEntry("resume", words("menu.resume"), enabled=paused),
        SEPARATOR,
        MenuEntry("sign_in", words("menu.sign_in"), enabled=not stopped and not signed_in),
        MenuEntry("sign_out", words("menu.sign_out"), enabled=not stopped and signed_in),
        SEPARATOR,
        MenuEntry("recent", words("menu.recent"), children=calls or none),
        MenuEntry("logs", words("menu.logs")),
        SEPARATOR,
        MenuEntry("quit", _quit_label(state, status, words, hosted=hosted)),
    )


def _recent_entry(call: Document, words: Words) -> MenuEntry:
    outcome = str(call["outcome"])
    label = words(
        "menu.recent_entry",
        tool=str(call["tool"]),
        outcome=words.known(f"outcome.{outcome}", outcome),
        time=words.clock_time(call.get("startedAt", "")),
    )
    return MenuEntry(f"{RECENT_PREFIX}{call['id']}", _shortened(label, LABEL_CHARACTERS))


def _quit_label(state: State, status: Document, words: Words, *, hosted: bool) -> str:
    """What quitting stops."""
    if state is State.STOPPED:
        return words("menu.quit_stopped")
    if not hosted:
        return words("menu.quit_attached")
    calls = status.get("calls") or {}
    running = calls.get("running", 0) + calls.get("queued", 0)
    if running == 1:
        return words("menu.quit_running_one")
    return words("menu.quit_running", count=str(running)) if running else words("menu.quit")


# ---- the four truths


def _truths(state: State, status: Document, ages: Ages, words: Words) -> tuple[Truth, ...]:
    parts = (
        ("process", _process_truth(status, ages, words)),
        ("link", _link_truth(state, status, ages, words)),
        ("authorised", _authorised_truth(status, words)),
        ("proven", _proven_truth(state, status, ages, words)),
    )
    return tuple(Truth(key, words(f"truth.{key}"), *facts) for key, facts in parts)


Facts = tuple[str, str, Level]


def _process_truth(status: Document, ages: Ages, words: Words) -> Facts:
    process = status.get("process")
    if not process:
        return words("process.stopped"), "", Level.BAD
    if status.get("draining"):
        return words("process.stopping"), words.lasting(ages.process_s), Level.WAITING
    return words("process.running", pid=str(process["pid"])), words.lasting(ages.process_s), Level.GOOD


def _link_truth(state: State, status: Document, ages: Ages, words: Words) -> Facts:
    phase = LinkPhase((status.get("link") or {}).get("phase", LinkPhase.IDLE))
    age = words.lasting(ages.link_s)
    if phase is LinkPhase.OPEN:
        return words("link.open"), age, Level.GOOD
    if phase is LinkPhase.REFUSED:
        return words("link.refused"), age, Level.BAD
    if phase is LinkPhase.IDLE:
        return words("link.idle"), age, Level.NONE
    if phase is LinkPhase.WAITING:
        # A person's pause and a sleeping machine wait on purpose; nothing is late.
        level = Level.NONE if state in (State.PAUSED, State.ASLEEP) else Level.WAITING
        if ages.next_attempt_s:
            return words("link.waiting", time=duration(ages.next_attempt_s)), age, level
        return words("link.waiting_soon"), age, level
    return words(f"link.{phase}"), age, Level.WAITING


def _authorised_truth(status: Document, words: Words) -> Facts:
    authorised = status.get("authorised") or {}
    method = authorised.get("method", "")
    if not method:
        return words("authorised.none"), "", Level.BAD
    if not authorised.get("accepted"):
        return words("authorised.not_yet"), "", Level.WAITING
    name = authorised.get("deployment") or authorised.get("deploymentId", "")
    value = words("authorised.deployment", name=name) if method == "deployment" else words("authorised.token")
    return value.strip(), "", Level.GOOD


def _proven_truth(state: State, status: Document, ages: Ages, words: Words) -> Facts:
    """Good only while the runtime itself calls the connector working: it alone judges the age of the proof."""
    proven = status.get("proven") or {}
    if ages.proof_s is None:
        return words("proven.none"), "", Level.NONE
    age = words.ago(ages.proof_s)
    working = state in (State.WORKING, State.WORKING_WITH_PROBLEMS)
    if proven.get("kind") == "local":
        return words("proven.local"), age, Level.WAITING
    took = proven.get("roundTripMs")
    value = words("proven.platform") if took is None else words("proven.platform_ms", ms=number(took, words.language))
    return value, age, Level.GOOD if working else Level.WAITING


# ---- identity and activity


def _identity(status: Document, ages: Ages, words: Words) -> tuple[IdentityRow, ...]:
    """Who this connector is; a fact that is not known yet has no row."""
    if not status:
        return ()
    authorised, process, link, health = (status.get(key) or {} for key in ("authorised", "process", "link", "health"))
    facts = (
        ("organization", authorised.get("organization") or authorised.get("organizationId", "")),
        ("deployment", authorised.get("deployment") or authorised.get("deploymentId", "")),
        ("bundle", _bundle(status.get("bundle") or {}, words)),
        ("version", process.get("version", "")),
        ("uptime", "" if ages.process_s is None else duration(ages.process_s)),
        ("platform", link.get("url", "")),
        ("host", process.get("host", "")),
        ("directory", process.get("directory", "")),
        ("health", _address(health)),
    )
    return tuple(IdentityRow(key, words(f"identity.{key}"), value) for key, value in facts if value)


def _address(health: Document) -> str:
    host, port = health.get("host", ""), health.get("port", 0)
    if not port:
        return ""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bundle(bundle: Document, words: Words) -> str:
    match bundle.get("source"):
        case "builtin":
            return words("bundle.builtin")
        case "local":
            return words("bundle.local", path=bundle.get("path", ""))
        case "bundle":
            return words("bundle.bundle", name=bundle.get("bundleId", ""), version=str(bundle.get("version", 0)))
        case other:
            return str(other or "")


def _series(activity: Document, words: Words) -> tuple[Series, ...]:
    counts = tuple(float(value) for value in activity.get("perMinute", ()))
    parts: list[tuple[str, str, tuple[float | None, ...]]] = [("calls", "", counts)]
    parts += [
        (key, "ms", tuple(activity.get(field, ())))
        for key, field in (("latency_p50", "latencyP50Ms"), ("latency_p99", "latencyP99Ms"))
    ]
    return tuple(
        Series(key, words(f"activity.{key}"), unit, values, _latest(key, unit, values, words))
        for key, unit, values in parts
    )


def _latest(key: str, unit: str, values: Sequence[float | None], words: Words) -> str:
    if not any(values):
        return words("activity.none")
    if key == "calls":
        return number(values[-1] or 0.0, words.language)
    newest = next((value for value in reversed(values) if value is not None), 0.0)
    return f"{number(newest, words.language)} {unit}"
